"""The supervisor's own program under MicroPython and the box's link, on one line: armed, fed, silent, unplugged, shouted at."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.mcuboard import AMBER, BUTTON, CARD, GREEN, RED, TAMPER, Link, Supervisor, micropython
from support.processes import until
from wardgate.custody.record import Quality
from wardgate.provision import kept
from wardgate.supervisor.shown import line, read

SILENCE = 5  # the least that a supervisor takes


@pytest.fixture
def supervisor(folder: Path) -> Iterator[Supervisor]:
    micropython()
    made = Supervisor(folder)
    yield made
    made.unplug()


@pytest.fixture
def link(folder: Path, supervisor: Supervisor) -> Iterator[Link]:
    made = Link(folder, supervisor.line, SILENCE)
    yield made
    made.end()


def test_a_box_whose_link_is_killed_is_reset_within_its_seconds_and_told_so_when_it_is_back(supervisor: Supervisor, link: Link) -> None:
    link.until("WG950", "state=armed")
    said = link.manager.hear(SILENCE + 2)  # fed: longer than a silence may last
    assert any("WATCHDOG=1" in one for one in said), "the link tells that it is alive itself"
    assert supervisor.resets() == []
    link.process.kill()
    killed = time.time()
    link.process.wait(60)
    until(supervisor.resets, "the box is reset")
    pulled = supervisor.resets()
    assert len(pulled) == 1
    assert killed < pulled[0] < killed + SILENCE + 5
    link.start()
    assert "what=reset" in link.until("WG953")
    link.until("WG950", "state=armed resets=1")
    assert len(supervisor.resets()) == 1


def test_a_box_that_is_not_well_is_not_said_to_be_alive(supervisor: Supervisor, link: Link) -> None:
    link.until("WG950", "state=armed")
    link.answer("")
    link.until("WG955")
    until(supervisor.resets, "the box is reset")
    assert len(supervisor.resets()) == 1
    assert link.process.poll() is None, "the link itself is well"


def test_with_the_button_held_when_power_comes_the_program_does_not_run_and_resets_nothing(supervisor: Supervisor) -> None:
    supervisor.unplug()
    supervisor.set(BUTTON, 0)
    supervisor.plug()
    assert supervisor.ended(60.0) == 0
    assert supervisor.resets() == []
    supervisor.unplug()
    supervisor.set(BUTTON, 1)
    supervisor.plug()
    assert supervisor.ended(1.0) is None


def test_a_device_that_floods_the_line_gets_no_processor_for_it(supervisor: Supervisor, link: Link) -> None:
    link.until("WG950", "state=armed")
    before, begun = link.seconds_of_processor(), time.monotonic()
    noise = random.Random(3).randbytes(1000)
    said, took = 0, 0.0
    while took < 2 or (said <= 20_000 and took < 60):  # a busy machine takes less of it at a time
        said += supervisor.noise(noise)
        took = time.monotonic() - begun
    assert said > 20_000
    assert link.seconds_of_processor() - before < 0.3 * took
    assert len(link.lines("WG952")) <= 21 * (1 + took // 10)  # 20 in ten seconds and what was left out
    assert link.process.poll() is None


def test_events_noise_and_a_cable_that_is_pulled_and_put_back(supervisor: Supervisor, link: Link) -> None:
    link.until("WG950", "state=armed")
    supervisor.set(TAMPER, 1)
    assert " ERROR " in link.until("WG956", "what=tamper_opened")
    supervisor.set(TAMPER, 0)
    link.until("WG957", "what=tamper_closed")
    supervisor.set(CARD, 0)
    link.until("WG957", "what=card_in")
    supervisor.set(BUTTON, 0)
    link.until("WG958", "what=button_held")
    supervisor.set(BUTTON, 1)
    assert [level for _, level in supervisor.writes(RED)] == [1, 0]

    # Noise both ways: the box counts what it cannot read and goes on.
    supervisor.noise(random.Random(7).randbytes(3000) + b"\0")
    link.until("WG952")
    supervisor.set(CARD, 1)
    link.until("WG957", "what=card_out")

    # Nothing more is known by a supervisor that had no power: it is armed anew.
    before = len(link.lines("WG950"))
    supervisor.unplug()
    assert "ward-supervisor" in link.until("WG951")
    supervisor.plug()
    until(lambda: any("state=armed" in line for line in link.lines("WG950")[before:]), "it is armed anew")
    assert link.process.poll() is None and supervisor.resets() == []

    # Going down on purpose: patience is asked for, and given; amber says so.
    begun = time.time()
    link.process.send_signal(signal.SIGTERM)
    assert link.process.wait(60) == 0
    until(lambda: len([when for when, _ in supervisor.writes(AMBER) if when > begun]) >= 3, "it blinks")
    assert supervisor.writes(GREEN)[-1][1] == 0 and supervisor.resets() == []


def _kept(link: Link) -> list[tuple[str, str]]:
    return [(one.event.value, one.code) for one in kept.waiting(link.state, "ward", time.time_ns(), Quality.UNKNOWN)]


def _shows(link: Link, words: str, seconds: float = 60.0) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = line(read(str(link.shown)), time.time())
        if words in text:
            return text
        time.sleep(0.05)
    raise AssertionError(f"no {words!r} in {text!r}")


def test_resets_and_tamper_are_kept_for_the_custody_log_and_shown_in_the_status(supervisor: Supervisor, link: Link) -> None:
    link.until("WG950", "state=armed")
    assert "no reset was told" in _shows(link, "watchdog armed, box closed")
    supervisor.set(TAMPER, 1)
    link.until("WG956", "what=tamper_opened")
    _shows(link, "box OPEN")
    supervisor.set(TAMPER, 0)
    link.until("WG957", "what=tamper_closed")
    supervisor.set(BUTTON, 0)
    link.until("WG958", "what=button_held")
    supervisor.set(BUTTON, 1)
    supervisor.set(CARD, 0)
    link.until("WG957", "what=card_in")
    assert _kept(link) == [("box-opened", "WG956"), ("box-closed", "WG957"), ("button-held", "WG958")]
    link.process.kill()
    link.process.wait(60)
    until(supervisor.resets, "the box is reset")
    link.start()
    link.until("WG953")
    assert "it reset the box, which had not said that it was alive" in _shows(link, "1 resets in the last hour")
    assert ("supervisor-reset", "WG953") in _kept(link)
    supervisor.unplug()
    _shows(link, "SILENT since")


def test_what_happened_while_the_box_was_off_is_kept_once_when_it_is_back(supervisor: Supervisor, link: Link) -> None:
    link.until("WG950", "state=armed")
    link.process.kill()
    link.process.wait(60)
    for level in (1, 0):
        supervisor.set(TAMPER, level)
        until(lambda: supervisor.writes(RED)[-1:] and supervisor.writes(RED)[-1][1] == level, "it has seen it")  # noqa: B023
    link.start()
    link.until("WG957", "what=tamper_closed")
    link.until("WG950", "state=armed")
    time.sleep(3.0)  # an event is told every two seconds until it is acknowledged
    assert [one for one in _kept(link) if one[0].startswith("box-")] == [("box-opened", "WG956"), ("box-closed", "WG957")]
