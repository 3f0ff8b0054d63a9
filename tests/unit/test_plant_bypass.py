"""Break-glass: the entries kept for the custody log, the button, the card."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wardgate.custody.event import bypass_record
from wardgate.custody.parse import RecordError, parse_record
from wardgate.custody.record import MAX_RECORD, Quality
from wardgate.plant import requests, wire
from wardgate.plant.acts import Button, Card
from wardgate.plant.bypass import MAX_ENTRIES, Journal

KEY = 0x198


def _entries(journal: Journal) -> list[tuple[str, str]]:
    return [(entry.event, entry.id) for entry in journal.entries]


def _add(journal: Journal, event: str = "begin", identifier: str = "01", at: int = 5, reason: str = "card lost") -> None:
    journal.add(event, identifier, at, "button", "/dev/input/event0", reason, "192.0.2.20:104", 60)


def test_an_entry_is_on_disk_until_it_is_recorded(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "bypass.jsonl")
    _add(journal)
    _add(journal, "end")
    again = Journal(tmp_path / "bypass.jsonl")
    assert _entries(again) == [("begin", "01"), ("end", "01")] and not again.problem
    again.done(again.entries[0].number)
    assert _entries(Journal(tmp_path / "bypass.jsonl")) == [("end", "01")]
    again.done(again.entries[0].number)
    assert (tmp_path / "bypass.jsonl").stat().st_size == 0


def test_numbers_rise_although_the_clock_goes_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "bypass.jsonl")
    for at in (1000, 5, 2000):
        _add(journal, at=at)
    numbers = [entry.number for entry in Journal(tmp_path / "bypass.jsonl").entries]
    assert numbers == sorted(set(numbers)) and [entry.at_ns for entry in journal.entries] == [1000, 5, 2000]


def test_what_the_disk_does_not_take_waits_in_memory_and_is_written_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "gone" / "bypass.jsonl")
    _add(journal)
    assert journal.problem and len(journal.entries) == 1
    (tmp_path / "gone").mkdir()
    journal.retry()
    assert not journal.problem and _entries(Journal(tmp_path / "gone" / "bypass.jsonl")) == [("begin", "01")]


def test_the_longest_entries_and_flows_fit_an_answer_of_netd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that did not fit closed the connection: the entries would never have been recorded, the report never been had."""
    journal = Journal(tmp_path / "bypass.jsonl")
    longest = "\N{BELL}" * 300
    for number in range(50):
        journal.add("begin", "ab" * 8, number, "command" * 9, longest, longest, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535," * 9, 1440)
    flow = ("seen_from_modality6", ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe", "ipv6-icmp", 65535))
    monkeypatch.setattr(requests, "read", lambda: ({}, [flow] * 4096))
    box = SimpleNamespace(bypass=SimpleNamespace(journal=journal), plant=SimpleNamespace(enforce=True), log=None)
    asked = requests.Requests(cast(Any, box), lambda: None)
    for words in ({"op": "bypass"}, {"op": "seen"}):
        answer, _ = asked.answer(words, requests.Asker(0, True))
        assert answer["ok"] and wire.encode(answer)


def test_a_damaged_journal_is_said_and_no_end_of_netd(tmp_path: Path) -> None:
    (tmp_path / "bypass.jsonl").write_text('{"number":1}\n')
    assert Journal(tmp_path / "bypass.jsonl").problem


def test_a_journal_is_full_before_it_grows_without_bound(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "bypass.jsonl")
    _add(journal)
    journal.entries *= MAX_ENTRIES - 2
    assert not journal.full
    journal.entries.append(journal.entries[0])
    assert journal.full


def test_the_longest_entry_fits_a_record_and_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "bypass.jsonl")
    journal.add("begin", "ab" * 8, 1, "command" * 9, "ä" * 300, "ä" * 300, "ä" * 900, 1440)
    record = bypass_record(2, Quality.UNKNOWN, "b" * 200, journal.entries[0]._asdict())
    assert len(record) <= MAX_RECORD
    read = parse_record(record)
    assert read.type == "bypass" and read.text("event") == "begin" and read.number("minutes") == 1440


@pytest.mark.parametrize("change", [{"event": "middle"}, {"at": "yesterday"}, {"minutes": -1}, {"minutes": True}])
def test_a_bypass_record_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    journal = Journal(tmp_path / "bypass.jsonl")
    _add(journal)
    fields = json.loads(bypass_record(2, Quality.UNKNOWN, "box", journal.entries[0]._asdict()))
    parse_record(json.dumps(fields).encode())
    with pytest.raises(RecordError):
        parse_record(json.dumps({**fields, **change}).encode())


def _event(code: int, value: int, kind: int = 1, at: float = 0.0) -> bytes:
    return struct.pack("llHHi", int(at), round(at % 1 * 1e6), kind, code, value)


@pytest.fixture
def button(tmp_path: Path) -> Iterator[tuple[Button, int]]:
    """A button on a pipe, and the end that an input device would write to."""
    path = tmp_path / "event0"
    os.mkfifo(path)
    made = Button(path, KEY, 3.0)
    assert made.open()
    writer = os.open(path, os.O_WRONLY)
    yield made, writer
    made.close()
    os.close(writer)


def test_a_button_starts_when_it_is_held_and_once(button: tuple[Button, int]) -> None:
    made, writer = button
    os.write(writer, _event(KEY, 1))
    made.read(10.0)
    assert not made.held(12.9) and made.held(13.0) and not made.held(20.0)


def test_a_button_that_was_held_while_nobody_read_counts_by_the_kernels_times(button: tuple[Button, int]) -> None:
    made, writer = button
    os.write(writer, _event(KEY, 1, at=7.5) + _event(KEY, 2, at=8.0) + _event(KEY, 0, at=10.5))
    made.read(20.0)
    assert made.held(20.0) and not made.held(20.0)
    os.write(writer, _event(KEY, 1, at=30.5) + _event(KEY, 0, at=33.4))
    made.read(40.0)
    assert not made.held(50.0)


def test_a_bump_another_key_or_a_repeat_starts_nothing(button: tuple[Button, int]) -> None:
    made, writer = button
    os.write(writer, _event(KEY, 1) + _event(0, 0, kind=0) + _event(KEY, 0))
    made.read(10.0)
    assert not made.held(20.0)
    os.write(writer, _event(KEY + 1, 1) + _event(KEY, 2))
    made.read(20.0)
    assert not made.held(30.0)


def test_an_event_that_comes_in_two_pieces_is_one(button: tuple[Button, int]) -> None:
    made, writer = button
    os.write(writer, _event(KEY, 1)[:7])
    made.read(10.0)
    os.write(writer, _event(KEY, 1)[7:])
    made.read(10.5)
    assert made.held(13.5)


def test_a_button_that_is_unplugged_is_named_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "event0"
    made = Button(path, KEY, 3.0)
    assert not made.open() and "event0" in made.problem
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    assert made.open() and not made.problem
    os.close(writer)
    made.read(1.0)
    assert made.fd == -1 and made.problem


def _report(sock: socket.socket, state: str, name: str = "break-glass") -> None:
    text = json.dumps({"tokens": [{"name": "box", "state": "present"}, {"name": name, "state": state, "label": "Break-glass 1"}]}).encode()
    sock.send(bytes((1, 0x87)) + bytes(4) + bytes(2) + len(text).to_bytes(2, "big") + text)


@pytest.fixture
def card(folder: Path) -> Iterator[tuple[Card, socket.socket]]:
    """A card as netd watches it, and the key service's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(folder / "keys.sock"))
        server.listen()
        made = Card(folder / "keys.sock", "break-glass")
        assert made.open()
        peer, _ = server.accept()
        with peer:
            assert peer.recv(99)[1] == 7  # WATCH
            yield made, peer
            made.close()


def test_a_card_that_is_put_in_starts_and_one_that_lies_there_does_not(card: tuple[Card, socket.socket]) -> None:
    made, peer = card
    said = []
    for state in ("present", "absent", "present", "present", "pin-refused", "present"):
        _report(peer, state)
        said.append(made.read())
    assert said == ["", "", "Break-glass 1", "", "", "Break-glass 1"]


def test_a_card_that_refuses_the_pin_or_is_another_starts_nothing(card: tuple[Card, socket.socket]) -> None:
    made, peer = card
    for state in ("absent", "pin-refused", "wrong", "blocked", "failed"):
        _report(peer, state)
        assert made.read() == ""
    _report(peer, "present", "another")
    assert made.read() == "" and "break-glass" in made.problem


def test_after_the_key_service_was_away_a_card_counts_as_lying_there(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(folder / "keys.sock"))
        server.listen()
        made = Card(folder / "keys.sock", "break-glass")
        made.open()
        with server.accept()[0] as peer:
            _report(peer, "absent")
            assert made.read() == ""
        assert made.read() == "" and made.problem and made.fd == -1
        made.open()
        with server.accept()[0] as peer:
            _report(peer, "present")
            assert made.read() == ""
        made.close()


@pytest.mark.parametrize(
    "packet", [b"x", bytes((1, 0x87)) + bytes(8), bytes((1, 0x87)) + bytes(6) + b"\0\x01[", bytes((1, 0x87)) + bytes(6) + b"\0\x02[]"]
)
def test_what_is_no_report_starts_nothing(card: tuple[Card, socket.socket], packet: bytes) -> None:
    made, peer = card
    peer.send(packet)
    assert made.read() == ""
