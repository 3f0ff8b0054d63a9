"""Is a signature good? Asked of the libcrypto that Python's `hashlib` has brought along: for the custody writer, which is always there,
and would grow by 6 MiB with `cryptography`. Everybody else asks `note`."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_long, c_size_t, c_void_p
from functools import cache
from typing import Any, Final

from wardgate.custody.note import Kind, NoteError, VerifierKey

_LIBRARY: Final = "libcrypto.so.3"


@cache
def _library() -> Any:
    """Return libcrypto with the functions of EVP_DigestVerify(3). Raises `OSError`."""
    library = ctypes.CDLL(_LIBRARY)
    for name, result, arguments in (
        ("d2i_PUBKEY", c_void_p, (c_void_p, POINTER(c_char_p), c_long)),
        ("EVP_PKEY_free", None, (c_void_p,)),
        ("EVP_MD_CTX_new", c_void_p, ()),
        ("EVP_MD_CTX_free", None, (c_void_p,)),
        ("EVP_sha256", c_void_p, ()),
        ("EVP_DigestVerifyInit", c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)),
        ("EVP_DigestVerify", c_int, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)),
        ("ERR_clear_error", None, ()),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def check_signature(key: VerifierKey, signature: bytes, text: bytes) -> None:
    """Raise `NoteError` unless `signature` is one of `key` over `text`. Raises `OSError` when libcrypto is not there."""
    library = _library()
    public = library.d2i_PUBKEY(None, ctypes.byref(c_char_p(key.spki)), len(key.spki))
    context = library.EVP_MD_CTX_new()
    try:
        digest = library.EVP_sha256() if key.kind is Kind.ECDSA_P256 else None  # Ed25519 hashes by itself (RFC 8032)
        good = public and context and library.EVP_DigestVerifyInit(context, None, digest, None, public) == 1
        if not good or library.EVP_DigestVerify(context, signature, len(signature), text, len(text)) != 1:
            raise NoteError(f"the signature of {key.name} is wrong")
    finally:
        library.EVP_MD_CTX_free(context)
        library.EVP_PKEY_free(public)
        library.ERR_clear_error()
