"""Puts our OpenSSL provider (`hsm/provider`) into this process, and asks it why a signature failed.

Loaded by the first `ServiceSigner.arm`, into the libcrypto that `_ssl` itself is linked to (found through the loaded `_ssl`), so a
process without keys in a token never has it. OpenSSL's default provider stays in charge of everything else.
"""

from __future__ import annotations

import ctypes
import ssl
import threading
from pathlib import Path
from typing import Final

from wardgate.codes import Code
from wardgate.transport import errors
from wardgate.transport.errors import ProfileNotMet

# OpenSSL goes through its providers by name, in this order, when nothing says otherwise: it must come after "default".
NAME: Final = b"wardkeys"
_TREE: Final = Path(__file__).parents[3] / "build" / "provider"  # installed, it lies in OpenSSL's own directory of modules
_UNSIGNED, _TEXT = 2, 4  # OSSL_PARAM_UNSIGNED_INTEGER, OSSL_PARAM_UTF8_STRING
_DETAIL_BYTES: Final = 256

_lock = threading.Lock()
_provider: Provider | None = None


class _Param(ctypes.Structure):
    """OSSL_PARAM(3)."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("data_type", ctypes.c_uint),
        ("data", ctypes.c_void_p),
        ("data_size", ctypes.c_size_t),
        ("return_size", ctypes.c_size_t),
    )


class Provider:
    """The loaded provider. What it tells is about the last signature of the calling thread."""

    def __init__(self) -> None:
        """Load it. Raises `ProfileNotMet`."""
        import _ssl

        crypto = ctypes.CDLL(getattr(_ssl, "__file__", None))
        try:
            if crypto.OpenSSL_version_num() != ssl.OPENSSL_VERSION_NUMBER:
                raise ProfileNotMet(Code.KEY_MODULE_MISSING, "the libcrypto of Python's ssl cannot be found")
            self._get_params = crypto.OSSL_PROVIDER_get_params
            load, place = crypto.OSSL_PROVIDER_try_load, crypto.OSSL_PROVIDER_set_default_search_path
        except AttributeError as error:
            raise ProfileNotMet(Code.KEY_MODULE_MISSING, f"{ssl.OPENSSL_VERSION} has no providers") from error
        load.argtypes, load.restype = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        place.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        self._get_params.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        crypto.OSSL_PROVIDER_available(None, b"default")  # is loaded by itself at first use: before ours
        in_tree = (_TREE / f"{NAME.decode()}.so").exists()
        if in_tree:
            place(None, bytes(_TREE))
        self._handle: int | None = load(None, NAME, 1)  # 1: providers that load by themselves still do
        if in_tree:
            place(None, None)
        if not self._handle:
            crypto.ERR_clear_error()
            where = str(_TREE) if in_tree else "OpenSSL's directory of modules"
            raise ProfileNotMet(Code.KEY_MODULE_MISSING, f"{NAME.decode()}.so in {where}")

    def failure(self) -> tuple[Code, str] | None:
        """Return why this thread's last signature failed; `None` when it did not."""
        number = ctypes.c_uint()
        text = ctypes.create_string_buffer(_DETAIL_BYTES)
        params = (_Param * 3)(
            _Param(b"wardkeys-code", _UNSIGNED, ctypes.addressof(number), ctypes.sizeof(number), 0),
            _Param(b"wardkeys-detail", _TEXT, ctypes.addressof(text), _DETAIL_BYTES, 0),
        )
        if not self._get_params(self._handle, ctypes.byref(params)) or not number.value:
            return None
        detail = text.value.decode("ascii", "replace")
        code = Code.numbered(number.value)
        return (code, detail) if code is not None else (Code.KEY_SERVICE_REFUSED, f"status {number.value} {detail}")

    def signatures(self) -> int:
        """Return how many signatures this thread has asked for."""
        count = ctypes.c_uint64()
        params = (_Param * 2)(_Param(b"wardkeys-signatures", _UNSIGNED, ctypes.addressof(count), ctypes.sizeof(count), 0))
        self._get_params(self._handle, ctypes.byref(params))
        return count.value


def load() -> Provider:
    """Return the provider, loaded into this process at the first call. Raises `ProfileNotMet`."""
    global _provider
    with _lock:
        if _provider is None:
            _provider = Provider()
            errors.key_failure = _provider.failure
        return _provider


def loaded() -> Provider | None:
    """Return the provider if this process has it."""
    return _provider
