"""The custody writer of a box that holds, and what instances in the queue carry that its log has not: in before an association is given up,
once, in order; and when it cannot be, nothing is closed."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from support import held
from support.custody import Study, WriterProcess, answers, connect, reconnect
from wardgate.custody.client import CustodyClient, has
from wardgate.custody.parse import Record, parse_record
from wardgate.custody.record import Flow, Outcome, Quality
from wardgate.custody.wire import Op, Status
from wardgate.hold.header import Header
from wardgate.hold.store import Entry, Store
from wardgate.hold.wrap import FileWrapper

SECONDS = 15.0


class Queue:
    """A worker's end of a queue: instances that carry their records."""

    def __init__(self, place: Path) -> None:
        (place / "key").write_bytes(bytes(32))
        self.folder = place / "hold"
        self.store = Store(self.folder, FileWrapper(place / "key"))

    def hold(self, study: Study, text: bytes | None = None) -> Entry:
        """Make an instance durable with the text of the study's next record, which the log is not given."""
        study.seq += 1
        data = b"data set %d" % study.seq
        sums = [("sha256", "dataset", hashlib.sha256(data).hexdigest())]
        ends = (0, Outcome.STATUS, Flow.ACCEPTOR)
        uid = f"1.2.{study.seq}"
        text = text or study.scope.store(
            time.time_ns(), Quality.UNKNOWN, study.seq, "1.2", uid, "1.2.840.10008.1.2", len(data), sums, *ends
        )
        association = study.scope.association.hex()
        body = self.store.begin(Header("w", "ct1", "pacs", "CT1", "PACS", "1.2", "1.2", "1.2", uid, "00", association, 1, "", ""))
        body.carry(text)
        body.write(memoryview(data), True)
        self.store.finish(body, hashlib.sha256(data).hexdigest())
        return self.store.keep(body)


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path)


def writer_of(queue: Queue, place: Path, *options: str) -> WriterProcess:
    return WriterProcess(place, "--queue", str(queue.folder), *options)


def begun(queue: Queue, place: Path, stores: int = 1, room: int | None = None) -> tuple[WriterProcess, CustodyClient, Study]:
    """A writer, a worker of it, and its association with so many records in the log."""
    writer = writer_of(queue, place)
    client = connect(writer.socket)
    study = Study(client)
    study.open() if room is None else study.open(room)
    for _ in range(stores):
        study.store()
    answers(client, 1 + stores)
    return writer, client, study


def records(writer: WriterProcess) -> list[Record]:
    return [parse_record(entry) for entry in writer.entries()]


def shown(writer: WriterProcess) -> list[tuple[str, int | None]]:
    """Type and sequence number, or of an end how many stores it says."""
    return [
        (record.type, record.number("seq") if record.type == "store" else record.number("stores") if record.type == "close" else None)
        for record in records(writer)
    ]


def until_ended(writer: WriterProcess) -> None:
    deadline = time.monotonic() + SECONDS
    while not any(record.type == "close" for record in records(writer)):
        assert time.monotonic() < deadline, writer.text()
        time.sleep(0.05)


WHOLE = [("open", None), ("store", 1), ("store", 2), ("store", 3), ("close", 3)]


def test_what_a_lost_worker_had_acknowledged_is_in_the_log_before_its_association_is_closed(tmp_path: Path, queue: Queue) -> None:
    writer, client, study = begun(queue, tmp_path)
    for _ in range(2):
        queue.hold(study)
    client.close()
    until_ended(writer)
    assert shown(writer) == WHOLE
    assert "WG619" in writer.text()
    assert writer.stop() == 0
    assert not writer.findings().errors, writer.findings().errors


@pytest.mark.parametrize("options", [(), ("--fresh",)], ids=["waits for its workers", "waits for nobody"])
def test_a_writer_that_comes_after_a_crash_finds_it_and_nothing_twice(tmp_path: Path, queue: Queue, options: tuple[str, ...]) -> None:
    writer, client, study = begun(queue, tmp_path, stores=0)
    for _ in range(3):
        queue.hold(study)
    writer.kill()
    for _ in range(2):  # and again
        client.close()
        writer = writer_of(queue, tmp_path, "--reclaim-seconds", "1", *options)
        until_ended(writer)
        assert shown(writer) == WHOLE
        writer.kill()
    assert not writer.findings().errors, writer.findings().errors


def test_a_worker_that_lives_on_sends_the_same_again_and_it_stands_there_once(tmp_path: Path, queue: Queue) -> None:
    writer, client, study = begun(queue, tmp_path, stores=0)
    writer.kill()
    texts = []
    for seq in (1, 2):
        texts.append(study.store_record(seq))
        queue.hold(study, texts[-1])
    writer = writer_of(queue, tmp_path)
    reconnect(client)
    first = client.add(Op.STORE, study.scope.association, 1, texts[0])
    second = client.add(Op.STORE, study.scope.association, 2, texts[1])
    assert answers(client, 2) == {first: (Status.OK, 1), second: (Status.OK, 2)}
    study.store()
    study.close()
    answers(client, 2)
    assert shown(writer) == WHOLE
    client.close()
    assert writer.stop() == 0
    assert not writer.findings().errors and not writer.findings().notes


def test_with_a_queue_that_cannot_be_read_no_association_is_given_up_until_it_can(tmp_path: Path, queue: Queue) -> None:
    writer, client, study = begun(queue, tmp_path)
    for _ in range(2):
        queue.hold(study)
    segments = queue.folder / "queue"
    segments.rename(queue.folder / "away")
    segments.write_bytes(b"not a directory")
    client.close()
    deadline = time.monotonic() + SECONDS
    while writer.text().count("WG647") < 2:
        assert time.monotonic() < deadline, writer.text()
        time.sleep(0.05)
    assert shown(writer) == WHOLE[:2]
    assert has(writer.socket, [(study.scope.association, 1), (study.scope.association, 2)], SECONDS) == [Status.OK, Status.NOT_YET]
    segments.unlink()
    (queue.folder / "away").rename(segments)
    until_ended(writer)
    assert shown(writer) == WHOLE
    assert writer.stop() == 0


def test_what_a_power_cut_left_half_and_what_was_taken_back_is_no_record(tmp_path: Path, queue: Queue) -> None:
    writer, client, study = begun(queue, tmp_path)
    half = queue.hold(study)
    held.flip(half, -1)
    client.close()
    until_ended(writer)
    assert shown(writer) == [("open", None), ("store", 1), ("close", 1)]
    association = study.scope.association
    assert has(writer.socket, [(association, 1), (association, 2), (bytes(16), 9)], SECONDS) == [Status.OK, Status.REFUSED, Status.OK]
    assert writer.stop() == 0


def test_what_was_acknowledged_goes_in_also_where_no_room_was_held_for_it(tmp_path: Path, queue: Queue) -> None:
    writer, client, study = begun(queue, tmp_path, room=0)
    for _ in range(2):
        queue.hold(study)
    client.close()
    until_ended(writer)
    assert shown(writer) == WHOLE
    assert writer.stop() == 0


def test_a_segment_that_the_log_is_known_to_have_is_not_read(tmp_path: Path, queue: Queue) -> None:
    """Which is what bounds the look: it is written down when nobody writes the segment any more and the log has it all."""
    writer, client, study = begun(queue, tmp_path)
    entry = queue.hold(study)
    queue.store.put_away()
    other = Store(queue.folder, FileWrapper(tmp_path / "key"))
    other.clear()
    other.all_logged({entry.stem}, set())
    assert not other.is_logged(entry), "not while it is not in the log"
    other.all_logged(set(), {entry.place.path})
    assert not other.is_logged(entry), "nor where something could not be read"
    other.all_logged(set(), set())
    assert other.is_logged(entry)
    client.close()
    until_ended(writer)
    assert shown(writer) == [("open", None), ("store", 1), ("close", 1)]
    assert writer.stop() == 0
