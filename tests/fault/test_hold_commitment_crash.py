"""The journal and the inbox of storage commitment after a crash: every write, rename and sync recorded, replayed to legal disks."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from support.crashdisk import Disk, Recorder
from wardgate.dimse.commitment import Reference, Report
from wardgate.hold import files as files_module
from wardgate.hold.commitment.book import COMMITTED, Book, Entry, Step
from wardgate.hold.commitment.inbox import Inbox, Kind, Message
from wardgate.hold.commitment.journal import Journal, frame, frames, read
from wardgate.hold.files import Files
from wardgate.hold.memory import Pair

PAIR = Pair("ct1", "pacs", "CT1", "PACS")
WHERE = ("ct1", "pacs")
CT = "1.2.840.10008.5.1.4.1.1.2"
STATES = 300


def study(recorder: Recorder, root: Path) -> list[tuple[int, str, object]]:
    """One box's life with storage commitment. Returns (steps done, what was then said outside, of what)."""
    files = Files()
    inbox = Inbox(str(root), files)
    journal = Journal(str(root / "commitment" / "journal"), files)
    book = Book(lambda: 0.0)
    journal.open()
    journal.shorten(b"")
    said: list[tuple[int, str, object]] = []

    def say(what: str, of: object) -> None:
        said.append((len(recorder.steps), what, of))

    def write(entries: list[Entry], shorten: bool = False) -> None:
        for entry in entries:
            book.apply(entry)
        if shorten:
            journal.shorten(frames(book.entries()))
        else:
            journal.append(frames(entries))

    for number in range(12):
        uid = f"1.2.{number}"
        write(book.sent(PAIR, CT, uid, f"stem-{number}", True))
        say("removable", None)
        request = Message(Kind.ACTION, PAIR, f"5.{number}", ((CT, uid, -1),), number)
        name = inbox.put(request)
        say("accepted", f"5.{number}")  # N-ACTION-RSP 0000 to the modality
        write(book.wanted(name, PAIR, request.report(), number))
        inbox.remove(name)
        entries = book.ask(WHERE, lambda number=number: f"2.25.{number}")
        write(entries, shorten=number % 5 == 4)
        say("asked", f"2.25.{number}")  # N-ACTION-RQ to the destination
        report = Message(Kind.EVENT, PAIR, f"2.25.{number}", ((CT, uid, COMMITTED if number % 3 else 0x0112),))
        arrived = inbox.put(report)
        say("reported", uid)  # N-EVENT-REPORT-RSP 0000 to the destination
        entries, _ = book.report(WHERE, report.report())
        write(entries)
        inbox.remove(arrived)
        write(book.settle(lambda _request: True))
        say("told", f"5.{number}")  # N-EVENT-REPORT-RQ to the modality
        write(book.told(name))
        say("heard", f"5.{number}")
    journal.close()
    return said


def recovered(root: Path) -> Book:
    """What the next life makes of the disk: journal, then inbox."""
    book = Book(lambda: 0.0)
    journal = Journal(str(root / "commitment" / "journal"), Files())
    found = journal.open()
    assert not found.damaged, "a crash is not damage"
    for entry in found.entries:
        book.apply(entry)
    inbox = Inbox(str(root), Files())
    for name in inbox.names():
        message = inbox.get(name)
        if message is None:
            continue
        if message.kind is Kind.ACTION:
            entries = book.wanted(name, message.pair, message.report(), message.number)
        else:
            entries, _ = book.report(WHERE, message.report())
        for entry in entries:
            book.apply(entry)
    for entry in book.settle(lambda _request: True):
        book.apply(entry)
    return book


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    root = tmp_path / "hold"
    root.mkdir()
    made = Recorder(root)
    made.install(monkeypatch, files_module)
    return made


def test_three_hundred_crash_states_forget_nothing_that_was_said_and_claim_nothing_that_was_not(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = study(recorder, tmp_path / "hold")
    steps = list(recorder.steps)
    monkeypatch.undo()
    chance = random.Random(4)
    for state in range(STATES):
        stop = chance.randrange(len(steps) + 1)
        target = tmp_path / f"state-{state}"
        Disk.replay(steps[:stop]).crash(chance, target)
        book = recovered(target)
        before = {(what, of) for count, what, of in said if count <= stop}
        requests = {one.transaction: one for one in book.requests.values()}
        told = {one.transaction for one in book._told.values()}
        for what, of in before:
            if what == "accepted":
                assert of in requests or of in told, (state, "a request that was accepted is forgotten")
            elif what == "asked":
                assert of in book.transactions, (state, "a report of the destination would not be known")
            elif what == "reported":
                instance = book.instances[(*WHERE, str(of))]
                assert instance.step in (Step.COMMITTED, Step.FAILED), (state, "a report that was answered is forgotten")
            elif what == "heard":
                assert of in told or requests[str(of)].answered
        for (_link, _peer, uid), instance in book.instances.items():
            number = int(uid.rsplit(".", 1)[1])
            if instance.step is Step.COMMITTED:
                assert number % 3, (state, "committed, and the destination never said so")
        for request in requests.values():
            for uid, reason in request.results.items():
                assert reason >= 0 or book.instances[(*WHERE, uid)].step is Step.COMMITTED, (state, "claimed and not committed")
        os.system(f"rm -rf {target}")


def test_a_torn_tail_is_dropped_and_a_flipped_bit_is_damage() -> None:
    entries: list[Entry] = [{"e": "told", "name": f"m{number}"} for number in range(20)]
    data = frames(entries)
    for cut in range(len(data)):
        found = read(data[:cut])
        assert found.entries == entries[: len(found.entries)] and not found.damaged
        assert len(frames(found.entries)) == found.good
    one = len(frame(entries[-1]))
    for bit in range(0, (len(data) - one) * 8, 7):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        found = read(bytes(changed))
        assert found.damaged and found.entries == entries[: len(found.entries)], bit


@pytest.mark.parametrize("number", [28, 5])
def test_a_disk_that_fails_keeps_the_old_journal_and_is_tried_again(recorder: Recorder, tmp_path: Path, number: int) -> None:
    root = tmp_path / "hold"
    (root / "commitment").mkdir()
    journal = Journal(str(root / "commitment" / "journal"), Files())
    first: list[Entry] = [{"e": "told", "name": "m1"}]
    second: list[Entry] = [{"e": "told", "name": "m2"}]
    journal.shorten(frames(first))
    recorder.fail = lambda step: OSError(number, "disk") if step.kind in ("write", "sync") else None
    with pytest.raises(OSError):
        journal.append(frames(second))
    with pytest.raises(OSError):
        journal.shorten(frames(first + second))
    with pytest.raises(OSError):
        journal.append(frames(second))
    assert journal.long
    recorder.fail = lambda _step: None
    assert journal.open().entries in (first, first + second)
    journal.shorten(frames(first + second))
    assert journal.open().entries == first + second


def test_a_full_inbox_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox(str(tmp_path), Files())
    monkeypatch.setattr("wardgate.hold.commitment.inbox.MAX_WAITING", 2)
    for number in range(2):
        assert not inbox.full(Kind.EVENT)
        inbox.put(Message(Kind.ACTION, PAIR, f"5.{number}", ((CT, "1.2", -1),)))
    assert inbox.full(Kind.EVENT)
    (tmp_path / "commitment" / "inbox" / f"{1:020d}-{'0' * 16}.json").write_text("{")
    assert [inbox.get(name) is None for name in inbox.names()] == [True, False, False]
    assert Report("5.0", (Reference(CT, "1.2"),)) == inbox.get(inbox.names()[1]).report()  # type: ignore[union-attr]
