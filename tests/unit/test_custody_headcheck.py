"""The child that judges whether the log's own key signed a checkpoint: its verdicts, and that nobody waits for it for ever."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wardgate.custody import headcheck
from wardgate.custody.checkpoint import Checkpoint
from wardgate.custody.note import NoteError, VerifierKey, add_signature, key_from_spki

ORIGIN = "box.example.org/custody"


def _made() -> tuple[VerifierKey, bytes]:
    private = Ed25519PrivateKey.generate()
    key = key_from_spki(ORIGIN, private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    text = Checkpoint(ORIGIN, 7, bytes(32)).text
    return key, add_signature(text, key, private.sign(text.encode())).encode()


def test_what_the_key_signed_passes_and_what_another_signed_does_not() -> None:
    key, note = _made()
    headcheck.must_be_signed(note, key)
    with pytest.raises(NoteError, match="is not one that"):
        headcheck.must_be_signed(note, _made()[0])
    with pytest.raises(NoteError, match="is not one that"):
        headcheck.must_be_signed(note.replace(b"\n7\n", b"\n8\n"), key)


def test_a_child_that_hangs_is_ended_and_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = tmp_path / "python"
    hangs.write_text("#!/bin/sh\nexec sleep 300\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    monkeypatch.setattr(headcheck, "_SECONDS", 0.2)
    key, note = _made()
    begun = time.monotonic()
    with pytest.raises(OSError, match="status -9"):
        headcheck.must_be_signed(note, key)
    assert time.monotonic() - begun < 100
