"""Wraps the key of each instance of the queue under a key-encryption key: in a token (`tokenwrap`), or (development) in a file."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final, Protocol

from wardgate.codes import Code

if TYPE_CHECKING:
    from wardgate.policy.model import Hold, Keys

KEY_BYTES: Final = 32
_MAX_FILE: Final = 256


class WrapError(Exception):
    """The key-encryption key cannot be used, or is another than the one needed."""

    code = Code.HOLD_KEY


class Wrapper(Protocol):
    """A key-encryption key. `name` says which, in the header of each file; it tells nothing about the key."""

    name: str

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Return a 32-byte key, encrypted, and the name of the key under which it is. Raises `WrapError`."""
        ...

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """Return the 32-byte key wrapped under the key of this name. Raises `WrapError`."""
        ...

    def ready(self, name: str) -> bool:
        """May `unwrap` be called for that key, or is `fetch` needed first?"""
        ...

    def fetch(self, name: str) -> None:
        """Have the token give that key back. Blocks. Raises `WrapError`, `KeyServiceError`."""
        ...

    def prepare(self) -> None:
        """Do what `wrap` needs. Blocks. Raises `WrapError`, `KeyServiceError`."""
        ...

    def forget(self) -> None:
        """The token is out: know no key any more."""
        ...


def wrapper_for(hold: Hold, keys: Keys) -> Wrapper:
    """Return the wrapper of a configuration. Raises `WrapError` (a file that is no key)."""
    from wardgate.policy.keyref import TokenKey

    if isinstance(hold.key, TokenKey):
        from wardgate.hold.tokenwrap import TokenWrapper

        return TokenWrapper(hold.key, keys, recovery=hold.recovery)
    return FileWrapper(hold.key)


class FileWrapper:
    """A key in a file, for development: AES-256 key wrap (RFC 3394)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the key. Raises `WrapError`."""
        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_FILE)
        except OSError as error:
            raise WrapError(f"{os.fspath(path)}: {error.strerror}") from error
        if len(data) != KEY_BYTES:
            try:
                data = bytes.fromhex(data.decode("ascii"))
            except ValueError:
                data = b""
        if len(data) != KEY_BYTES:
            raise WrapError(f"{os.fspath(path)} is not a key of 32 bytes, raw or as 64 hex digits")
        self._key = data
        self.name = "file:" + hashlib.sha256(b"wardgate hold key\0" + data).hexdigest()[:16]

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap

        return self.name, aes_key_wrap(self._key, key)

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

        if name != self.name:
            raise WrapError(f"the file was written under key {name[:40]}, this box has {self.name}")
        try:
            return aes_key_unwrap(self._key, wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise WrapError("a wrapped key does not verify") from error

    def ready(self, name: str) -> bool:
        return True

    def fetch(self, name: str) -> None:
        pass

    def prepare(self) -> None:
        pass

    def forget(self) -> None:
        pass
