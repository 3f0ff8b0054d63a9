"""Recovery keys of the queue: what was wrapped to one is read with its private key, and with no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from wardgate.codes import Code
from wardgate.hold.recovery import RecoveryError, RecoveryWrapper, for_each, read_private, read_public
from wardgate.hold.wrap import WrapError

CURVES = (ec.SECP256R1(), ec.SECP384R1())
DAY = "ec:0123456789abcdef:02" + "ab" * 32


def put(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: bytes = b"") -> tuple[Path, Path]:
    """Write private and public half; return both paths."""
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    private, public = path.with_suffix(".key"), path.with_suffix(".pub")
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_each_recovery_key_reads_what_was_wrapped_under_the_day_key_and_another_does_not(curve: ec.EllipticCurve) -> None:
    keys = [ec.generate_private_key(curve) for _ in range(2)]
    day, secret = os.urandom(32), os.urandom(32)
    name = DAY + for_each([key.public_key() for key in keys], day)
    assert day.hex() not in name
    for key in keys:
        assert RecoveryWrapper(key).unwrap(name, aes_key_wrap(day, secret)) == secret
    stranger = RecoveryWrapper(ec.generate_private_key(curve))
    for bad in (name, DAY):
        with pytest.raises(RecoveryError) as caught:
            stranger.fetch(bad)
        assert caught.value.code is Code.HOLD_RECOVERY


def test_a_changed_digit_of_what_was_wrapped_gives_no_key() -> None:
    key = ec.generate_private_key(CURVES[0])
    name = DAY + for_each([key.public_key()], os.urandom(32))
    for at in (len(name) - 1, len(name) - 80, len(name) - 100):
        changed = name[:at] + ("1" if name[at] == "0" else "0") + name[at + 1 :]
        with pytest.raises(WrapError):
            RecoveryWrapper(key).fetch(changed)
    with pytest.raises(RecoveryError):
        RecoveryWrapper(key).fetch(name[:-2])
    with pytest.raises(RecoveryError):
        RecoveryWrapper(key).wrap(bytes(32))


def test_keys_are_read_from_pem_files_and_anything_else_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(CURVES[1])
    private, public = put(tmp_path / "plain", key)
    locked, _ = put(tmp_path / "locked", key, b"secret")
    assert read_public(public) == key.public_key()
    for path in (private, locked):
        assert read_private(path, lambda: "secret").public_key() == key.public_key()
    with pytest.raises(RecoveryError):
        read_private(locked, lambda: "other")
    for path in (tmp_path / "none", private, put(tmp_path / "rsa", rsa.generate_private_key(65537, 2048))[1]):
        with pytest.raises(RecoveryError):
            read_public(path)
    with pytest.raises(RecoveryError):
        read_public(put(tmp_path / "k1", ec.generate_private_key(ec.SECP256K1()))[1])
