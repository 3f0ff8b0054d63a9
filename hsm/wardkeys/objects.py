"""Objects of a token: found by URI, checked once, described for lists. The caller is inside `with module:`."""

from __future__ import annotations

from typing import Final, NamedTuple

from wardgate.codes import Code
from wardkeys import der
from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.attributes import number
from wardkeys.cryptoki.session import Session
from wardkeys.errors import KeyServiceError
from wardkeys.schemes import KeyType
from wardkeys.uri import Uri

_CLASSES: Final = {
    "private": c.CKO_PRIVATE_KEY,
    "public": c.CKO_PUBLIC_KEY,
    "cert": c.CKO_CERTIFICATE,
    "secret-key": c.CKO_SECRET_KEY,
    "data": c.CKO_DATA,
}
_MIN_RSA, _MAX_RSA = 2048, 4096
_CURVES: Final = {der.OID_P256: 32, der.OID_P384: 48}
_EDWARDS: Final = (der.OID_ED25519, der.NAME_ED25519)


class PrivateKey(NamedTuple):
    """A private key that may be used: its handle, its kind, bytes of the curve's order (EC) or the modulus (RSA)."""

    handle: int
    type: KeyType
    size: int


class SecretKey(NamedTuple):
    """A secret key that may be used: its handle and CKA_KEY_TYPE."""

    handle: int
    type: int


def find(session: Session, uri: Uri, kind: str) -> int:
    """Return the one object of `kind` (a type of RFC 7512) that the URI names. Raises `KeyServiceError`."""
    if uri.object is None and uri.id is None:
        raise KeyServiceError(Code.KEYS_URI, "it names no object: give object or id")
    found = session.find(wanted(uri, kind))
    if len(found) > 1:
        raise KeyServiceError(Code.KEYS_AMBIGUOUS, f"{len(found)} objects of type {kind}")
    if not found:
        raise KeyServiceError(Code.KEYS_NO_KEY, f"no object of type {kind} with that name")
    return found[0]


def wanted(uri: Uri, kind: str) -> dict[int, bytes | bool | int]:
    made: dict[int, bytes | bool | int] = {c.CKA_CLASS: _CLASSES[kind]}
    if uri.object is not None:
        made[c.CKA_LABEL] = uri.object.encode("utf-8")
    if uri.id is not None:
        made[c.CKA_ID] = uri.id
    return made


def private_key(session: Session, uri: Uri, allow_extractable: bool) -> PrivateKey:
    """Return the private key that the URI names. Raises `KeyServiceError` when it may not or cannot be used."""
    if uri.type not in (None, "private"):
        raise KeyServiceError(Code.KEYS_URI, f"type {uri.type} cannot sign")
    handle = find(session, uri, "private")
    have = session.attributes(
        handle, (c.CKA_KEY_TYPE, c.CKA_EXTRACTABLE, c.CKA_SENSITIVE, c.CKA_ALWAYS_AUTHENTICATE, c.CKA_EC_PARAMS, c.CKA_MODULUS)
    )
    _refuse_open(have, allow_extractable)
    if have.get(c.CKA_ALWAYS_AUTHENTICATE) == b"\1":
        raise KeyServiceError(Code.KEYS_TOKEN_REFUSED, "the key wants the PIN for every signature (CKA_ALWAYS_AUTHENTICATE)")
    kind = number(have.get(c.CKA_KEY_TYPE, b""))
    parameters = have.get(c.CKA_EC_PARAMS, b"")
    if kind == c.CKK_EC:
        size = _CURVES.get(parameters)
        if size is None:
            raise KeyServiceError(Code.KEYS_SCHEME, "the curve is neither P-256 nor P-384")
        return PrivateKey(handle, KeyType.EC, size)
    if kind == c.CKK_RSA:
        size = len(have.get(c.CKA_MODULUS, b"").lstrip(b"\0"))
        if not _MIN_RSA <= size * 8 <= _MAX_RSA:
            raise KeyServiceError(Code.KEYS_SCHEME, f"RSA of {size * 8} bits, {_MIN_RSA} to {_MAX_RSA} are used")
        return PrivateKey(handle, KeyType.RSA, size)
    if kind == c.CKK_EC_EDWARDS and parameters in _EDWARDS:
        return PrivateKey(handle, KeyType.ED25519, 32)
    raise KeyServiceError(Code.KEYS_SCHEME, "the key is neither EC, RSA nor Ed25519")


def secret_key(session: Session, label: str, allow_extractable: bool) -> SecretKey:
    """Return the secret key with that label. Raises `KeyServiceError`."""
    handle = find(session, Uri(object=label), "secret-key")
    have = session.attributes(handle, (c.CKA_KEY_TYPE, c.CKA_EXTRACTABLE, c.CKA_SENSITIVE))
    _refuse_open(have, allow_extractable)
    kind = number(have.get(c.CKA_KEY_TYPE, b""))
    if kind is None:
        raise KeyServiceError(Code.KEYS_SCHEME, "a secret key without a type")
    return SecretKey(handle, kind)


def _refuse_open(have: dict[int, bytes], allow: bool) -> None:
    if not allow and (have.get(c.CKA_EXTRACTABLE) == b"\1" or have.get(c.CKA_SENSITIVE) == b"\0"):
        raise KeyServiceError(Code.KEYS_EXTRACTABLE, "CKA_EXTRACTABLE, or not CKA_SENSITIVE")


def public_key(session: Session, uri: Uri) -> bytes:
    """Return the SubjectPublicKeyInfo of the key that the URI names: its public key object, else its certificate's."""
    try:
        return _spki(session, find(session, uri, "public"))
    except KeyServiceError as error:
        if error.code is not Code.KEYS_NO_KEY:
            raise
    try:
        return der.certificate_spki(certificate(session, uri))
    except der.DerError as error:
        raise KeyServiceError(Code.KEYS_TOKEN_FAILED, f"the certificate on the token: {error}") from error


def certificate(session: Session, uri: Uri) -> bytes:
    """Return the certificate, DER, that the URI names; by the private key's CKA_ID when labels differ. Raises `KeyServiceError`."""
    try:
        handle = find(session, uri, "cert")
    except KeyServiceError as error:
        if error.code is not Code.KEYS_NO_KEY or uri.type == "cert":
            raise
        identifier = session.attributes(find(session, uri, "private"), (c.CKA_ID,)).get(c.CKA_ID, b"")
        if not identifier:
            raise
        handle = find(session, Uri(id=identifier), "cert")
    value = session.attributes(handle, (c.CKA_VALUE,)).get(c.CKA_VALUE, b"")
    if not value:
        raise KeyServiceError(Code.KEYS_NO_KEY, "the certificate has no value")
    return value


def _spki(session: Session, handle: int) -> bytes:
    kinds = (c.CKA_KEY_TYPE, c.CKA_EC_PARAMS, c.CKA_EC_POINT, c.CKA_MODULUS, c.CKA_PUBLIC_EXPONENT)
    have = session.attributes(handle, kinds)
    kind = number(have.get(c.CKA_KEY_TYPE, b""))
    parameters, point = have.get(c.CKA_EC_PARAMS, b""), have.get(c.CKA_EC_POINT, b"")
    if kind == c.CKK_RSA:
        numbers = der.integer(have.get(c.CKA_MODULUS, b"")) + der.integer(have.get(c.CKA_PUBLIC_EXPONENT, b""))
        return der.spki(der.OID_RSA + der.NULL, der.tlv(der.SEQUENCE, numbers))
    if kind == c.CKK_EC and parameters in _CURVES:
        return der.spki(der.OID_EC + parameters, _point(point, 1 + 2 * _CURVES[parameters]))
    if kind == c.CKK_EC_EDWARDS and parameters in _EDWARDS:
        return der.spki(der.OID_ED25519, _point(point, 32))
    raise KeyServiceError(Code.KEYS_SCHEME, "a public key that is neither RSA, P-256, P-384 nor Ed25519")


def _point(raw: bytes, size: int) -> bytes:
    """CKA_EC_POINT is an OCTET STRING; some modules give the bytes alone."""
    if len(raw) == size:
        return raw
    try:
        point = der.octets(raw)
    except der.DerError as error:
        raise KeyServiceError(Code.KEYS_TOKEN_FAILED, f"CKA_EC_POINT: {error}") from error
    if len(point) != size:
        raise KeyServiceError(Code.KEYS_TOKEN_FAILED, f"CKA_EC_POINT of {len(point)} bytes, expected {size}")
    return point
