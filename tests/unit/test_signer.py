"""A key in a file, used here or in a child: the same answers, and nothing left behind when it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
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


def test_a_key_that_cannot_be_used_leaves_no_descriptor_and_no_child(tmp_path: Path) -> None:
    broken = tmp_path / "key.pem"
    broken.write_text("no key")
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ValueError, match="cannot be used"):
            SpawnedSigner(broken).sign(b"x", Scheme.ED25519)
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_child_that_cannot_start_leaves_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = key_file(tmp_path)
    before = sorted(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match="cannot be used"):
        SpawnedSigner(path).public_key()
    assert sorted(os.listdir("/proc/self/fd")) == before
