"""A key in a file, used here or in a child: the same answers, and nothing left behind when it cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_der_public_key

from wardgate.signer import FileSigner, Scheme, SpawnedSigner


def key_file(folder: Path) -> tuple[Path, Ed25519PrivateKey]:
    key = Ed25519PrivateKey.generate()
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path, key


def test_the_child_signs_as_the_key_does(tmp_path: Path) -> None:
    path, key = key_file(tmp_path)
    for signer in (FileSigner(path), SpawnedSigner(path)):
        public = signer.public_key()
        assert public == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        load_der_public_key(public).verify(signer.sign(b"a checkpoint", Scheme.ED25519), b"a checkpoint")  # type: ignore[union-attr,call-arg]


# In a process of its own: other tests of this one have children and descriptors that come and go.
_LEFT_BEHIND = """
import os, sys
from wardgate.signer import Scheme, SpawnedSigner

signer, executable = SpawnedSigner(sys.argv[1]), sys.argv[2]
before = sorted(os.listdir("/proc/self/fd"))
sys.executable = executable
for _ in range(3):
    try:
        signer.sign(b"x", Scheme.ED25519)
        sys.exit("it signed")
    except ValueError as error:
        assert "cannot be used" in str(error), error
assert sorted(os.listdir("/proc/self/fd")) == before, (before, os.listdir("/proc/self/fd"))
try:
    os.waitpid(-1, os.WNOHANG)
    sys.exit("a child is left")
except ChildProcessError:
    print("clean")
"""


def what_is_left(key: Path, executable: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", _LEFT_BEHIND, str(key), executable]
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.stdout.splitlines()[-1]


def test_a_key_that_cannot_be_used_leaves_no_descriptor_and_no_child(tmp_path: Path) -> None:
    broken = tmp_path / "key.pem"
    broken.write_text("no key")
    assert what_is_left(broken, sys.executable) == "clean"


def test_a_child_that_cannot_start_leaves_no_descriptor(tmp_path: Path) -> None:
    path, _ = key_file(tmp_path)
    assert what_is_left(path, str(tmp_path / "gone")) == "clean"
