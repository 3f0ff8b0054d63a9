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


@pytest.mark.parametrize(("before", "module"), [("", {"_sha256", "_sha2"}), ("import hashlib; ", {"_hashlib"})])
def test_a_process_takes_openssl_where_it_has_it_already_and_does_not_load_it_for_the_log(before: str, module: set[str]) -> None:
    code = f"{before}from wardgate.custody import tree; import sys; print(tree.sha256.__module__, '_hashlib' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[0] in module
    assert said[1] == str(bool(before))
