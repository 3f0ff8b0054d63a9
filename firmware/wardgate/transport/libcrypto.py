"""The libcrypto that Python's own `ssl` is linked to, for what `ssl` does not reach: no second OpenSSL comes into the process."""

from __future__ import annotations

import ctypes
import ssl
from collections.abc import Iterable
from functools import cache
from typing import Any

Signature = tuple[str, Any, tuple[Any, ...]]  # name, result and arguments of a function, types of `ctypes`
Library = ctypes.CDLL  # `ctypes.PyDLL` is one


def open_library(long_calls: bool) -> Library:
    """Return a handle of its own; `long_calls`: its functions let go of the interpreter's lock. Raises `LookupError`."""
    import _ssl

    path = getattr(_ssl, "__file__", None)  # symbols are looked for in what it is linked to as well
    library: Library = ctypes.CDLL(path) if long_calls else ctypes.PyDLL(path)
    try:
        if library.OpenSSL_version_num() == ssl.OPENSSL_VERSION_NUMBER:
            return library
    except AttributeError:
        pass
    raise LookupError("the libcrypto of Python's ssl cannot be found")


def declare(library: Library, signatures: Iterable[Signature]) -> Library:
    """Give each function (name, result, arguments) its types. Raises `LookupError` for one that is not there."""
    for name, result, arguments in signatures:
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise LookupError(f"{ssl.OPENSSL_VERSION} has no {name}") from error
        function.restype, function.argtypes = result, arguments
    return library


@cache
def quick() -> Library:
    """Return the handle for short calls, which keep the interpreter's lock."""
    return open_library(long_calls=False)


@cache
def slow() -> Library:
    """Return the handle for calls that may take milliseconds."""
    return open_library(long_calls=True)
