"""What puts keys and certificates on a token. Not used by the running service: for tools and tests, with a read-write session."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Final

from wardkeys import der
from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.attributes import template
from wardkeys.cryptoki.failures import Ckr
from wardkeys.cryptoki.session import Session, mechanism

# How each kind of pair is made: mechanism, and what the public template says of it.
_PAIRS: Final[dict[str, tuple[int, dict[int, bytes | bool | int]]]] = {
    "p256": (c.CKM_EC_KEY_PAIR_GEN, {c.CKA_EC_PARAMS: der.OID_P256}),
    "p384": (c.CKM_EC_KEY_PAIR_GEN, {c.CKA_EC_PARAMS: der.OID_P384}),
    "ed25519": (c.CKM_EC_EDWARDS_KEY_PAIR_GEN, {c.CKA_EC_PARAMS: der.NAME_ED25519}),
    **{
        f"rsa{bits}": (c.CKM_RSA_PKCS_KEY_PAIR_GEN, {c.CKA_MODULUS_BITS: bits, c.CKA_PUBLIC_EXPONENT: b"\1\0\1"})
        for bits in (1024, 2048, 3072, 4096)
    },
}


def generate_pair(session: Session, label: str, identifier: bytes, kind: str, extractable: bool = False, agrees: bool = False) -> int:
    """Make a key pair inside the token; return the private key's handle. `kind`: p256, p384, ed25519, rsa2048... `agrees`: the key is
    for ECDH (CKA_DERIVE), else for signatures. Raises `Ckr`."""
    how, parameters = _PAIRS[kind]
    name: dict[int, bytes | bool | int] = {c.CKA_TOKEN: True, c.CKA_LABEL: label.encode("utf-8"), c.CKA_ID: identifier}
    public = template({**name, c.CKA_PRIVATE: False, c.CKA_VERIFY: not agrees, **parameters})
    use = c.CKA_DERIVE if agrees else c.CKA_SIGN
    private = template({**name, c.CKA_PRIVATE: True, c.CKA_SENSITIVE: True, c.CKA_EXTRACTABLE: extractable, use: True})
    handles = ctypes.c_ulong(), ctypes.c_ulong()
    at: list[Any] = [ctypes.byref(handle) for handle in handles]
    rv = session.f.C_GenerateKeyPair(session.handle, mechanism(how), *public, *private, *at)
    if rv:
        raise Ckr("C_GenerateKeyPair", rv)
    return handles[1].value


def create(session: Session, values: Mapping[int, bytes | bool | int]) -> int:
    """Put an object (certificate, secret key) on the token; return its handle. Raises `Ckr`."""
    handle = ctypes.c_ulong()
    rv = session.f.C_CreateObject(session.handle, *template(values), ctypes.byref(handle))
    if rv:
        raise Ckr("C_CreateObject", rv)
    return handle.value


def certificate(label: str, identifier: bytes, value: bytes, subject: bytes) -> dict[int, bytes | bool | int]:
    """Return the template of a certificate object (DER)."""
    return {
        c.CKA_CLASS: c.CKO_CERTIFICATE,
        c.CKA_CERTIFICATE_TYPE: c.CKC_X_509,
        c.CKA_TOKEN: True,
        c.CKA_PRIVATE: False,
        c.CKA_LABEL: label.encode("utf-8"),
        c.CKA_ID: identifier,
        c.CKA_SUBJECT: subject,
        c.CKA_VALUE: value,
    }
