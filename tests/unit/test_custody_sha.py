"""SHA-256 of the log: two implementations, one digest, and which a process takes."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from wardgate.custody.sha import own, sha256


@pytest.mark.parametrize("size", [0, 1, 55, 56, 64, 65, 700, 16384])
def test_both_implementations_give_the_same_digest(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    assert own()(data).digest() == hashlib.sha256(data).digest() == sha256(data).digest()
    assert own()(data).hexdigest() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("program", ["wardgate.custody.tree", "wardtools.verify"])
def test_other_programs_than_the_writer_hash_with_openssl(program: str) -> None:
    code = f"import {program}; from wardgate.custody import tree; print(tree.sha256.__module__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "_hashlib\n"
