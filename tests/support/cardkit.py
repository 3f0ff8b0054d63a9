"""The virtual card under unit tests: raw commands by hex, without the host's code under test."""

from __future__ import annotations

from virtualcard import state
from virtualcard.card import Card
from virtualcard.state import CardState
from virtualcard.store import MemoryStore

PIV_AID, ISCL_AID = "a000000308", "f0574152444953434c01"
SERIAL = bytes.fromhex("00c0ffee00000001")


class Raw:
    """A card and its store; `power` makes the card come back from a power cut."""

    def __init__(self, first: CardState | None = None) -> None:
        self.store = MemoryStore(first or state.fresh(SERIAL, "ward-ct1"))
        self.power()

    def power(self) -> None:
        """Cut the power and give it back."""
        self.card = Card(self.store)

    def send(self, hexes: str) -> tuple[bytes, str]:
        """Send one APDU; return data and status word."""
        answer = self.card.process(bytes.fromhex(hexes))
        return answer[:-2], answer[-2:].hex()

    def status(self, hexes: str) -> str:
        """Send one APDU; return the status word."""
        return self.send(hexes)[1]

    def good(self, hexes: str) -> bytes:
        """Send one APDU that must be answered 9000; return its data."""
        data, status = self.send(hexes)
        assert status == "9000", f"{hexes}: {status}"
        return data

    def select(self, aid: str = PIV_AID) -> Raw:
        """Select an application."""
        self.good(f"00a40400{len(aid) // 2:02x}{aid}00")
        return self

    def pin(self, digits: str = "123456") -> Raw:
        """Verify the PIN."""
        self.good("0020008008" + digits.encode().ljust(8, b"\xff").hex())
        return self

    def admin(self) -> Raw:
        """Authenticate with the factory's management key."""
        from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        from cryptography.hazmat.primitives.ciphers import Cipher, modes

        challenge = self.good("0087039b047c02810000")[4:]
        response = Cipher(TripleDES(state.FACTORY_ADMIN), modes.ECB()).encryptor().update(challenge)
        self.good("0087039b0c7c0a8208" + response.hex())
        return self
