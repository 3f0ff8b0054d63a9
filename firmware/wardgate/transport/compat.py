"""The one place that knows which Python and OpenSSL run: private details of `ssl` before their public API came.

Tested on 3.11 (private objects) and 3.13 (public API); the setters of 3.15 are used when they are there.
"""

from __future__ import annotations

import os
import ssl
from typing import Any, Final

_DER: Final = 2  # _ssl.ENCODING_DER

# Old OpenSSL negotiates CCM_8 at security level 2; newer ones want level 0 for its short tag. Which release began is not documented,
# so all after the 3.0 series count as newer; the level is then made up by our own checks (peer, profiles).
CCM8_NEEDS_LEVEL_0: Final = ssl.OPENSSL_VERSION_INFO[:2] > (3, 0)


def verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Return the chain that OpenSSL verified, leaf first, anchor last, DER. Empty when the session was resumed or no one is there."""
    if hasattr(tls, "get_verified_chain"):  # 3.13
        return list(tls.get_verified_chain() or ())
    inner: Any = tls._sslobj  # type: ignore[attr-defined]
    return [bytes(certificate.public_bytes(_DER)) for certificate in inner.get_verified_chain() or ()]


def can_set_tls13_suites() -> bool:
    """Whether a context of this Python can choose its TLS 1.3 suites (3.15); else only OpenSSL's configuration file can."""
    return hasattr(ssl.SSLContext, "set_ciphersuites")


def set_tls13_suites(context: ssl.SSLContext, names: list[str]) -> bool:
    """Choose the TLS 1.3 suites of `context` if this Python can; return whether it could."""
    setter = getattr(context, "set_ciphersuites", None)
    if setter is None:
        return False
    setter(":".join(names))
    return True


def set_groups(context: ssl.SSLContext, names: list[str]) -> bool:
    """Choose the key exchange groups of `context` if this Python can (3.15); return whether it could."""
    setter = getattr(context, "set_groups", None)
    if setter is None:
        return False
    setter(":".join(names))
    return True


def process_configuration() -> str:
    """Return the path of the OpenSSL configuration of this process as set in its environment, or an empty text."""
    return os.environ.get("OPENSSL_CONF", "")
