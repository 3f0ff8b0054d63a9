"""Power cuts of the virtual card: after every APDU and at every step of every write of a whole personalisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cardkit import SERIAL
from virtualcard import state
from virtualcard.card import Card
from virtualcard.state import CardState
from virtualcard.store import FileStore
from wardkeys.card.channel import Channel
from wardkeys.card.errors import CardError
from wardkeys.card.iscl import IsclCard, Kind, Purpose
from wardkeys.card.management import FACTORY, ManagementKey
from wardkeys.card.piv import PIN, PUK, Algorithm, Piv, Slot


class PowerCut(Exception):
    """The card lost its power."""


STEPS = ("open", "write", "sync", "rename", "sync directory")
KEYS = ((Purpose.TO_CLIENT, bytes.fromhex("0123456789abcdef")), (Purpose.TO_SERVER, bytes.fromhex("fedcba9876543201")))


def personalisation(transmit: Callable[[bytes], bytes]) -> None:
    """Every command that writes, and wrong PINs among them."""
    piv = Piv(Channel(transmit))
    piv.select()
    piv.authenticate(FACTORY)
    piv.set_management_key(ManagementKey(0x08, bytes(range(16))))
    piv.change(PIN, b"123456", b"654321")
    piv.change(PUK, b"12345678", b"87654321")
    with pytest.raises(CardError):
        piv.verify(b"999999")
    piv.verify(b"654321")
    with pytest.raises(CardError):
        piv.unblock(b"00000000", b"111111")
    piv.unblock(b"87654321", b"111111")
    piv.generate(Slot.AUTHENTICATION, Algorithm.P256)
    piv.put_certificate(Slot.AUTHENTICATION, b"\x30\x03\x02\x01\x05" * 100)
    iscl = IsclCard(Channel(transmit))
    iscl.select()
    iscl.authenticate(ManagementKey(0x08, bytes(range(16))))
    for purpose, key in KEYS:
        iscl.put_key(purpose, 1, Kind.DES, key, tries=5)
    iscl.verify(b"111111")
    iscl.challenge()
    with pytest.raises(CardError):
        iscl.external(Purpose.TO_CLIENT, 1, bytes(8))
    iscl.delete_key(Purpose.TO_SERVER, 1)


def new_card(path: Path) -> FileStore:
    path.unlink(missing_ok=True)
    store = FileStore(path)
    store.create(state.fresh(SERIAL, "ward-ct1"))
    return store


def history(folder: Path) -> list[bytes]:
    """Return the state file's content before and after each write, without the keys, which differ from run to run."""
    store = new_card(folder / "card")
    seen = [canonical(store.load())]
    watched = FileStore(folder / "card")
    plain_save = watched.save

    def save(changed: CardState) -> None:
        plain_save(changed)
        seen.append(canonical(store.load()))

    watched.save = save  # type: ignore[method-assign]
    personalisation(Card(watched).process)
    return seen


def canonical(card: CardState) -> bytes:
    for key in card.keys.values():
        key.pkcs8 = b""
    return state.to_bytes(card)


def cuts(limit: int) -> Iterator[tuple[int, str]]:
    """Every step of every write."""
    return ((write, step) for write in range(limit) for step in STEPS)


def test_a_cut_in_any_step_of_any_write_leaves_the_state_before_or_after(folder: Path) -> None:
    expected = history(folder)
    assert len(expected) > 15
    for number, (write, step) in enumerate(cuts(len(expected) - 1)):
        store = new_card(folder / "card")
        left = [number + 1]

        def cut(_: str, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise PowerCut

        with pytest.raises(PowerCut):
            personalisation(Card(FileStore(folder / "card", cut)).process)
        found = canonical(store.load())
        assert found == expected[write + (step == "sync directory")], f"write {write}, cut before {step}"
        again = Piv(Channel(Card(store).process))
        again.select()
        assert again.tries() in (1, 2, 3)


def test_a_cut_after_any_command_loses_nothing_that_was_answered(folder: Path) -> None:
    """The state after a cut between two commands is the one that the last answer stood for: no write is ever left for later."""
    store = new_card(folder / "card")
    card = Card(store)

    def transmit(apdu: bytes) -> bytes:
        answer = card.process(apdu)
        assert state.to_bytes(store.load()) == state.to_bytes(card.session.state), "answered before it was durable"
        return answer

    personalisation(transmit)


@pytest.mark.parametrize("step", STEPS)
def test_a_cut_while_a_wrong_pin_is_judged_gives_no_try_back(folder: Path, step: str) -> None:
    """Whoever cuts the power when the PIN was wrong gains nothing: the try was used up, or nothing was compared."""
    store = new_card(folder / "card")

    def cut(found: str) -> None:
        if found == step:
            raise PowerCut

    card = Card(FileStore(folder / "card", cut))
    piv = Piv(Channel(card.process))
    piv.select()
    with pytest.raises(PowerCut):
        piv.verify(b"999999")
    assert store.load().pin.tries == (2 if step == "sync directory" else 3)


def test_a_card_cut_at_each_wrong_pin_is_blocked_all_the_same(folder: Path) -> None:
    """The attack itself: try, and cut before the answer. The tries end as they do without the cuts."""
    store = new_card(folder / "card")
    for tries in (2, 1, 0):
        card = Card(store)
        assert card.process(bytes.fromhex("00a4040005a00000030800"))[-2:] == b"\x90\x00"
        card.process(bytes.fromhex("0020008008") + b"999999\xff\xff")  # the answer is never seen
        assert store.load().pin.tries == tries
    piv = Piv(Channel(Card(store).process))
    piv.select()
    with pytest.raises(CardError, match="WG778"):
        piv.verify(b"123456")


def test_the_try_is_durable_before_the_pin_is_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from the comparison itself."""
    import hmac

    store = new_card(folder / "card")
    seen = []
    real = hmac.compare_digest

    def compare(one: bytes, two: bytes) -> bool:
        seen.append(store.load().pin.tries)
        return real(one, two)

    monkeypatch.setattr("virtualcard.session.hmac.compare_digest", compare)
    piv = Piv(Channel(Card(store).process))
    piv.select()
    piv.verify(b"123456")
    assert seen == [2] and store.load().pin.tries == 3


def test_a_full_disk_is_a_memory_failure_and_changes_nothing(folder: Path) -> None:
    store = new_card(folder / "card")

    def full(step: str) -> None:
        if step == "sync":
            raise OSError(28, "no space")

    card = Card(FileStore(folder / "card", full))
    card.process(bytes.fromhex("00a4040005a00000030800"))
    before = store.load()
    assert card.process(bytes.fromhex("0020008008") + b"999999\xff\xff").hex() == "6581"
    assert store.load() == before == card.session.state and not (folder / "card.new").exists()


def test_a_torn_file_beside_the_state_does_no_harm(folder: Path) -> None:
    store = new_card(folder / "card")
    (folder / "card.new").write_bytes(b"{")
    Card(store)
    piv = Piv(Channel(Card(store).process))
    piv.select()
    piv.verify(b"123456")


def test_the_state_file_is_its_owners_alone(folder: Path) -> None:
    new_card(folder / "card")
    assert (folder / "card").stat().st_mode & 0o777 == 0o600
