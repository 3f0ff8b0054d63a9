"""Break-glass by a card: real pcscd and OpenSC, our card in software, the key service, netd in network namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.card import KeySlot, Slot, personalise
from support.keyservice import KeyService
from support.netns import can
from support.plant import CLEAR, PACS, Plant
from support.processes import until
from wardkeys.card.piv import Algorithm
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(can() is not None, reason=str(can()))
MODULES = ("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so", "/usr/lib/opensc-pkcs11.so")
GLASS = f'[plant.break_glass]\nallow = true\nacts = ["card"]\ncard = "break-glass"\nminutes = 5\naddresses = ["{PACS}:{CLEAR}"]\n'


@pytest.fixture
def keys(folder: Path, slot: Slot, pki: Pki) -> Iterator[KeyService]:
    """A key service that knows the card of break-glass."""
    found = [path for path in MODULES if Path(path).exists()]
    if not found:
        pytest.skip("not installed: opensc-pkcs11")
    personalise(slot.card, pki, "break-glass", {KeySlot.AUTHENTICATION: Algorithm.P256})
    (folder / "keys").mkdir()
    made = KeyService(folder / "keys", {}, request_seconds=10.0)
    made.add_token("break-glass", found[0], "TEST ONLY break-glass-9a", "123456")
    yield made
    made.stop()
    slot.remove()


@pytest.fixture
def plant(folder: Path, pki: Pki, keys: KeyService) -> Iterator[Plant]:
    """A plant of which nothing runs yet."""
    (folder / "plant").mkdir()
    made = Plant(folder / "plant", pki)
    made.settings.tables += [GLASS, f'[keys]\nsocket = "{keys.socket}"\n']
    try:
        yield made
    finally:
        made.close()


def test_a_card_that_is_put_in_starts_break_glass_and_one_that_lay_there_does_not(plant: Plant, keys: KeyService, slot: Slot) -> None:
    slot.insert()
    keys.start()
    keys.until_state("break-glass", "present")
    plant.start_pacs_in_clear()
    plant.start_netd()
    assert plant.echo(seconds=5).returncode != 0
    slot.remove()
    keys.until_state("break-glass", "absent")
    assert "WG848" not in plant.log
    slot.insert()
    until(lambda: "WG848" in plant.log, "it has begun")
    assert "act=card" in plant.log and "TEST ONLY break-glass-9a" in plant.log
    assert plant.echo().returncode == 0
    shown = plant.ask("plant", "status", "-c", str(plant.config)).stdout
    assert "by card (card TEST ONLY break-glass-9a): the card was put in" in shown, shown
    assert "begin" in (plant.folder / "state/bypass.jsonl").read_text()


def test_a_card_that_refuses_the_pin_starts_nothing(plant: Plant, keys: KeyService, slot: Slot) -> None:
    keys.set_pin("break-glass", "999999")
    keys.start()
    plant.start_pacs_in_clear()
    plant.start_netd()
    slot.insert()
    keys.until_state("break-glass", "pin-refused")
    assert "WG848" not in plant.log and plant.echo(seconds=5).returncode != 0
