"""Virtual cards in the readers of a private pcscd: inserted, removed and swapped by the test, in a thread of the test's process."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from support.pcscd import Pcscd
from support.processes import until
from virtualcard import state
from virtualcard.card import Card
from virtualcard.store import FileStore
from virtualcard.vpcd import Vpcd
from wardkeys.card.channel import Channel
from wardkeys.card.iscl import IsclCard, Kind, Purpose
from wardkeys.card.management import FACTORY
from wardkeys.card.piv import Algorithm, Piv
from wardkeys.card.piv import Slot as KeySlot
from wardkeys.card.publickey import public_key
from wardkeys.pcsc import Pcsc
from wardtools.pki import Leaf, Pki


class CardFile:
    """One card in a drawer: its state file, made where there is none."""

    def __init__(
        self,
        path: Path,
        *,
        serial: bytes | None = None,
        label: str = "ward-card",
        pin: bytes = state.FACTORY_PIN,
        puk: bytes = state.FACTORY_PUK,
        tries: int = 3,
        delay_ms: float = 0.0,
    ) -> None:
        self.store = FileStore(path)
        self.delay_seconds = delay_ms / 1000
        if not path.exists():
            self.store.create(state.fresh(serial or os.urandom(8), label, pin=pin, puk=puk, tries=tries))

    @property
    def state(self) -> state.CardState:
        """What the card has durably."""
        return self.store.load()


class Slot:
    """One reader's slot and the card in it."""

    def __init__(self, pcscd: Pcscd, card: CardFile, reader: int = 0) -> None:
        self.pcscd, self._reader = pcscd, reader
        self.card = card
        self._inserted: tuple[Vpcd, threading.Thread] | None = None

    @property
    def inside(self) -> bool:
        """Whether a card is in and served."""
        return self._inserted is not None and self._inserted[1].is_alive()

    @property
    def name(self) -> str:
        """The reader's name."""
        return self.pcscd.reader_name(self._reader)

    def insert(self) -> None:
        """Put the card in. pcscd sees it within about 0.4 s; `until_present` waits for that.

        pcscd asks vpcd four times a second or less, and takes a card that came in between for the one that went: so this waits until it
        has seen the slot empty.
        """
        assert not self.inside, "a card is in already"
        until_present(self, False)
        front = Vpcd(Card(self.card.store), self.pcscd.connect(self._reader), self.card.delay_seconds)
        thread = threading.Thread(target=front.serve, daemon=True)
        self._inserted = (front, thread)
        thread.start()

    def remove(self) -> None:
        """Pull the card; a command under way gets no answer."""
        if self._inserted is not None:
            front, thread = self._inserted
            front.remove()
            thread.join(60)
            self._inserted = None

    def swap(self, card: CardFile) -> None:
        """Pull the card and put another one in."""
        self.remove()
        self.card = card
        self.insert()

    def seen(self, pcsc: Pcsc) -> bool:
        """Tell whether pcscd has seen a card in the slot: by its count of events, for its word is wrong after a failed reset."""
        (found,) = [one for one in pcsc.look() if one.name == self.name]
        return found.events % 2 == 1

    def set_delay(self, milliseconds: float) -> None:
        """Change how long a signature takes, at once."""
        self.card.delay_seconds = milliseconds / 1000
        if self._inserted is not None:
            self._inserted[0].delay_seconds = self.card.delay_seconds


def until_present(slot: Slot, present: bool = True) -> None:
    """Wait until pcscd has seen that the card is in, or gone."""
    with slot.pcscd.pcsc() as pcsc:
        until(lambda: slot.seen(pcsc) == present, f"card in {slot.name}: {present}")


def personalise(card: CardFile, pki: Pki, name: str, keys: Mapping[KeySlot, Algorithm], **settings: object) -> dict[KeySlot, Leaf]:
    """Make keys on a card that is in no reader, and certificates of the test PKI for them: `NAME-9a` and so on, no key file.

    OpenSC shows the slots 9A 9C 9D 9E as ids 01 02 03 04, the token's label is the common name of the first certificate (`TEST ONLY
    NAME-9a`), its serial number the card's. EC keys in 9D can only agree keys there, not sign. `settings` go to `Pki.issue`.
    """
    host = Piv(Channel(Card(card.store).process))
    host.select()
    host.authenticate(FACTORY)
    made = {}
    for slot, algorithm in keys.items():
        public = public_key(algorithm, host.generate(slot, algorithm))
        agrees = slot is KeySlot.KEY_MANAGEMENT  # OpenSC lets a key agree, or an RSA key decrypt, when its certificate says so
        made[slot] = pki.issue(f"{name}-{slot:02x}", public=public, agrees=agrees, **settings)  # type: ignore[arg-type]
        host.put_certificate(slot, made[slot].certificate.public_bytes(serialization.Encoding.DER))
    return made


def load_iscl(card: CardFile, keys: Mapping[tuple[Purpose, int], tuple[Kind, bytes]], *, tries: int = 0, same_pair: bool = False) -> None:
    """Put ISCL keys on a card that is in no reader."""
    host = IsclCard(Channel(Card(card.store).process))
    host.select()
    host.authenticate(FACTORY)
    for (purpose, slot), (kind, key) in keys.items():
        host.put_key(purpose, slot, kind, key, tries=tries, unsafe_same_pair=same_pair)
