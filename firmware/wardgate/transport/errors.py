"""What goes wrong with TLS, as typed errors that carry our code: which side, which rule, what to do.

`explain` turns the terse errors of the `ssl` module into them; the detail keeps the words of OpenSSL.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

from wardgate.codes import Code


class TransportError(Exception):
    """Base of all errors of the transport; `code` names the rule, `detail` is one short line without secrets.

    `dead`: nothing more may be sent on that connection.
    """

    dead = False

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(f"{code} {code.value.sentence}" + (f": {detail}" if detail else ""))
        self.code = code
        self.detail = detail


class ProfileNotMet(TransportError):
    """A TLS configuration claims a profile that is not really met, or cannot be loaded: a mistake of the configuration."""


class TlsFailure(TransportError):
    """The handshake or a later record failed; `to_send` is the TLS alert that the peer should still get (may be empty)."""

    dead = True

    def __init__(self, code: Code, detail: str = "", to_send: bytes = b"") -> None:
        super().__init__(code, detail)
        self.to_send = to_send


class PeerRefused(TransportError):
    """The certificate of the peer breaks one of our rules, though TLS itself was content."""


class CrlError(TransportError):
    """A CRL cannot be read, parsed or fetched."""


# Reasons of OpenSSL, without the version prefixes of alerts (SSLV3_, TLSV1_, TLSV13_, SSL/TLS_).
_ALERTS: Final[dict[str, Code]] = {
    "UNKNOWN_CA": Code.PEER_DISTRUSTS_US,
    "CERTIFICATE_EXPIRED": Code.PEER_SAYS_EXPIRED,
    "CERTIFICATE_REVOKED": Code.PEER_SAYS_REVOKED,
    "BAD_CERTIFICATE": Code.PEER_REJECTS_CERTIFICATE,
    "CERTIFICATE_UNKNOWN": Code.PEER_REJECTS_CERTIFICATE,
    "UNSUPPORTED_CERTIFICATE": Code.PEER_REJECTS_CERTIFICATE,
    "HANDSHAKE_FAILURE": Code.PEER_HANDSHAKE_FAILURE,
    "INSUFFICIENT_SECURITY": Code.PEER_HANDSHAKE_FAILURE,
    "PROTOCOL_VERSION": Code.TLS_VERSION_MISMATCH,
    "CERTIFICATE_REQUIRED": Code.PEER_WANTS_CERTIFICATE,
    "NO_CERTIFICATE": Code.PEER_WANTS_CERTIFICATE,
    "ACCESS_DENIED": Code.PEER_DENIES_ACCESS,
    "DECRYPT_ERROR": Code.PEER_SAYS_DECRYPT_ERROR,
    "DECRYPTION_FAILED": Code.PEER_SAYS_DECRYPT_ERROR,
    "BAD_RECORD_MAC": Code.PEER_SAYS_DECRYPT_ERROR,
}

_REASONS: Final[dict[str, Code]] = {
    "WRONG_VERSION_NUMBER": Code.TLS_PEER_NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": Code.TLS_PEER_NOT_TLS,
    "RECORD_TOO_SMALL": Code.TLS_PEER_NOT_TLS,
    "HTTP_REQUEST": Code.HTTP_ON_DICOM_PORT,
    "HTTPS_PROXY_REQUEST": Code.HTTP_ON_DICOM_PORT,
    "UNSUPPORTED_PROTOCOL": Code.TLS_VERSION_MISMATCH,
    "VERSION_TOO_LOW": Code.TLS_VERSION_MISMATCH,
    "NO_SHARED_CIPHER": Code.TLS_NO_COMMON_SUITE,
    "NO_CIPHERS_AVAILABLE": Code.TLS_NO_COMMON_SUITE,
    "WRONG_CIPHER_RETURNED": Code.TLS_NO_COMMON_SUITE,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": Code.TLS_NO_COMMON_SUITE,
    "NO_SHARED_SIGNATURE_ALGORITHMS": Code.TLS_NO_COMMON_SUITE,
    "NO_SUITABLE_GROUPS": Code.TLS_NO_COMMON_SUITE,
    "NO_SUITABLE_KEY_SHARE": Code.TLS_NO_COMMON_SUITE,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Code.TLS_NO_CLIENT_CERTIFICATE,
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": Code.TLS_INTEGRITY,
    "BAD_RECORD_TYPE": Code.TLS_INTEGRITY,
    "DIGEST_CHECK_FAILED": Code.TLS_INTEGRITY,
    "BAD_SIGNATURE": Code.TLS_INTEGRITY,
    "UNEXPECTED_EOF_WHILE_READING": Code.TLS_TRUNCATED,
    "EE_KEY_TOO_SMALL": Code.TLS_WEAK,
    "CA_KEY_TOO_SMALL": Code.TLS_WEAK,
    "CA_MD_TOO_WEAK": Code.TLS_WEAK,
    "DH_KEY_TOO_SMALL": Code.TLS_WEAK,
    "WRONG_SIGNATURE_TYPE": Code.TLS_WEAK,
    "WRONG_CURVE": Code.TLS_WEAK,
}

# X509_V_ERR_*: numbers of X509_verify_cert, stable over OpenSSL's versions.
_VERIFY: Final[dict[int, Code]] = {
    2: Code.CHAIN_UNTRUSTED,  # unable to get issuer certificate
    7: Code.CHAIN_INVALID,  # certificate signature failure
    9: Code.CERTIFICATE_NOT_YET_VALID,
    10: Code.CERTIFICATE_EXPIRED,
    18: Code.CHAIN_UNTRUSTED,  # self-signed leaf
    19: Code.CHAIN_UNTRUSTED,  # self-signed certificate in the chain
    20: Code.CHAIN_UNTRUSTED,  # unable to get local issuer certificate
    21: Code.CHAIN_UNTRUSTED,  # unable to verify the first certificate
    23: Code.CERTIFICATE_REVOKED,
    26: Code.CERTIFICATE_WRONG_USAGE,  # unsuitable certificate purpose
    66: Code.CERTIFICATE_KEY_WEAK,
    67: Code.CERTIFICATE_KEY_WEAK,  # CA key too weak
    68: Code.CERTIFICATE_HASH_WEAK,
}


# Why the last signature of the calling thread failed, if its key is in a token: `ssl` itself keeps only libssl's last word ("EVP lib").
# Set by `provider.load`.
key_failure: Callable[[], tuple[Code, str] | None] | None = None


def explain(error: ssl.SSLError, *, handshake: bool) -> tuple[Code, str]:
    """Return our code and one line of detail for an error of the `ssl` module; `handshake` false: after it.

    To be called by the thread in which the error came.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = f"{error.verify_message} (X509 error {error.verify_code})"
        return _VERIFY.get(error.verify_code, Code.CHAIN_INVALID), detail
    if isinstance(error, ssl.SSLEOFError):
        return (Code.TLS_ENDED_IN_HANDSHAKE if handshake else Code.TLS_TRUNCATED), "end of stream"
    reason = (getattr(error, "reason", None) or "").upper() or _reason_in(str(error))
    detail = reason.replace("_", " ").lower() or "unknown TLS error"
    if handshake and key_failure is not None and reason not in _REASONS and "ALERT_" not in reason:
        found = key_failure()
        if found is not None:
            return found
    if reason == "UNEXPECTED_EOF_WHILE_READING" and handshake:
        return Code.TLS_ENDED_IN_HANDSHAKE, detail
    if "ALERT_" in reason:
        return _ALERTS.get(reason.partition("ALERT_")[2], Code.PEER_ALERT), detail
    code = _REASONS.get(reason)
    if code is Code.TLS_PEER_NOT_TLS and not handshake:
        code = Code.TLS_INTEGRITY
    if code is None:
        code = Code.TLS_FAILED if handshake else Code.TLS_INTEGRITY
    return code, detail


def _reason_in(text: str) -> str:
    """Return the reason in `[SSL: REASON] ...`, for reasons that Python's table of names does not have."""
    start = text.find("[SSL: ")
    return text[start + 6 : text.find("]", start)].strip() if start >= 0 else ""
