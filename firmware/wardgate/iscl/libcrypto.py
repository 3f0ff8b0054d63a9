"""The engine's ciphers from OpenSSL 3, in a library context of its own.

Single DES lives in OpenSSL's legacy provider. It is loaded into a private `OSSL_LIB_CTX` and fetched from there by name, so that the
default context of the process, which TLS uses, knows nothing of it. MD5 is Python's, marked as not used for security.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import os
from ctypes import POINTER, addressof, byref, c_char, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from typing import Any, Final

from wardgate.codes import Code
from wardgate.iscl.primitives import Cbc, Gcm, MacRun
from wardgate.iscl.terms import GCM_TAG_BYTES, Encryption, Mac

LIBRARY: Final = "libcrypto.so.3"
_NAMES: Final = {
    Encryption.DES_CBC: b"DES-CBC",
    Encryption.TRIPLE_DES_CBC: b"DES-EDE3-CBC",
    Encryption.AES_128_CBC: b"AES-128-CBC",
    Encryption.AES_256_CBC: b"AES-256-CBC",
    Encryption.AES_256_GCM: b"AES-256-GCM",
}
_SCRATCH_BYTES: Final = 32768
_SET_IVLEN, _GET_TAG, _SET_TAG = 0x9, 0x10, 0x11  # EVP_CTRL_AEAD_*


class CiphersMissing(Exception):
    """libcrypto, its legacy provider or a cipher cannot be had."""

    code = Code.ISCL_CIPHERS_MISSING


class _Library:
    """libcrypto with a context of our own. Kept for the life of the process."""

    def __init__(self) -> None:
        try:
            lib = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise CiphersMissing(f"{LIBRARY}: {error}") from error
        for name, result, arguments in (
            ("OSSL_LIB_CTX_new", c_void_p, ()),
            ("OSSL_PROVIDER_load", c_void_p, (c_void_p, c_char_p)),
            ("EVP_CIPHER_fetch", c_void_p, (c_void_p, c_char_p, c_char_p)),
            ("EVP_CIPHER_CTX_new", c_void_p, ()),
            ("EVP_CIPHER_CTX_free", None, (c_void_p,)),
            ("EVP_CipherInit_ex2", c_int, (c_void_p, c_void_p, c_char_p, c_char_p, c_int, c_void_p)),
            ("EVP_CIPHER_CTX_set_padding", c_int, (c_void_p, c_int)),
            ("EVP_CIPHER_CTX_ctrl", c_int, (c_void_p, c_int, c_int, c_void_p)),
            ("EVP_CipherUpdate", c_int, (c_void_p, c_void_p, POINTER(c_int), c_void_p, c_int)),
            ("EVP_CipherFinal_ex", c_int, (c_void_p, c_void_p, POINTER(c_int))),
            ("EVP_MAC_fetch", c_void_p, (c_void_p, c_char_p, c_char_p)),
            ("EVP_MAC_CTX_new", c_void_p, (c_void_p,)),
            ("EVP_MAC_CTX_free", None, (c_void_p,)),
            ("EVP_MAC_init", c_int, (c_void_p, c_char_p, c_size_t, c_void_p)),
            ("EVP_MAC_update", c_int, (c_void_p, c_void_p, c_size_t)),
            ("EVP_MAC_final", c_int, (c_void_p, c_void_p, POINTER(c_size_t), c_size_t)),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        self.lib = lib
        self.context = lib.OSSL_LIB_CTX_new()
        for provider in (b"default", b"legacy"):
            if not self.context or not lib.OSSL_PROVIDER_load(self.context, provider):
                raise CiphersMissing(f"provider {provider.decode()}")
        self.ciphers = {}
        for encryption, cipher in _NAMES.items():
            self.ciphers[encryption] = lib.EVP_CIPHER_fetch(self.context, cipher, None)
            if not self.ciphers[encryption]:
                raise CiphersMissing(cipher.decode())
        self.cmac = lib.EVP_MAC_fetch(self.context, b"CMAC", None)
        if not self.cmac:
            raise CiphersMissing("CMAC")


@cache
def library() -> _Library:
    """Return libcrypto, opened once. Raises `CiphersMissing`."""
    return _Library()


def _address(view: memoryview) -> int:
    """Return where the bytes of a writable view lie. The view keeps them there as long as it lives."""
    return addressof(c_char.from_buffer(view))


def _source(view: memoryview) -> Any:
    """Return what ctypes takes as the address of bytes to read."""
    return bytes(view) if view.readonly else _address(view)


class _Context:
    """An EVP_CIPHER_CTX, freed with its owner."""

    def __init__(self, encryption: Encryption, key: bytes | None, register: bytes | None, sealing: bool) -> None:
        library_ = library()
        self.lib = library_.lib
        self.pointer = self.lib.EVP_CIPHER_CTX_new()
        cipher = library_.ciphers[encryption]
        if not self.pointer or self.lib.EVP_CipherInit_ex2(self.pointer, cipher, key, register, int(sealing), None) != 1:
            raise CiphersMissing(_NAMES[encryption].decode())
        if encryption is not Encryption.AES_256_GCM:
            self.lib.EVP_CIPHER_CTX_set_padding(self.pointer, 0)

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self.lib.EVP_CIPHER_CTX_free(self.pointer)


class LibCbc:
    """`primitives.Cbc`."""

    def __init__(self, encryption: Encryption, key: bytes, register: bytes, sealing: bool) -> None:
        self._context = _Context(encryption, key, register, sealing)
        self._pointer = self._context.pointer
        self._update = self._context.lib.EVP_CipherUpdate
        self._done = c_int()

    def run(self, source: memoryview, into: memoryview) -> None:
        """Encrypt or decrypt whole cipher blocks."""
        size = len(source)
        if len(into) != size:
            raise ValueError("lengths")
        if size and (
            self._update(self._pointer, _address(into), byref(self._done), _source(source), size) != 1 or self._done.value != size
        ):
            raise ValueError("not whole cipher blocks")


class LibGcm:
    """`primitives.Gcm`: a new nonce for each block."""

    def __init__(self, key: bytes) -> None:
        self._key: bytes | None = key  # until the context has it
        self._context: _Context | None = None
        self._sealing = False
        self._done = c_int()

    def _begin(self, sealing: bool, nonce: bytes, associated: bytes) -> tuple[Any, Any]:
        if self._context is None:
            self._context = _Context(Encryption.AES_256_GCM, self._key, nonce, sealing)
            self._sealing, self._key = sealing, None
        elif sealing is not self._sealing:
            raise ValueError("one way only")
        else:
            self._context.lib.EVP_CipherInit_ex2(self._context.pointer, None, None, nonce, int(sealing), None)  # 12 bytes: the default
        lib, pointer = self._context.lib, self._context.pointer
        lib.EVP_CipherUpdate(pointer, None, byref(self._done), associated, len(associated))
        return lib, pointer

    def seal(self, nonce: bytes, associated: bytes, source: memoryview, into: memoryview) -> None:
        """Write ciphertext and tag."""
        lib, pointer = self._begin(True, nonce, associated)
        at = _address(into)
        size = len(source)
        good = lib.EVP_CipherUpdate(pointer, at, byref(self._done), _source(source), size)
        good &= lib.EVP_CipherFinal_ex(pointer, at + size, byref(self._done))
        if good != 1 or lib.EVP_CIPHER_CTX_ctrl(pointer, _GET_TAG, GCM_TAG_BYTES, at + size) != 1:
            raise CiphersMissing("AES-256-GCM")

    def open(self, nonce: bytes, associated: bytes, source: memoryview, into: memoryview) -> bool:
        """Write the plaintext; false: the tag is wrong."""
        lib, pointer = self._begin(False, nonce, associated)
        at = _address(into)
        size = len(source) - GCM_TAG_BYTES
        tag = bytes(source[size:])
        good = lib.EVP_CipherUpdate(pointer, at, byref(self._done), _source(source), size)
        good &= lib.EVP_CIPHER_CTX_ctrl(pointer, _SET_TAG, GCM_TAG_BYTES, tag)
        return bool(good == 1 and lib.EVP_CipherFinal_ex(pointer, at, byref(self._done)) == 1)


class _CbcMac:
    """ISO/IEC 9797-1 algorithm 1 (zero fill) or 3 (retail: two keys, padding method 2), zero IV, 8 bytes."""

    def __init__(self, key: bytes, retail: bool) -> None:
        self._retail = key if retail else b""
        self._cbc = LibCbc(Encryption.DES_CBC, key[:8], bytes(8), True)
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._tail = bytearray()
        self._last = bytes(8)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes."""
        view = memoryview(data)
        if self._tail:
            count = min(8 - len(self._tail), len(view))
            self._tail += view[:count]
            view = view[count:]
            if len(self._tail) == 8:
                self._run(memoryview(self._tail))
                self._tail = bytearray()
        whole = len(view) // 8 * 8
        if not self._tail:
            for start in range(0, whole, _SCRATCH_BYTES):
                self._run(view[start : min(start + _SCRATCH_BYTES, whole)])
            self._tail += view[whole:]

    def _run(self, view: memoryview) -> None:
        out = self._scratch[: len(view)]
        self._cbc.run(view, out)
        self._last = bytes(out[-8:])

    def digest(self) -> bytes:
        """Return the MAC."""
        if self._retail:
            self._tail += b"\x80"
        if self._tail:
            self._run(memoryview(self._tail + bytes(8 - len(self._tail))))
        if self._retail:
            middle = bytearray(8)
            LibCbc(Encryption.DES_CBC, self._retail[8:], bytes(8), False).run(memoryview(bytearray(self._last)), memoryview(middle))
            final = bytearray(8)
            LibCbc(Encryption.DES_CBC, self._retail[:8], bytes(8), True).run(memoryview(middle), memoryview(final))
            return bytes(final)
        return self._last


class _Cmac:
    """AES-CMAC (NIST SP 800-38B, RFC 4493); AES-128 with 16 bytes of key, AES-256 with 32."""

    def __init__(self, key: bytes) -> None:
        library_ = library()
        self._lib = library_.lib
        self._pointer = self._lib.EVP_MAC_CTX_new(library_.cmac)
        name = ctypes.create_string_buffer(b"AES-128-CBC" if len(key) == 16 else b"AES-256-CBC")
        parameters = (_Parameter * 2)(_Parameter(b"cipher", 4, addressof(name), len(name.value), 0), _Parameter())
        if not self._pointer or self._lib.EVP_MAC_init(self._pointer, key, len(key), ctypes.cast(parameters, c_void_p)) != 1:
            raise CiphersMissing("CMAC")

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes."""
        view = memoryview(data)
        if view:
            self._lib.EVP_MAC_update(self._pointer, _source(view), len(view))

    def digest(self) -> bytes:
        """Return the MAC."""
        out, size = ctypes.create_string_buffer(16), c_size_t()
        if self._lib.EVP_MAC_final(self._pointer, out, byref(size), 16) != 1 or size.value != 16:
            raise CiphersMissing("CMAC")
        return out.raw

    def __del__(self) -> None:
        if getattr(self, "_pointer", None):
            self._lib.EVP_MAC_CTX_free(self._pointer)


class _Parameter(ctypes.Structure):
    """OSSL_PARAM; the last of an array is all zero."""

    _fields_ = (
        ("key", c_char_p),
        ("data_type", ctypes.c_uint),
        ("data", c_void_p),
        ("data_size", c_size_t),
        ("return_size", c_size_t),
    )


class LibPrimitives:
    """`primitives.Primitives`. Raises `CiphersMissing` when made where OpenSSL lacks something."""

    def __init__(self) -> None:
        library()

    def cbc(self, encryption: Encryption, key: bytes, register: bytes, sealing: bool) -> Cbc:
        """Return DES, 3DES or AES in CBC mode."""
        return LibCbc(encryption, key, register, sealing)

    def gcm(self, key: bytes) -> Gcm:
        """Return AES-256-GCM."""
        return LibGcm(key)

    def mac(self, mac: Mac, key: bytes) -> MacRun:
        """Return a MAC under way."""
        if mac is Mac.AES_CMAC:
            return _Cmac(key)
        if mac is Mac.HMAC_SHA256:
            return hmac.new(key, digestmod=hashlib.sha256)
        return _CbcMac(key, mac is Mac.RETAIL)

    def random(self, size: int) -> bytes:
        """Return random bytes of the kernel."""
        return os.urandom(size)
