"""SHA-256 of the log: OpenSSL's where a process has OpenSSL anyway, else the interpreter's own.

The custody writer hashes a few hundred bytes a record and needs OpenSSL for nothing else: without it the process is 4 MiB smaller.
`hashlib` cannot be asked for the other one, it loads OpenSSL to see what that offers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final, Protocol


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
    """Return OpenSSL's, which uses what the processor has for it, when it is loaded already; else the interpreter's own."""
    if "_hashlib" in sys.modules:
        from hashlib import sha256

        return sha256
    return own()


sha256: Final = chosen()
