"""What a person is shown is what the card signs: `wardtool card authorize`, with a card that counts its signatures."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from support.person import Person
from wardgate.hold.statement import Named, statement
from wardtools.card.authorize import authorize

TEXT = statement("ward", "ct1", "00" * 16, "2026-11-30T10:00:00Z", "read twice", [Named("1.2.3", "ab" * 32)])


class Card:
    """A stand-in for `Work`: a certificate in every slot, and signatures that are counted."""

    aside = nullcontext

    def __init__(self) -> None:
        self.signatures = 0
        self.piv = self
        self._certificate = x509.load_der_x509_certificate(Person(ec.generate_private_key(ec.SECP256R1())).der)

    def certificate(self, _slot: object) -> x509.Certificate:
        return self._certificate

    def verify(self, _pin: bytes) -> None:
        pass

    def sign(self, *_: object) -> bytes:
        self.signatures += 1
        return b"signature"


def sign(folder: Path, card: Any, text: bytes) -> int:
    """Have a statement signed without being asked."""
    (folder / "pin").write_text("123456")
    (folder / "statement").write_bytes(text)
    options = argparse.Namespace(slot="9c", yes=True, pin_file=folder / "pin", statement=folder / "statement", out=folder / "out")
    return authorize(card, options)


def test_a_statement_is_shown_and_signed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = Card()
    assert sign(tmp_path, card, TEXT.encode()) == 0
    assert TEXT in capsys.readouterr().err and json.loads((tmp_path / "out").read_text())["statement"] == TEXT


@pytest.mark.parametrize("hidden", ["\x1b[1A\x1b[2K", "\r", "\x08" * 80, "\x7f", "\x00", "\t"])
def test_a_statement_that_a_terminal_would_show_otherwise_is_not_signed(
    tmp_path: Path, hidden: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card = Card()
    with pytest.raises(ValueError, match="not a statement"):
        sign(tmp_path, card, f"{TEXT}instance 9.9.9 sha256 {'cd' * 32}{hidden}\n".encode())
    assert not card.signatures and hidden not in capsys.readouterr().err
