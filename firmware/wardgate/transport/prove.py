"""Proves by handshakes which suites a server context really negotiates: a list of names is not enough.

A newer OpenSSL lists CCM_8 and refuses it at its security level. One ClientHello a suite is fed to the context in memory, and the
ServerHello is looked at. A key in a file signs; a token is not asked (`signer_for`, rehearsal). For `wardgate check`.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from wardgate.codes import Code
from wardgate.transport.context import ProfiledContext
from wardgate.transport.errors import ProfileNotMet
from wardgate.transport.suites import TLS13, iana_name, iana_names

_HANDSHAKE: Final = 22
_SERVER_HELLO: Final = 2
_SIGNATURES: Final = (0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501)
_GROUPS: Final = (0x001D, 0x0017)  # X25519, P-256


def prove_server(context: ProfiledContext) -> None:
    """Raise `ProfileNotMet` when `context` does not negotiate a suite that its profile requires of servers.

    Where the profile does not ask for both kinds of certificate, the suites of the kind that is not there are left out.
    """
    profile = context.profile
    missing = frozenset(suite for suite in profile.required12 | profile.required13 if not negotiates(context, suite))
    for kind in () if profile.both_certificates else ("ECDSA", "RSA"):
        needs_it = frozenset(suite for suite in profile.required12 if f"_{kind}_" in iana_name(suite))
        if missing == needs_it != profile.required12:
            return
    if missing:
        raise ProfileNotMet(Code.PROFILE_SUITES_MISSING, f"{profile.name} (tried by handshake): {iana_names(missing)}")


def negotiates(context: ssl.SSLContext, suite: int) -> bool:
    """Return whether the server `context` answers a client that offers nothing but `suite` with a ServerHello for it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(_client_hello(suite))
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        pass
    except ssl.SSLError:
        return False
    answer = outgoing.read()
    # Record header 5, handshake header 4, version 2, random 32, session id 1+n, suite 2 (RFC 8446 4.1.3, RFC 5246 7.4.1.3).
    if len(answer) < 46 or answer[0] != _HANDSHAKE or answer[5] != _SERVER_HELLO:
        return False
    at = 44 + answer[43]
    return answer[at : at + 2] == suite.to_bytes(2, "big")


def _client_hello(suite: int) -> bytes:
    extensions = [
        (10, _vector(b"".join(group.to_bytes(2, "big") for group in _GROUPS), 2)),
        (11, b"\x01\x00"),  # uncompressed points
        (13, _vector(b"".join(signature.to_bytes(2, "big") for signature in _SIGNATURES), 2)),
        (23, b""),  # extended master secret
        (0xFF01, b"\x00"),  # renegotiation info
    ]
    if suite in TLS13:
        share = _GROUPS[0].to_bytes(2, "big") + _vector(os.urandom(32), 2)
        extensions += [(43, b"\x02\x03\x04"), (51, _vector(share, 2))]
    body = b"\x03\x03" + os.urandom(32) + _vector(os.urandom(32), 1) + _vector(suite.to_bytes(2, "big"), 2) + b"\x01\x00"
    body += _vector(b"".join(kind.to_bytes(2, "big") + _vector(value, 2) for kind, value in extensions), 2)
    return b"\x16\x03\x01" + _vector(b"\x01" + _vector(body, 3), 2)


def _vector(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width, "big") + data
