"""SoftHSM tokens of a test: in a folder of their own, keys made inside the token and not extractable."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.processes import run
from wardkeys.cryptoki import constants as c

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")
PIN = "471100"
SO_PIN = "00471100"
P256 = bytes.fromhex("06082a8648ce3d030107")
P384 = bytes.fromhex("06052b81040022")
ED25519 = bytes.fromhex("130c656477617264733235353139")


def softhsm_module() -> str:
    """Return the path of SoftHSM's module; skips the test when it or its tool is not installed."""
    for path in MODULES:
        if os.path.exists(path) and shutil.which("softhsm2-util"):
            return path
    pytest.skip("SoftHSM 2 is not installed (apt-get install softhsm2)")


class SoftHsm:
    """A set of SoftHSM tokens below `folder`. `env` makes a process see them."""

    def __init__(self, folder: Path) -> None:
        self.module = softhsm_module()
        self.tokens = folder / "tokens"
        self.tokens.mkdir()
        conf = folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n")
        self.env = {"SOFTHSM2_CONF": str(conf)}

    def new_token(self, label: str, pin: str = PIN) -> str:
        """Make a token and return its serial number."""
        before = set(self.tokens.iterdir())
        argv = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", SO_PIN]
        ended = run(argv, env=self.env)
        assert ended.returncode == 0, ended.stdout
        (made,) = set(self.tokens.iterdir()) - before
        return made.name.replace("-", "")[-16:]

    def provision(self, label: str, *keys: tuple[str, str], pin: str = PIN, secrets: Mapping[str, bytes] | None = None) -> None:
        """Make key pairs (name, kind as in `admin`, with -extractable or -agrees) and put secret keys on a token."""
        words = [f"{name}={kind}" for name, kind in keys] + [f"{name}:{value.hex()}" for name, value in (secrets or {}).items()]
        self._child(label, pin, words)

    def add_certificate(self, label: str, name: str, identifier: bytes, value: bytes, pin: str = PIN) -> None:
        """Put a certificate (DER) on a token."""
        self._child(label, pin, [f"{name}@{identifier.hex()}@{value.hex()}"])

    def _child(self, label: str, pin: str, words: list[str]) -> None:
        ended = run([sys.executable, "-m", "support.softhsm", self.module, label, pin, *words], env={**self.env, **python_path()})
        assert ended.returncode == 0, ended.stdout

    def remove(self) -> None:
        """Take all tokens away."""
        self.tokens.rename(self.tokens.with_name("taken"))
        self.tokens.mkdir()

    def put_back(self) -> None:
        """Return what `remove` took."""
        shutil.rmtree(self.tokens)
        self.tokens.with_name("taken").rename(self.tokens)


def python_path() -> dict[str, str]:
    """Return what a child needs to import the tree."""
    root = Path(__file__).resolve().parents[2]
    return {"PYTHONPATH": os.pathsep.join(str(root / part) for part in ("firmware", "hsm", "tools", "tests"))}


def _provision(module_path: str, label: str, pin: str, words: list[str]) -> None:
    from wardkeys.cryptoki.admin import certificate, create, generate_pair
    from wardkeys.cryptoki.module import Module
    from wardkeys.cryptoki.session import Session
    from wardkeys.cryptoki.slots import tokens

    module = Module(module_path)
    module.restart(0)
    with module:
        (slot,) = [token.slot for token in tokens(module) if token.label == label]
        session = Session(module, slot, c.CKF_RW_SESSION)
        session.login(ctypes.create_string_buffer(pin.encode()), len(pin))
        for number, word in enumerate(words, 1):
            if ":" in word:
                name, value = word.split(":")
                create(session, secret_key(name, bytes.fromhex(value)))
                continue
            if "@" in word:
                name, identifier, value = word.split("@")
                create(session, certificate(name, bytes.fromhex(identifier), bytes.fromhex(value), b"0\0"))
                continue
            name, kind = word.split("=")
            bare = kind.removesuffix("-extractable").removesuffix("-agrees")
            generate_pair(session, name, bytes((number,)), bare, kind.endswith("-extractable"), kind.endswith("-agrees"))
        session.close()
    module.finalize()


def secret_key(label: str, value: bytes) -> dict[int, bytes | bool | int]:
    """Return the template of a secret key: 8 bytes become DES3 with three equal parts, 16 and 32 AES."""
    kind = c.CKK_DES3 if len(value) in (8, 24) else c.CKK_AES
    return {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_KEY_TYPE: kind,
        c.CKA_TOKEN: True,
        c.CKA_PRIVATE: True,
        c.CKA_SENSITIVE: True,
        c.CKA_EXTRACTABLE: False,
        c.CKA_ENCRYPT: True,
        c.CKA_DECRYPT: True,
        c.CKA_SIGN: True,
        c.CKA_LABEL: label.encode(),
        c.CKA_VALUE: value * 3 if len(value) == 8 else value,
    }


if __name__ == "__main__":
    _provision(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
