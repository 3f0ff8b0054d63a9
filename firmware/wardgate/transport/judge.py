"""What `wardgate check` and the status page ask about the TLS of a party. Not for the data path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wardgate.codes import Code
from wardgate.policy.model import DEFAULT_KEYS
from wardgate.transport.chain import first_certificate
from wardgate.transport.context import TlsContexts
from wardgate.transport.crl import CrlStore
from wardgate.transport.errors import ProfileNotMet, TransportError
from wardgate.transport.peer import PeerChecker
from wardgate.transport.profiles import Standing
from wardgate.transport.prove import prove_server

if TYPE_CHECKING:
    from wardgate.policy.model import Keys, Party
    from wardgate.policy.tls import Tls


class OwnCertificate(NamedTuple):
    """One of our certificates: its chain file, SHA-256 fingerprint (hex) and end of validity (seconds since 1970)."""

    chain: Path
    fingerprint: str
    not_after: float


def own_certificates(tls: Tls) -> list[OwnCertificate]:
    """Return what is known of our certificates for a party. Raises `ProfileNotMet`."""
    found = []
    for pair in tls.certificates:
        facts = first_certificate(pair.chain)
        found.append(OwnCertificate(pair.chain, facts.fingerprint, facts.not_after))
    return found


def judge_party(party: Party, now: float, crl_directory: Path | None = None, keys: Keys = DEFAULT_KEYS) -> Iterator[TransportError]:
    """Yield every mistake in the TLS of `party`; server suites are tried by handshakes (a key in a file is used). Nothing for a plain one.

    `crl_directory` is RUN_DIR/crl. A retired profile is yielded too, as its `WARN` code; the levels are in the code.
    """
    if party.tls is not None:
        yield from judge_tls(party.tls, bool(party.listen), party.connect is not None, now, crl_directory, keys)


def judge_tls(
    tls: Tls, listens: bool, connects: bool, now: float, crl_directory: Path | None = None, keys: Keys = DEFAULT_KEYS
) -> Iterator[TransportError]:
    """As `judge_party`, for a TLS table by itself."""
    try:
        contexts = TlsContexts(tls, (), keys, rehearsal=True)
        PeerChecker(tls, CrlStore())
    except ProfileNotMet as mistake:
        yield mistake
        return
    if contexts.profile.standing is Standing.RETIRED:
        yield ProfileNotMet(Code.PROFILE_RETIRED, contexts.profile.name)
    if listens:
        try:
            prove_server(contexts.server())
        except ProfileNotMet as mistake:
            yield mistake
    if connects:
        try:
            contexts.client()
        except ProfileNotMet as mistake:
            yield mistake
    yield from _judge_files(tls, now, crl_directory)


def _judge_files(tls: Tls, now: float, crl_directory: Path | None) -> Iterator[TransportError]:
    try:
        for own in own_certificates(tls):
            if own.not_after < now:
                yield ProfileNotMet(Code.OWN_CERTIFICATE_EXPIRED, str(own.chain))
    except ProfileNotMet:
        pass  # named above, where it was loaded
    if tls.crl_policy != "off":
        store = CrlStore(tls.crls, crl_directory)
        store.refresh()
        yield from store.problems.values()
