"""One certificate revocation list (RFC 5280 5), kept as its bytes: entries are looked for, not unpacked."""

from __future__ import annotations

import binascii
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_void_p, cast
from functools import cache
from typing import Any, Final

from wardgate.transport import libcrypto, x509
from wardgate.transport.der import BOOLEAN, GENERALIZED_TIME, INTEGER, OBJECT, OCTET_STRING, SEQUENCE, UTC_TIME, Reader

_P, _I = c_void_p, c_int
_FUNCTIONS: Final[tuple[libcrypto.Signature, ...]] = (
    ("ERR_clear_error", None, ()),
    ("d2i_X509_ALGOR", _P, (_P, POINTER(c_void_p), c_long)),
    ("X509_ALGOR_free", None, (_P,)),
    ("d2i_ASN1_BIT_STRING", _P, (_P, POINTER(c_void_p), c_long)),
    ("ASN1_BIT_STRING_free", None, (_P,)),
    ("d2i_ASN1_TYPE", _P, (_P, POINTER(c_void_p), c_long)),
    ("ASN1_TYPE_free", None, (_P,)),
    ("ASN1_ANY_it", _P, ()),
    ("ASN1_item_verify", _I, (_P, _P, _P, _P, _P)),
)
_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_IDP: Final = bytes.fromhex("551d1c")  # 2.5.29.28
_PSS: Final = bytes.fromhex("2a864886f70d01010a")
_HASHES: Final = {bytes.fromhex(f"6086480165030402{last:02x}"): bits for last, bits in ((1, 256), (2, 384), (3, 512))}
_SIGNATURES: Final = {
    **{bytes.fromhex(f"2a864886f70d0101{last:02x}"): bits for last, bits in ((11, 256), (12, 384), (13, 512))},  # RSA
    **{bytes.fromhex(f"2a8648ce3d0403{last:02x}"): bits for last, bits in ((2, 256), (3, 384), (4, 512))},  # ECDSA
}
_CONTEXT: Final = 0x80  # class of the tags below
_MADE: Final = 0x20  # constructed


class CrlList:
    """What a list says of itself. Nothing of it may be believed before `signed_with` was true."""

    __slots__ = (
        "_algorithm",
        "_entries",
        "_found",
        "_signature",
        "_tbs",
        "hash_bits",
        "issuer",
        "next_update",
        "only_authorities",
        "only_users",
        "points",
        "this_update",
    )  # fmt: skip

    def __init__(self, data: bytes) -> None:
        """Read a list, PEM or DER. Raises `ValueError`, also for what RFC 5280 5.2 forbids to use: an unknown critical extension."""
        outer = Reader(_der_of(data))
        found = outer.inside()
        outer.done()
        self._tbs = found.whole(SEQUENCE)
        self._algorithm = found.whole(SEQUENCE)
        self._signature = found.whole(0x03)
        found.done()
        tbs = Reader(self._tbs).inside()
        if tbs.peek() == INTEGER:
            tbs.next(INTEGER)
        if tbs.whole(SEQUENCE) != self._algorithm:
            raise ValueError("two algorithms")  # RFC 5280 5.1.2.2
        self.hash_bits = _hash_bits(Reader(self._algorithm).inside())
        self.issuer = tbs.whole(SEQUENCE)
        self.this_update = tbs.time()
        self.next_update = tbs.time() if tbs.peek() in (UTC_TIME, GENERALIZED_TIME) else 0.0  # 0: none given, which is always stale
        self._entries = tbs.next(SEQUENCE) if tbs.peek() == SEQUENCE else (0, 0)
        self.only_users = self.only_authorities = False
        self.points: frozenset[str] = frozenset()  # of a partitioned list
        if tbs.peek() == _CONTEXT | _MADE:
            extensions = tbs.inside(_CONTEXT | _MADE).inside()
            seen = set()
            while extensions.more:
                extension = extensions.inside()
                kind = extension.content(OBJECT)
                critical = extension.peek() == BOOLEAN and extension.boolean()
                value = extension.content(OCTET_STRING)
                extension.done()
                if kind in seen:
                    raise ValueError("an extension twice")
                seen.add(kind)
                if kind == _IDP:
                    self._scope(Reader(value).inside())
                elif critical:
                    # RFC 5280 5.2: with a critical extension that is not understood (a delta CRL's too) the list must not be used.
                    raise ValueError(f"critical extension {kind.hex()}")
        tbs.done()

    def _scope(self, scope: Reader) -> None:
        """IssuingDistributionPoint, RFC 5280 5.2.5."""
        while scope.more:
            tag = scope.peek()
            if tag == _CONTEXT | _MADE:  # distributionPoint
                names = scope.inside(tag).inside(_CONTEXT | _MADE)  # fullName; one relative to the issuer is refused here
                points = []
                while names.more:
                    kind = names.peek()
                    content = names.content(kind)
                    if kind == _CONTEXT | 6:  # uniformResourceIdentifier
                        points.append(content.decode("ascii"))
                self.points = frozenset(points)
                if not points:
                    raise ValueError("a distribution point that is no URI")
            elif tag == _CONTEXT | 1:
                self.only_users = scope.boolean(tag)
            elif tag == _CONTEXT | 2:
                self.only_authorities = scope.boolean(tag)
            elif tag in (_CONTEXT | 4, _CONTEXT | 5) and not scope.boolean(tag):
                pass
            else:
                raise ValueError("indirect, attribute or reason-limited CRLs are not used")

    def lists(self, serial: int) -> bool:
        """Whether an entry has this serial number.

        Looks for the number's DER, which an entry has in no other form. What looks like an entry but is none can only say yes.
        """
        number = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
        return self._has(number) or self._has(b"\0" + number)  # a zero too many is no DER, but who wrote it meant this certificate

    def _has(self, number: bytes) -> bool:
        wanted = bytes((INTEGER, len(number))) + number
        data, (first, end) = self._tbs, self._entries
        at = first
        while (at := data.find(wanted, at, end)) >= 0:
            after = at + len(wanted)
            if after < end and data[after] in (UTC_TIME, GENERALIZED_TIME) and _begins_entry(data, first, at):
                return True
            at += 1
        return False

    def signed_with(self, certificate: bytes) -> bool:
        """Whether the key of a certificate (DER) signed this list."""
        crypto = _crypto()
        algorithm = signature = content = None
        try:
            algorithm = _decoded(crypto.d2i_X509_ALGOR, self._algorithm)
            signature = _decoded(crypto.d2i_ASN1_BIT_STRING, self._signature)
            content = _decoded(crypto.d2i_ASN1_TYPE, self._tbs)  # kept by OpenSSL as the bytes it is, and so written again
            if not (algorithm and signature and content):
                return False
            with x509.public_key(certificate) as key:
                return bool(crypto.ASN1_item_verify(crypto.ASN1_ANY_it(), algorithm, signature, content, key) == 1)
        except ValueError:
            return False
        finally:
            crypto.X509_ALGOR_free(algorithm)
            crypto.ASN1_BIT_STRING_free(signature)
            crypto.ASN1_TYPE_free(content)
            crypto.ERR_clear_error()


@cache
def _crypto() -> Any:
    return libcrypto.declare(libcrypto.slow(), _FUNCTIONS)


def _decoded(decode: Any, der: bytes) -> Any:
    at = cast(c_char_p(der), c_void_p)
    return decode(None, byref(at), len(der))


def _der_of(data: bytes) -> bytes:
    start = data.find(_BEGIN, 0, 4096)
    if start < 0:
        return data
    end = data.find(_END, start)
    if end < 0:
        raise ValueError("PEM without an end")
    return binascii.a2b_base64(data[start + len(_BEGIN) : end])


def _hash_bits(algorithm: Reader) -> int:
    """Return the size of the digest that is signed; 0 for what we do not know, which is too small."""
    kind = algorithm.content(OBJECT)
    if kind != _PSS:
        return _SIGNATURES.get(kind, 0)
    parameters = algorithm.inside()  # RFC 4055 3.1: without a hash it is SHA-1
    if parameters.peek() != _CONTEXT | _MADE:
        return 0
    return _HASHES.get(parameters.inside(_CONTEXT | _MADE).inside().content(OBJECT), 0)


def _begins_entry(data: bytes, first: int, at: int) -> bool:
    """Whether a SEQUENCE's header ends in front of `at`."""
    for size in (2, 3, 4):
        if at - size >= first and data[at - size] == SEQUENCE and (size == 2 or data[at - size + 1] == 0x7E + size):
            return True
    return False
