"""Signature schemes by name: which key, which digest length, which mechanism, and what the token is given."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.session import mechanism
from wardkeys.cryptoki.structures import Mechanism, PssParameters


class KeyType(Enum):
    """What kind of private key signs."""

    EC = "ec"
    RSA = "rsa"
    ED25519 = "ed25519"


class Scheme(NamedTuple):
    """One scheme. `prefix` goes before the digest (DigestInfo, RFC 8017 9.2 note 1)."""

    key: KeyType
    digest_bytes: int | None  # None: the message itself, of any length
    mechanism: Mechanism
    prefix: bytes


# RFC 8017 9.2 note 1.
_INFO: Final = {
    256: bytes.fromhex("3031300d060960864801650304020105000420"),
    384: bytes.fromhex("3041300d060960864801650304020205000430"),
    512: bytes.fromhex("3051300d060960864801650304020305000440"),
}
_HASH: Final = {256: c.CKM_SHA256, 384: c.CKM_SHA384, 512: c.CKM_SHA512}
_MGF: Final = {256: c.CKG_MGF1_SHA256, 384: c.CKG_MGF1_SHA384, 512: c.CKG_MGF1_SHA512}


def _pss(bits: int) -> Mechanism:
    """The salt is as long as the digest (RFC 8446 4.2.3)."""
    return mechanism(c.CKM_RSA_PKCS_PSS, PssParameters(hash=_HASH[bits], mgf=_MGF[bits], salt=bits // 8))


SCHEMES: Final[dict[bytes, Scheme]] = {
    **{b"ecdsa-sha%d" % bits: Scheme(KeyType.EC, bits // 8, mechanism(c.CKM_ECDSA), b"") for bits in (256, 384)},
    **{b"rsa-pkcs1-sha%d" % bits: Scheme(KeyType.RSA, bits // 8, mechanism(c.CKM_RSA_PKCS), _INFO[bits]) for bits in (256, 384, 512)},
    **{b"rsa-pss-sha%d" % bits: Scheme(KeyType.RSA, bits // 8, _pss(bits), b"") for bits in (256, 384, 512)},
    b"ed25519": Scheme(KeyType.ED25519, None, mechanism(c.CKM_EDDSA), b""),
}
