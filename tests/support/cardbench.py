"""A whole box whose keys are on a virtual card: real pcscd, real OpenSC, real key service; the card is pulled and inserted by the test."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from support.bench import Bench
from support.card import CardFile, KeySlot, Slot, personalise, until_present
from support.gateway import Gateway
from support.keyservice import KeyService
from support.processes import until
from support.tokenbench import knows, token_records
from support.tokenkit import need_provider
from wardkeys.card.piv import Algorithm
from wardtools.pki import Pki

OPENSC = ("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so", "/usr/lib/opensc-pkcs11.so")
PIN = "123456"
NAME = "card"
LABEL = "TEST ONLY box-card-9a"
# 9A signs for TLS, 9E for the custody log: neither wants the PIN for each signature. DCMTK 3.6.7 takes RSA under TLS 1.2.
KEYS = {KeySlot.AUTHENTICATION: Algorithm.RSA_2048, KeySlot.CARD_AUTHENTICATION: Algorithm.P256}


def opensc() -> str:
    """Return the path of OpenSC's module; skips the test when it is not installed."""
    found = next((path for path in OPENSC if Path(path).exists()), None)
    if found is None:
        pytest.skip("OpenSC is not installed (apt-get install opensc-pkcs11)")
    return found


def uri(number: int, label: str = LABEL) -> str:
    """Return the URI of a private key on the card."""
    return f"pkcs11:token={label.replace(' ', '%20')};id=%{number:02x};type=private"


def enrol(card: CardFile, pki: Pki, folder: Path, name: str = "box-card", end: datetime | None = None) -> Path:
    """Make the box's keys and certificates on a card that is in no reader; return the chain of the TLS key."""
    leaves = personalise(card, pki, name, KEYS, dns=("localhost", "box.test"), end=end)
    chain = folder / f"{card.state.serial.hex()}.pem"
    shutil.copy(leaves[KeySlot.AUTHENTICATION].chain, chain)  # the next card of that name replaces the file of the PKI
    return chain


class CardBench(Bench):
    """The card is in the first reader when the box starts. `chain`: the certificate of its TLS key."""

    def __init__(self, folder: Path, pki: Pki, slot: Slot, end: datetime | None = None) -> None:
        need_provider()
        super().__init__(folder, pki)
        self.slot, self.first = slot, slot.card
        self.chain = enrol(slot.card, pki, folder, end=end)
        slot.insert()
        self.service = KeyService(folder, {})
        self.service.add_token(NAME, opensc(), label=LABEL, pin=PIN)
        self.service.start()
        self.service.until_state(NAME, "present")
        self.peer.certificates = ((self.chain, uri(1)),)
        self.plan.custody_key = uri(4)
        self.plan.keys = {"socket": self.service.socket}

    def start(self, serves: bool = True) -> Gateway:
        """Start the box; with `serves` wait until it does: when it listens it may not have heard of the card yet."""
        box = super().start()
        if serves:
            until(lambda: self.echo().returncode == 0, "the box serves")
        return box

    def another(self, name: str = "box-card") -> CardFile:
        """Return a second card, enrolled under `name`."""
        card = CardFile(self.folder / f"{name}-2", label=name)
        enrol(card, self.pki, self.folder, name)
        return card

    def close(self) -> None:
        """End everything."""
        super().close()
        self.service.stop()
        self.slot.remove()

    def pull(self) -> None:
        """Pull the card, and wait until the box knows."""
        self.take_out()
        self.knows("TOKEN_IS_ABSENT")

    def take_out(self) -> None:
        """Pull the card, and wait until pcscd has seen it: no hand puts the next one in sooner."""
        self.slot.remove()
        until_present(self.slot, False)

    def insert(self, card: CardFile | None = None, refusal: str = "") -> None:
        """Insert a card (the first one), and wait until the box serves, or refuses it with the code of this name."""
        self.slot.card = card or self.first
        self.slot.insert()
        self.knows(refusal)

    def knows(self, refusal: str = "") -> None:
        """Wait until the box refuses with the code of this name, or serves."""
        try:
            knows(self.box, refusal)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.service.log[-2000:]}\n{self.box.log[-3000:]}") from None

    def has_recorded(self, *wanted: str) -> None:
        """Wait until the custody log has token records of these words, in this order, beside others."""

        def there() -> bool:
            found = iter(token_records(self.plan.log_dir))
            return all(word in found for word in wanted)

        until(there, f"records {wanted}: {token_records(self.plan.log_dir)}")


def block(card: CardFile) -> None:
    """Enter a wrong PIN until the card, which is in no reader, is blocked."""
    from virtualcard.card import Card
    from wardkeys.card.channel import Channel
    from wardkeys.card.errors import CardError
    from wardkeys.card.piv import Piv

    host = Piv(Channel(Card(card.store).process))
    host.select()
    for _ in range(card.state.pin.tries or 1):
        with pytest.raises(CardError):
            host.verify(b"999999")
