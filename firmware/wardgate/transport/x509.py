"""Certificates as OpenSSL reads them, the library that has read and verified them in the handshake already.

What `ssl` does not tell of a certificate is asked of libcrypto itself: sizes of keys, hashes, usages, distribution points. Every value is
copied out of OpenSSL's memory at once and nothing of it is kept.
"""

from __future__ import annotations

import ctypes
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_uint32, c_void_p
from functools import cache
from typing import Any, Final, NamedTuple

from wardgate.transport import libcrypto
from wardgate.transport.utctime import unix_seconds

_NAMES, _USAGES, _POINTS = 85, 126, 103  # NID_subject_alt_name, NID_ext_key_usage, NID_crl_distribution_points
_DNS, _URI, _ADDRESS = 2, 6, 7  # GEN_DNS, GEN_URI, GEN_IPADD
_IS_AUTHORITY, _INVALID = 0x10, 0x80  # EXFLAG_CA, EXFLAG_INVALID
_SIGNS_CRLS: Final = 0x0002  # KU_CRL_SIGN
_NO_USAGE: Final = 0xFFFFFFFF
_ABSENT: Final = -1  # `crit` of X509_get_ext_d2i: there is none
_FULL_NAME: Final = 0  # DIST_POINT_NAME.type
_TEXT_BYTES: Final = 128
_MAX_NAME_BYTES: Final = 1 << 16
_P, _I = c_void_p, c_int
_FUNCTIONS: Final[tuple[libcrypto.Signature, ...]] = (
    ("ERR_clear_error", None, ()),
    ("d2i_X509", _P, (_P, POINTER(c_void_p), c_long)),
    ("X509_free", None, (_P,)),
    ("X509_get0_serialNumber", _P, (_P,)),
    ("i2d_ASN1_INTEGER", _I, (_P, _P)),
    ("X509_get0_notBefore", _P, (_P,)),
    ("X509_get0_notAfter", _P, (_P,)),
    ("ASN1_TIME_to_tm", _I, (_P, _P)),
    ("X509_get0_pubkey", _P, (_P,)),
    ("X509_get_X509_PUBKEY", _P, (_P,)),
    ("i2d_X509_PUBKEY", _I, (_P, _P)),
    ("EVP_PKEY_is_a", _I, (_P, c_char_p)),
    ("EVP_PKEY_get0_type_name", c_char_p, (_P,)),
    ("EVP_PKEY_get_bits", _I, (_P,)),
    ("EVP_PKEY_get_int_param", _I, (_P, c_char_p, POINTER(c_int))),
    ("X509_get_signature_info", _I, (_P, POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(c_uint32))),
    ("OBJ_nid2sn", c_char_p, (_I,)),
    ("EVP_get_digestbyname", _P, (c_char_p,)),
    ("EVP_MD_get_size", _I, (_P,)),
    ("X509_get_extension_flags", c_uint32, (_P,)),
    ("X509_get_key_usage", c_uint32, (_P,)),
    ("X509_get_ext_d2i", _P, (_P, _I, POINTER(c_int), _P)),
    ("OPENSSL_sk_num", _I, (_P,)),
    ("OPENSSL_sk_value", _P, (_P, _I)),
    ("GENERAL_NAME_get0_value", _P, (_P, POINTER(c_int))),
    ("GENERAL_NAMES_free", None, (_P,)),
    ("ASN1_STRING_get0_data", _P, (_P,)),
    ("ASN1_STRING_length", _I, (_P,)),
    ("EXTENDED_KEY_USAGE_free", None, (_P,)),
    ("OBJ_obj2txt", _I, (_P, _I, _P, _I)),
    ("CRL_DIST_POINTS_free", None, (_P,)),
    ("X509_get_issuer_name", _P, (_P,)),
    ("X509_get_subject_name", _P, (_P,)),
    ("i2d_X509_NAME", _I, (_P, _P)),
    ("X509_verify", _I, (_P, _P)),
)


class _Tm(ctypes.Structure):
    """`struct tm` of the C library, with room for what it has beyond the standard."""

    _fields_ = (
        ("sec", c_int), ("min", c_int), ("hour", c_int), ("day", c_int), ("month", c_int), ("year", c_int),
        ("more", c_long * 8),
    )  # fmt: skip


class _DistPoint(ctypes.Structure):
    """The beginning of DIST_POINT (x509v3.h)."""

    _fields_ = (("name", c_void_p),)


class _DistPointName(ctypes.Structure):
    """The beginning of DIST_POINT_NAME (x509v3.h)."""

    _fields_ = (("type", c_int), ("names", c_void_p))


class Certificate(NamedTuple):
    """What one certificate says. Times in seconds since 1970, sizes in bits, names and texts as they stand there."""

    serial: int
    not_before: float
    not_after: float
    spki: bytes  # SubjectPublicKeyInfo, DER
    key_kind: str  # RSA, EC, `unsupported`, or OpenSSL's name of another kind
    key_bits: int
    hash_bits: int  # of the digest under the signature; 0 when there is none
    names: tuple[str, ...]  # dNSName and iPAddress of subjectAltName
    usages: frozenset[str] | None  # dotted OIDs of extendedKeyUsage; None: there is none
    is_authority: bool
    signs_crls: bool
    issuer: bytes  # DER name
    subject: bytes  # DER name
    points: tuple[str, ...]  # URIs of CRL distribution points


@cache
def _crypto() -> Any:
    return libcrypto.declare(libcrypto.quick(), _FUNCTIONS)


@contextmanager
def _parsed(der: bytes) -> Iterator[int]:
    """The X509 of `der`. Raises `ValueError` when it is none, or more than one."""
    crypto = _crypto()
    place = c_char_p(der)
    at = ctypes.cast(place, c_void_p)
    begin = at.value or 0
    found = crypto.d2i_X509(None, byref(at), len(der))
    try:
        if not found or (at.value or 0) - begin != len(der):
            raise ValueError("no certificate")
        yield found
    finally:
        crypto.X509_free(found)
        crypto.ERR_clear_error()  # `ssl` looks at the same queue after its own calls


def read(der: bytes) -> Certificate:
    """Read one DER certificate. Raises `ValueError`."""
    crypto = _crypto()
    with _parsed(der) as found:
        flags = crypto.X509_get_extension_flags(found)
        if flags & _INVALID:
            raise ValueError("an extension cannot be read")
        kind, bits = _key(crypto.X509_get0_pubkey(found))
        usage = crypto.X509_get_key_usage(found)
        return Certificate(
            serial=_serial(_encoded(crypto.i2d_ASN1_INTEGER, crypto.X509_get0_serialNumber(found))),
            not_before=_time(crypto.X509_get0_notBefore(found)),
            not_after=_time(crypto.X509_get0_notAfter(found)),
            spki=_encoded(crypto.i2d_X509_PUBKEY, crypto.X509_get_X509_PUBKEY(found)),
            key_kind=kind,
            key_bits=bits,
            hash_bits=_hash_bits(found),
            names=_names(found),
            usages=_usages(found),
            is_authority=bool(flags & _IS_AUTHORITY),
            signs_crls=usage == _NO_USAGE or bool(usage & _SIGNS_CRLS),
            issuer=_encoded(crypto.i2d_X509_NAME, crypto.X509_get_issuer_name(found)),
            subject=_encoded(crypto.i2d_X509_NAME, crypto.X509_get_subject_name(found)),
            points=_points(found),
        )


def signed_by(der: bytes, issuer: bytes) -> bool:
    """Whether the key of certificate `issuer` made the signature of certificate `der`. Raises `ValueError` when one is none."""
    crypto = _crypto()
    with _parsed(der) as subject, public_key(issuer) as key:
        return bool(crypto.X509_verify(subject, key) == 1)


@contextmanager
def public_key(der: bytes) -> Iterator[int]:
    """The EVP_PKEY of a certificate, as long as the block runs. Raises `ValueError`."""
    with _parsed(der) as found:
        key = _crypto().X509_get0_pubkey(found)
        if not key:
            raise ValueError("a key of unknown kind")
        yield key


def _encoded(encode: Any, value: int | None) -> bytes:
    """Return what an i2d function makes of `value`."""
    size = encode(value, None) if value else -1
    if not 0 < size <= _MAX_NAME_BYTES:
        raise ValueError("cannot be written again")
    room = ctypes.create_string_buffer(size)
    at = c_void_p(ctypes.addressof(room))
    if encode(value, byref(at)) != size:
        raise ValueError("cannot be written again")
    return room.raw


def _serial(der: bytes) -> int:
    length = der[1]
    start = 2 + (length & 0x7F if length & 0x80 else 0)
    return int.from_bytes(der[start:], "big", signed=True)


def _time(value: int | None) -> float:
    tm = _Tm()
    if not value or _crypto().ASN1_TIME_to_tm(value, byref(tm)) != 1:
        raise ValueError("no time")
    return float(unix_seconds(tm.year + 1900, tm.month + 1, tm.day, tm.hour, tm.min, tm.sec))


def _key(key: int | None) -> tuple[str, int]:
    crypto = _crypto()
    if not key:
        return "unsupported", 0
    if crypto.EVP_PKEY_is_a(key, b"RSA") or crypto.EVP_PKEY_is_a(key, b"RSA-PSS"):
        return "RSA", crypto.EVP_PKEY_get_bits(key)
    if crypto.EVP_PKEY_is_a(key, b"EC"):
        explicit = c_int()
        if crypto.EVP_PKEY_get_int_param(key, b"decoded-from-explicit", byref(explicit)) != 1 or explicit.value:
            return "unsupported", 0  # RFC 5480 2.1.1: curves are named
        return "EC", crypto.EVP_PKEY_get_bits(key)
    return (crypto.EVP_PKEY_get0_type_name(key) or b"unsupported").decode("ascii", "replace"), 0


def _hash_bits(found: int) -> int:
    crypto = _crypto()
    digest, kind, strength, flags = c_int(), c_int(), c_int(), c_uint32()
    if crypto.X509_get_signature_info(found, byref(digest), byref(kind), byref(strength), byref(flags)) != 1 or not digest.value:
        return 0
    made = crypto.EVP_get_digestbyname(crypto.OBJ_nid2sn(digest.value))
    return 8 * max(0, crypto.EVP_MD_get_size(made)) if made else 0


@contextmanager
def _extension(found: int, kind: int, free: Any) -> Iterator[list[int]]:
    """The members of an extension that is a list; none when it is not there. Raises `ValueError`."""
    crypto = _crypto()
    critical = c_int()
    stack = crypto.X509_get_ext_d2i(found, kind, byref(critical), None)
    if not stack:
        if critical.value != _ABSENT:
            raise ValueError(f"extension {kind} cannot be read, or is there twice")
        yield []
        return
    try:
        yield _members(stack)
    finally:
        free(stack)


def _members(stack: int) -> list[int]:
    crypto = _crypto()
    return [crypto.OPENSSL_sk_value(stack, at) for at in range(crypto.OPENSSL_sk_num(stack))]


def _name(name: int) -> tuple[int, bytes]:
    """Return the kind of a GENERAL_NAME and its bytes; none but for those that are a string."""
    crypto = _crypto()
    kind = c_int()
    value = crypto.GENERAL_NAME_get0_value(name, byref(kind))
    if kind.value not in (_DNS, _URI, _ADDRESS) or not value:
        return kind.value, b""
    size = crypto.ASN1_STRING_length(value)
    return kind.value, ctypes.string_at(crypto.ASN1_STRING_get0_data(value), size) if size > 0 else b""


def _names(found: int) -> tuple[str, ...]:
    names = []
    with _extension(found, _NAMES, _crypto().GENERAL_NAMES_free) as members:
        for kind, value in map(_name, members):
            if kind == _DNS:
                names.append(value.decode("ascii"))
            elif kind == _ADDRESS:  # RFC 5280 4.2.1.6: 4 or 16 octets
                names.append(str(ipaddress.ip_address(value)))
    return tuple(names)


def _usages(found: int) -> frozenset[str] | None:
    crypto = _crypto()
    room = ctypes.create_string_buffer(_TEXT_BYTES)
    with _extension(found, _USAGES, crypto.EXTENDED_KEY_USAGE_free) as members:
        if not members:
            return None
        usages = []
        for each in members:
            size = crypto.OBJ_obj2txt(room, _TEXT_BYTES, each, 1)
            if not 0 < size < _TEXT_BYTES:
                raise ValueError("no OID")
            usages.append(room.value.decode("ascii"))
        return frozenset(usages)


def _points(found: int) -> tuple[str, ...]:
    points = []
    with _extension(found, _POINTS, _crypto().CRL_DIST_POINTS_free) as members:
        for each in members:
            at = _DistPoint.from_address(each).name
            name = _DistPointName.from_address(at) if at else None
            if name is not None and name.type == _FULL_NAME and name.names:
                points += [value.decode("ascii") for kind, value in map(_name, _members(name.names)) if kind == _URI]
    return tuple(points)
