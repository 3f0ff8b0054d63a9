"""Our own chain as it is sent, completed once.

A chain file often has the leaf alone. OpenSSL then looks for its issuers among the trust anchors and sends those that it finds too, but it
does so in every handshake, and verifies their signatures each time. With the same certificates in the file it sends what stands there.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wardgate.transport import chain as chains
from wardgate.transport.errors import PeerRefused

if TYPE_CHECKING:
    from wardgate.transport.chain import Facts

_MAX_LENGTH: Final = 8  # certificates in one chain


@contextmanager
def completed(chain: Path, anchors: Iterable[Path]) -> Iterator[Path]:
    """The file to load in place of `chain`, as long as the block runs: a leaf alone gets its issuers from `anchors`.

    What cannot be read or completed is given as it is: whoever loads it says what is wrong. Raises `OSError`.
    """
    whole = _whole(chain, anchors)
    if not whole:
        yield chain
        return
    file = os.memfd_create("chain", os.MFD_CLOEXEC)
    try:
        with open(file, "w", encoding="ascii", closefd=False) as out:
            out.writelines(map(ssl.DER_cert_to_PEM_cert, whole))
        yield Path(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def _whole(chain: Path, anchors: Iterable[Path]) -> list[bytes]:
    """Return leaf and issuers, DER; empty when there is nothing to complete."""
    try:
        own = chains.pem_certificates(chain.read_text("utf-8", "replace"))
        if len(own) != 1:
            return []
        leaf = chains.read_facts(own[0])
        known = [der for file in anchors for der in chains.pem_certificates(file.read_text("utf-8", "replace"))]
    except (OSError, ValueError, PeerRefused):
        return []
    found = [leaf]
    while found[-1].issuer != found[-1].subject and len(found) < _MAX_LENGTH:
        issuer = _issuer(found[-1], known)
        if issuer is None:
            break
        found.append(issuer)
    return [each.der for each in found] if len(found) > 1 else []


def _issuer(of: Facts, known: list[bytes]) -> Facts | None:
    """Return who signed `of`; of several the one that is good longest."""
    found = []
    for der in known:
        if of.issuer not in der:  # the name as it stands there; most are told by this alone
            continue
        try:
            facts = chains.read_facts(der)
            if facts.is_authority and chains.issued_by(of, facts):
                found.append(facts)
        except (PeerRefused, ValueError):
            continue
    return max(found, key=lambda facts: facts.not_after, default=None)
