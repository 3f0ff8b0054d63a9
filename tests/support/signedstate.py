"""The key that signs the state of tested boxes, the anchors that their images trust, and the signature."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wardtools.state import main as wardtool_state

NAME = "ward-test.example.org/state"


def anchors(folder: Path) -> Path:
    """Return the file of `STATE_ANCHORS=` for a key in `folder`, both made once."""
    key, made = folder / "provisioning.pem", folder / "state-anchors"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        made.write_text(_run("key", "--key", str(key), "--name", NAME))
    return made


def sign(tree: Path, folder: Path) -> None:
    """Sign what will lie on a state partition."""
    _run("sign", str(tree), "--key", str(folder / "provisioning.pem"), "--name", NAME)


def _run(*words: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert wardtool_state(words) == 0, words
    return said.getvalue()
