"""The legacy ISCL-style channel between two boxes whose keys are on two cards (virtual cards, real pcscd), DCMTK at both ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import datasets, peers
from support.isclboxes import TwoBoxes
from support.isclcards import MASTERS, NAMES, URIS, TwoCards
from support.pcscd import Pcscd
from support.processes import until
from support.tokenbench import knows
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")


@pytest.fixture
def cards(folder: Path, pcscd: Pcscd) -> Iterator[TwoCards]:
    (folder / "cards").mkdir()
    made = TwoCards(folder / "cards", pcscd).start()
    yield made
    made.close()


@pytest.fixture
def boxes(folder: Path, pki: Pki, cards: TwoCards, request: pytest.FixtureRequest) -> Iterator[TwoBoxes]:
    made = TwoBoxes(folder, pki, (URIS[0], URIS[1]), key_socket=cards.service.socket, **getattr(request, "param", {"r1": MASTERS}))
    yield made
    made.close()


@pytest.mark.parametrize(
    "boxes",
    [
        {"r1": MASTERS},
        {"r1": {**MASTERS, "message_unit": "write"}, "encryption": "none", "mac": "des-mac"},
    ],
    indirect=True,
    ids=["des-cbc-md5", "des-mac"],
)
def test_a_series_passes_with_keys_that_never_leave_their_cards(boxes: TwoBoxes, cards: TwoCards) -> None:
    boxes.start().serve()
    series = datasets.generate(boxes.folder / "in", 2)
    done = boxes.send(series)
    assert done.returncode == 0, done.stdout + boxes.log + cards.service.log[-2000:]
    boxes.assert_delivered(series)
    assert "iscl.keys in a file" not in boxes.a.status().stdout


def test_a_pulled_card_refuses_the_modality_and_serves_it_when_it_is_back(boxes: TwoBoxes, cards: TwoCards) -> None:
    boxes.start().serve()
    cards.slots[0].remove()
    knows(boxes.a, "TOKEN_IS_ABSENT")
    done = boxes.echo()
    assert done.returncode != 0 and "Temporary Congestion" in done.stdout, done.stdout
    assert f"REFUSED: WG740 token {NAMES[0]}: absent" in boxes.a.status().stdout
    cards.slots[0].insert()
    until(lambda: boxes.echo().returncode == 0, "served again")


@pytest.mark.parametrize("boxes", [{}], indirect=True, ids=["r1-defaults"])
def test_a_card_makes_no_message_key_with_a_key_that_answers_challenges_and_says_what_to_set(boxes: TwoBoxes) -> None:
    boxes.start()
    boxes.refused("ISCL_CARD_ERROR")
    assert "r1.master_to_server" in boxes.a.log
