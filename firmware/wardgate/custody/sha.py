"""SHA-256 of the log: OpenSSL's, which uses what the processor has for it; in the custody writer the interpreter's own.

The writer hashes a few hundred bytes a record and needs OpenSSL for nothing else: without it the process is 3 MiB smaller.
`hashlib` cannot be asked for the other one, it loads OpenSSL to see what that offers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final, Protocol

_LEAN: Final = frozenset({"wardgate.custody.writer", "wardgate.hold.writer"})  # programs that need OpenSSL for nothing else


class Hash(Protocol):
    """What is used of a hash object."""

    def digest(self) -> bytes:
        """Return the 32 bytes."""
        ...

    def hexdigest(self) -> str:
        """Return them in hexadecimal."""
        ...


def own() -> Callable[[bytes], Hash]:
    """Return the interpreter's own SHA-256; OpenSSL's when it was built without."""
    for name in ("_sha2", "_sha256"):  # from Python 3.12 on; before
        try:
            found: Callable[[bytes], Hash] = import_module(name).sha256
        except ImportError:
            continue
        return found
    from hashlib import sha256

    return sha256


def chosen() -> Callable[[bytes], Hash]:
    """Return the one that this program is to use."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # of `python -m`
    if spec is not None and spec.name in _LEAN:
        return own()
    from hashlib import sha256

    return sha256


sha256: Final = chosen()
