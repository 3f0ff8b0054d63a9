"""A rule set that nobody confirms goes back, and stays back; what was learned gets into the kernel in the end."""

from __future__ import annotations

import time
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support import plantconfig
from wardgate.codes import Code
from wardgate.plant import links, rulekeeper
from wardgate.plant.box import Box
from wardgate.plant.features import Features
from wardgate.plant.frames import Seen
from wardgate.plant.programs import ProgramError
from wardgate.policy.endpoint import parse_endpoint
from wardgate.policy.model import Config
from wardgate.policy.plant import Act, Side

THERE = Features(*[True] * len(Features._fields))


class Kernel:
    """Stands in for nft: what was applied last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.text = ""
        self.fails = False
        monkeypatch.setattr(rulekeeper, "nft_check", self._check)
        monkeypatch.setattr(rulekeeper, "nft_apply", self._apply)
        monkeypatch.setattr(rulekeeper, "nft_json", lambda *_words: [])

    def _check(self, _text: str) -> None:
        if self.fails:
            raise ProgramError("nft: too slow")

    def _apply(self, text: str) -> None:
        self.text = text


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def config(folder: Path, keeper: str) -> Config:
    made = plantconfig.plant_config()
    management = made.plant.management._replace(sources=(ip_network(keeper),))
    glass = made.plant.break_glass._replace(allow=True, acts=(Act.COMMAND,))
    return made._replace(plant=made.plant._replace(state_dir=folder, management=management, break_glass=glass))


def late() -> float:
    return time.monotonic() + 100_000


def begun(folder: Path) -> tuple[Box, list[Code]]:
    told: list[Code] = []
    made = Box(config(folder, "198.51.100.7"), THERE, cast(Any, SimpleNamespace(event=lambda code, *_peer, **_fields: told.append(code))))
    made.apply()
    return made, told


def test_what_was_not_confirmed_does_not_come_back_with_the_next_address_that_is_learned(kernel: Kernel, tmp_path: Path) -> None:
    box, told = begun(tmp_path)
    box.reload(config(tmp_path, "203.0.113.66"))
    assert "203.0.113.66" in kernel.text and box.rules.waiting
    box.look(late())
    assert told[-1] is Code.PLANT_RULES_RESTORED and "198.51.100.7" in kernel.text
    box.apply()  # a MAC was learned, break-glass began
    assert "198.51.100.7" in kernel.text and "203.0.113.66" not in kernel.text


def test_what_was_confirmed_stays(kernel: Kernel, tmp_path: Path) -> None:
    box, _told = begun(tmp_path)
    box.reload(config(tmp_path, "203.0.113.66"))
    box.rules.confirm()
    box.look(late())
    box.apply()
    assert "203.0.113.66" in kernel.text and "198.51.100.7" not in kernel.text


def test_a_rule_set_that_could_not_be_put_back_is_put_back_at_the_next_look(kernel: Kernel, tmp_path: Path) -> None:
    box, told = begun(tmp_path)
    box.reload(config(tmp_path, "203.0.113.66"))
    kernel.fails = True
    with pytest.raises(ProgramError):
        box.look(late())
    kernel.fails = False
    box.look(late())
    assert told[-1] is Code.PLANT_RULES_RESTORED and "198.51.100.7" in kernel.text


def test_a_modality_that_was_learned_while_nft_failed_is_let_in_at_the_next_look(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries: list[dict[str, str]] = []
    monkeypatch.setattr(links, "neighbours", lambda hosts: entries.append(dict(hosts)))
    monkeypatch.setattr(links, "forget_neighbours", lambda _hosts: None)
    monkeypatch.setattr(links, "fix_station", lambda _macs, _port: None)
    box, _told = begun(tmp_path)
    frames = [Seen("02:00:00:00:00:10", "02:00:00:00:00:20", "192.0.2.10", "192.0.2.20", opens=True)]
    port = SimpleNamespace(frames=lambda: frames, side=Side.MODALITY, kind=None)
    kernel.fails = True
    with pytest.raises(ProgramError):
        box.hear(cast(Any, port))
    with pytest.raises(ProgramError):
        box.look(time.monotonic())
    kernel.fails = False
    box.look(time.monotonic())
    assert "02:00:00:00:00:10" in kernel.text
    assert [(hosts["192.0.2.10"], hosts["192.0.2.20"]) for hosts in entries] == [("02:00:00:00:00:10", "02:00:00:00:00:20")]
    box.look(time.monotonic())
    assert len(entries) == 1


def test_a_bypass_whose_end_nft_did_not_take_is_shown_and_ended_at_the_next_look(kernel: Kernel, tmp_path: Path) -> None:
    box, told = begun(tmp_path)
    closed = kernel.text
    box.bypass.start(Act.COMMAND, "root", "the card is lost")
    assert kernel.text != closed
    kernel.fails = True
    for _ in range(2):
        with pytest.raises(ProgramError):
            box.look(late())
        assert box.bypass.shown(late())["lasts"] and Code.BREAK_GLASS_ENDED not in told
    kernel.fails = False
    box.look(late())
    assert kernel.text == closed and not box.bypass.shown(late())["lasts"]
    assert told.count(Code.BREAK_GLASS_ENDED) == 1
    assert [entry.event for entry in box.bypass.journal.entries] == ["begin", "end"]


def test_a_bypass_that_was_begun_anew_and_refused_is_not_left_open(kernel: Kernel, tmp_path: Path) -> None:
    box, _told = begun(tmp_path)
    closed = kernel.text
    box.bypass.start(Act.COMMAND, "root", "the card is lost")
    kernel.fails = True
    with pytest.raises(ProgramError):
        box.bypass.start(Act.COMMAND, "root", "still")
    kernel.fails = False
    box.look(time.monotonic())
    assert kernel.text == closed


@pytest.mark.parametrize(
    ("change", "lasts"),
    [({"allow": False}, False), ({"addresses": (parse_endpoint("192.0.2.21:104"),)}, False), ({"acts": (Act.BUTTON,)}, True), ({}, True)],
)
def test_a_bypass_that_the_new_policy_does_not_allow_ends_with_the_old_one(
    kernel: Kernel, tmp_path: Path, change: dict[str, Any], lasts: bool
) -> None:
    box, told = begun(tmp_path)
    box.bypass.start(Act.COMMAND, "root", "the card is lost")
    new = config(tmp_path, "198.51.100.7")
    new = new._replace(plant=new.plant._replace(break_glass=new.plant.break_glass._replace(**change)))
    box.reload(new)
    assert box.bypass.shown(0.0)["lasts"] is lasts
    assert (Code.BREAK_GLASS_ENDED in told) is not lasts
    assert ('counter name "break_glass" accept' in kernel.text) is lasts
