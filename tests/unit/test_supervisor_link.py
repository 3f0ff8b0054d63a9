"""The box's end of the supervisor's line: what is said and heard, how the box's health is asked for, a line that fails."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from support.processes import until
from wardgate.supervisor import health as health_module
from wardgate.supervisor import protocol
from wardgate.supervisor.conversation import SILENT_SECONDS, Conversation, Event, State, Status, What
from wardgate.supervisor.health import Health, Question
from wardgate.supervisor.protocol import Decoder, encode, number
from wardgate.supervisor.tty import Line


def _said(talk: Conversation) -> list[tuple[int, bytes]]:
    return Decoder().feed(talk.take_output())


def _event(sequence: int, what: int, ago: int = 0) -> bytes:
    return encode(protocol.EVENT, number(sequence) + bytes([what]) + number(ago))


def test_it_begins_by_asking_and_asks_again_until_something_answers() -> None:
    talk = Conversation(0.0)
    assert _said(talk) == [(protocol.HELLO, b"")]
    talk.tick(4.0)
    assert _said(talk) == []
    talk.tick(6.0)
    assert _said(talk) == [(protocol.HELLO, b"")]
    talk.receive(encode(protocol.STATUS, bytes(6)), 7.0)
    talk.tick(11.0)
    assert _said(talk) == []


def test_a_supervisor_that_does_not_answer_is_silent_until_it_does() -> None:
    talk = Conversation(0.0)
    talk.tick(SILENT_SECONDS - 1)
    assert not talk.silent
    talk.tick(SILENT_SECONDS)
    assert talk.silent
    talk.receive(encode(protocol.STATUS, bytes(6)), SILENT_SECONDS + 1)
    assert not talk.silent


def test_alive_and_grace_are_said_with_their_seconds() -> None:
    talk = Conversation(0.0)
    talk.take_output()
    talk.alive(60, serving=True)
    talk.alive(60, serving=False)
    talk.grace(900)
    assert _said(talk) == [(protocol.ALIVE, b"\x00\x3c\x01"), (protocol.ALIVE, b"\x00\x3c\x00"), (protocol.GRACE, b"\x03\x84")]


def test_a_status_is_read() -> None:
    told = Conversation(0.0).receive(encode(protocol.STATUS, b"\x04\x03\x02\x01\x00\x05"), 0.0)
    assert told == [Status(State.WITHHELD, 3, card=False, tamper=True, damaged=256, lost=5)]


def test_an_event_is_acknowledged_each_time_and_told_once() -> None:
    talk = Conversation(0.0)
    talk.take_output()
    assert talk.receive(_event(7, protocol.EVENT_TAMPER_OPENED, 30), 0.0) == [Event(What.TAMPER_OPENED, 30)]
    assert talk.receive(_event(7, protocol.EVENT_TAMPER_OPENED, 32), 2.0) == []
    assert _said(talk) == [(protocol.ACK, number(7))] * 2
    assert talk.receive(_event(8, protocol.EVENT_RESET), 0.0) == [Event(What.RESET, 0)]


@pytest.mark.parametrize(
    "frame",
    [
        _event(1, 99),
        encode(protocol.EVENT, b"\x00\x01\x01"),
        encode(protocol.EVENT, b"\x00\x01\x01\x00\x00\x00"),
        encode(protocol.STATUS, b"\x09" + bytes(5)),
        encode(protocol.STATUS, bytes(5)),
        encode(protocol.STATUS, bytes(7)),
        encode(0x7F, b"what"),
        encode(protocol.STATUS, bytes(6), version=2),
        b"\xff\xff\0",
    ],
)
def test_what_says_nothing_is_counted_and_nothing_else(frame: bytes) -> None:
    talk = Conversation(0.0)
    assert talk.receive(frame, 1.0) == []
    assert talk.damaged == 1


def test_an_event_that_is_not_known_is_acknowledged_or_it_would_be_told_for_ever() -> None:
    talk = Conversation(0.0)
    talk.take_output()
    talk.receive(_event(3, 99), 0.0)
    assert _said(talk) == [(protocol.ACK, number(3))]


def _systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "systemctl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def _asked(question: Question) -> Health:
    now = time.monotonic()
    assert question.ask(now) == ""
    while (found := question.take(time.monotonic())) is None:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize(
    ("script", "health"),
    [
        ("echo ActiveState=active", Health.SERVING),
        ("echo ActiveState=activating", Health.WAITING),
        ("echo ActiveState=failed", Health.WAITING),
        ("echo ActiveState=", Health.NOT_WELL),
        ("echo 'Failed to connect to bus' >&2; exit 1", Health.NOT_WELL),
        ("echo something else", Health.NOT_WELL),
        ("yes ActiveState=active", Health.NOT_WELL),
        ("printf '\\377\\377'", Health.NOT_WELL),
    ],
)
def test_the_box_is_well_when_the_service_manager_answers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, health: Health
) -> None:
    _systemctl(folder, monkeypatch, script)
    assert _asked(Question()) is health


def test_it_is_asked_for_the_gateway(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _systemctl(folder, monkeypatch, 'test "$*" = "show --property=ActiveState wardgate.service" && echo ActiveState=active')
    assert _asked(Question()) is Health.SERVING


def test_a_service_manager_that_does_not_answer_in_time_is_not_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _systemctl(folder, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(health_module, "ANSWER_SECONDS", 0.3)
    begun = time.monotonic()
    question = Question()
    assert _asked(question) is Health.NOT_WELL
    assert time.monotonic() - begun < 40
    assert question.fd == -1


def test_a_box_without_the_program_is_not_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert "systemctl" in Question().ask(0.0)


def test_a_line_is_raw_and_taken_alone() -> None:
    ours, theirs = os.openpty()
    line = Line(os.ttyname(theirs))
    assert line.open()
    sent = bytes(range(256))
    line.write(sent)
    said = b""
    while len(said) < len(sent):
        said += os.read(ours, 1000)
    assert said == sent
    os.write(ours, b"\x03\x04\x11\x13\r\n")
    heard = b""

    def all_heard() -> bool:  # the kernel carries it from one end to the other in a thread of its own
        nonlocal heard
        heard += line.read()
        return len(heard) >= 6

    until(all_heard, "six bytes")
    assert heard == b"\x03\x04\x11\x13\r\n"
    os.close(theirs)
    line.close()
    os.close(ours)


def test_a_line_that_is_gone_is_closed_and_says_why() -> None:
    ours, theirs = os.openpty()
    line = Line(os.ttyname(theirs))
    assert line.open()
    os.close(theirs)
    os.close(ours)
    assert line.read() == b"" and line.fd == -1 and line.problem
    assert not line.open() and line.problem


def test_a_line_that_takes_nothing_is_not_waited_for_and_fills_no_memory() -> None:
    ours, theirs = os.openpty()
    line = Line(os.ttyname(theirs))
    assert line.open()
    for _ in range(1000):
        line.write(b"x" * 100)
    assert len(line._pending) <= 4096
    line.close()
    os.close(theirs)
    os.close(ours)


def test_a_file_that_is_no_terminal_is_no_line(folder: Path) -> None:
    (folder / "file").write_text("")
    line = Line(str(folder / "file"))
    assert not line.open() and line.fd == -1 and "file" in line.problem
