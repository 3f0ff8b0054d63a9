"""Searches the memory of a running process, as somebody with its account and a debugger could."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_CHUNK = 4 << 20


def secrets_of(key_file: Path) -> dict[str, bytes]:
    """Return what of a private key would give it away, by name: each number in both byte orders."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = {"scalar": key.private_numbers().private_value}
    else:
        assert isinstance(key, rsa.RSAPrivateKey)
        private = key.private_numbers()
        numbers = {"p": private.p, "q": private.q, "d": private.d, "dmp1": private.dmp1, "dmq1": private.dmq1, "iqmp": private.iqmp}
    found = {}
    for name, number in numbers.items():
        size = (number.bit_length() + 7) // 8
        for order in ("big", "little"):
            found[f"{name} {order}-endian"] = number.to_bytes(size, "big" if order == "big" else "little")
    return found


def found_in(pid: int, needles: Mapping[str, bytes]) -> set[str]:
    """Return the names of the needles that stand in any readable mapping of the process.

    Raises `FileNotFoundError` or `ProcessLookupError` when it has ended, `OSError` when it may not be read.
    """
    found: set[str] = set()
    longest = max(map(len, needles.values()))
    searched = 0
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in _mappings(pid):
            span, mode, *_ = line.split()
            if "r" not in mode or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(text, 16) for text in span.split("-"))
            at = start
            while at < end:
                try:
                    data = os.pread(memory.fileno(), min(_CHUNK, end - at), at)
                except OSError:
                    break  # a mapping of a device, or gone
                searched += len(data)
                found |= {name for name, needle in needles.items() if needle in data}
                if len(data) < _CHUNK:
                    break
                at += _CHUNK - longest
    _mappings(pid)  # a search that its end cut short does not count
    assert searched > 1 << 20, f"only {searched} bytes of {pid} could be read"
    return found


def _mappings(pid: int) -> list[str]:
    found = Path(f"/proc/{pid}/maps").read_text().splitlines()
    if not found:
        raise ProcessLookupError(f"process {pid} has ended")
    return found
