"""The keys of two boxes on two cards: the ISCL application of the card in software, real pcscd, one key service that serves both."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.card import CardFile, Slot, load_iscl
from support.keyservice import KeyService
from support.pcscd import Pcscd
from wardkeys.card.iscl import Kind, Purpose

PIN: Final = "123456"
NAMES: Final = ("ward-a", "ward-b")
URIS: Final = tuple(f"pkcs11:token={name}" for name in NAMES)
# One key for each purpose: an authentication key either way, and for the message keys of either way an encryption slot.
KEYS: Final = {
    (Purpose.TO_SERVER, 1): (Kind.DES, bytes.fromhex("0123456789abcdef")),
    (Purpose.TO_CLIENT, 1): (Kind.DES, bytes.fromhex("fedcba9876543210")),
    (Purpose.ENCRYPTION, 1): (Kind.DES, bytes.fromhex("2345678998badcef")),
    (Purpose.ENCRYPTION, 2): (Kind.DES, bytes.fromhex("98badcef23456789")),
}
MASTERS: Final = {"master_to_server": 1, "master_to_client": 2}


class TwoCards:
    """Two cards in the first two readers, and the key service. `close` pulls them and ends it."""

    def __init__(self, folder: Path, pcscd: Pcscd) -> None:
        self.slots = []
        for reader, name in enumerate(NAMES):
            card = CardFile(folder / f"{name}.card", serial=bytes.fromhex(f"00c0ffee0000000{reader + 1}"), label=name)
            load_iscl(card, KEYS)
            self.slots.append(Slot(pcscd, card, reader))
        self.service = KeyService(folder, {})
        for name, slot in zip(NAMES, self.slots, strict=True):  # by reader too: else the other's card would be "another token"
            self.service.add_token(name, "iscl-card", pin=PIN, reader=slot.name)

    def start(self) -> TwoCards:
        """Insert both, start the service, wait until both serve."""
        for slot in self.slots:
            slot.insert()
        self.service.start()
        for name in NAMES:
            self.service.until_state(name, "present")
        return self

    def close(self) -> None:
        """End everything."""
        self.service.stop()
        for slot in self.slots:
            slot.remove()
