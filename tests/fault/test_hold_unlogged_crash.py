"""Queue and custody log after a power cut, where instances are acknowledged ahead of the log: each acknowledged one is in the log once, in
order, and the log names none that the cut took. The work is the store, the forwarder's notes and the writer's journal, without sockets;
workers and writers are killed on the way, also between a write and its sync."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import random
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_hold_crash import QuickFiles, RecordedFiles, header, read

from support.crashdisk import Disk, Recorder, Step, nothing_fails
from wardgate.custody import files as custody_files
from wardgate.custody import journal as journal_module
from wardgate.custody import recover as recover_module
from wardgate.custody import wal as wal_module
from wardgate.custody import wire
from wardgate.custody.catchup import catch_up
from wardgate.custody.journal import Journal
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope
from wardgate.custody.recover import records_of, replay
from wardgate.custody.wire import Status
from wardgate.hold import files as files_module
from wardgate.hold import notes as notes_module
from wardgate.hold import segment as segment_module
from wardgate.hold.seal import Damaged
from wardgate.hold.store import Entry, Store
from wardgate.hold.unlogged import Unlogged, carried_in
from wardgate.hold.wrap import FileWrapper

STATES, PARTS = 500, 5
OK, STORE, CLOSE = int(Status.OK), 3, 4
CLASS, SYNTAX = "1.2", "1.2.840.10008.1.2.1"


class Killed(BaseException):
    """The process ends between two steps."""


class Life:
    """A box that takes and sends. `said`: (steps done by then, what, name); what an instance is: `of[name]`."""

    def __init__(self, root: Path, recorder: Recorder, key: FileWrapper, chance: random.Random) -> None:
        self.root, self.recorder, self.key, self.chance = root, recorder, key, chance
        self.files = RecordedFiles(recorder)
        self.worker = Store(root / "hold", key, self.files)
        self.forwarder = Store(root / "hold", key, self.files)
        recorder.makedirs(str(root / "log"))
        self.journal = Journal(str(root / "log"), True, 0)
        self.said: list[tuple[int, str, str]] = []
        self.sums: dict[str, tuple[bytes, int, str]] = {}  # UID -> association, seq, digest
        self.stems: dict[str, str] = {}
        self.waiting: deque[tuple[bytes, int, bytes, str]] = deque()  # what the worker has to give to the log
        self.owner: object = object()
        self.number = 0
        self.kills = 0
        self.errors = 0
        self.late = 0  # records that a writer found in the queue
        self.open()

    def say(self, what: str, uid: str) -> None:
        self.said.append((len(self.recorder.steps), what, uid))

    def open(self) -> None:
        """An association begins."""
        leg = Leg("CT1", "192.0.2.10:4242")
        self.scope = Scope("ward", "ct1", "to-hospital", self.chance.randbytes(16), leg, leg)
        self.seq = 0
        opening = wire.encode_open(64 * 2048, self.scope.open(1, Quality.UNKNOWN))
        assert self.journal.begin(self.owner, self.scope.association, 0, opening)[0] == OK
        self.journal.commit()

    def take(self, carries: bool) -> None:
        """An instance comes and is answered."""
        self.number += 1
        uid = f"1.{self.number}"
        data = self.chance.randbytes(self.chance.choice((200, 5000, 30_000)))
        digest = hashlib.sha256(data).hexdigest()
        if not carries:
            self.log_all()
        self.seq += 1
        sums = [("sha256", "dataset", digest)]
        ends = (0, Outcome.STATUS, Flow.ACCEPTOR)
        text = self.scope.store(1, Quality.UNKNOWN, self.seq, CLASS, uid, SYNTAX, len(data), sums, *ends)
        body = self.worker.begin(header(uid))
        if carries:
            body.carry(text)
        body.write(memoryview(data), True)
        self.worker.finish(body, digest)
        self.sums[uid] = (self.scope.association, self.seq, digest)
        entry = self.worker.keep(body)
        self.stems[entry.stem] = uid
        self.waiting.append((self.scope.association, self.seq, text, uid))
        if not carries:
            self.log_all()
        self.say("acknowledged", uid)

    def log_all(self, most: int = 99) -> None:
        """The custody writer takes what the worker has for it."""
        given = list(self.waiting)[:most]
        for association, seq, text, _ in given:
            assert self.journal.submit(self.owner, STORE, association, seq, text)[0] == OK
        try:
            self.journal.commit()
        except OSError:  # nothing of it counts, and the worker gives it again
            self.errors += 1
            self.recorder.fail = lambda _: None
            self.journal.repair()
            return
        for _ in given:
            self.say("logged", self.waiting.popleft()[3])

    def fail(self) -> None:
        """The disk of the log fails while instances that were acknowledged go into it: EIO at a write, or at a sync that loses pages."""
        left = [self.chance.randrange(1, 3)]

        def fail(step: Step) -> OSError | None:
            left[0] -= 1
            if left[0]:
                return None
            if step.kind == "sync":
                with nothing_fails(self.recorder):
                    self.recorder.drop_unsynced(step.inode)
            return OSError(errno.EIO, "made to fail")

        self.recorder.fail = fail
        self.log_all()
        self.recorder.fail = lambda _: None

    def close(self) -> None:
        """The association ends: its entry is closed when all that it had is in the log."""
        self.log_all()
        self.seq += 1
        record = self.scope.close(1, Quality.UNKNOWN, self.seq - 1, "released")
        assert self.journal.submit(self.owner, CLOSE, self.scope.association, self.seq, record)[0] == OK
        self.journal.commit()

    def find(self) -> Unlogged:
        return Unlogged(str(self.root / "hold"), self.files)

    def worker_killed(self) -> None:
        """kill -9 of the worker, at any step of taking an instance; the writer hears of it."""
        left = [self.chance.randrange(1, 9)]

        def after(step: Step) -> None:
            left[0] -= 1
            if not left[0]:
                raise Killed

        self.recorder.after = after
        with contextlib.suppress(Killed):
            for _ in range(4):
                self.take(True)
        self.recorder.after = lambda _: None
        self.kills += 1
        self.waiting.clear()
        entries = list(self.journal.state.open.values())
        self.late += catch_up(self.journal, entries, self.find())
        for entry in entries:
            self.journal.give_up(entry, "worker-lost")
        self.journal.commit()
        self.worker.close()  # its locks go
        self.worker = Store(self.root / "hold", self.key, self.files)
        self.open()

    def writer_killed(self) -> None:
        """kill -9 of the writer; the next one looks into the queue, and the worker sends again what it has heard nothing of."""
        self.journal.wal.close()
        self.journal = Journal(str(self.root / "log"), True, 0)
        self.late += catch_up(self.journal, self.journal.state.open.values(), self.find())
        self.journal.commit()
        for entry in self.journal.state.open.values():
            entry.owner = self.owner

    def look(self) -> list[Entry]:
        """The forwarder looks: of what nobody writes any more it is written down that the log has it."""
        self.forwarder.clear()
        unlogged = {uid for _, _, _, uid in self.waiting}
        entries = self.forwarder.entries()
        self.forwarder.all_logged({entry.stem for entry in entries if self.stems.get(entry.stem) in unlogged}, set())
        return entries

    def forward(self) -> None:
        """What the log has is sent and goes."""
        entries = self.look()
        unlogged = {uid for _, _, _, uid in self.waiting}
        logged = [entry for entry in entries if entry.stem in self.stems and self.stems[entry.stem] not in unlogged]
        for entry in logged[:3]:
            self.say("removing", self.stems[entry.stem])
            self.forwarder.remove(self.forwarder.answered(entry, 0)[0])
        self.forwarder.sync()

    def run(self, rounds: int) -> None:
        for _ in range(rounds):
            what = self.chance.randrange(13)
            if what < 6:
                self.take(carries=what < 5)
                if self.chance.random() < 0.3:
                    self.look()
            elif what < 8:
                self.log_all(self.chance.randrange(1, 4))
            elif what == 8:
                self.close()
                self.open()
            elif what == 9:
                self.worker_killed()
            elif what == 10:
                self.writer_killed()
            elif what == 11:
                self.fail()
            else:
                self.forward()
        self.worker.close()
        self.forwarder.close()
        self.journal.wal.close()


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The records of a log without a checkpoint."""
    found, _ = replay(str(folder), 0)
    return [json.loads(record) for _, record in records_of(found.segments, 0, found.state.next_index)]


def judge(crashed: Path, key: FileWrapper, life: Life, steps_done: int) -> None:
    """The next life begins: the writer first, then the forwarder."""
    said = {word: {uid for count, what, uid in life.said if count <= steps_done and what == word} for word in ("acknowledged", "removing")}
    journal = Journal(str(crashed / "log"), True, 0)
    entries = list(journal.state.open.values())
    catch_up(journal, entries, Unlogged(str(crashed / "hold"), QuickFiles()))
    for entry in entries:
        journal.give_up(entry, "writer-restarted")
    journal.commit()
    journal.wal.close()
    records = log_of(crashed / "log")
    stores = [(bytes.fromhex(one["association"]), one["seq"], one["sop_instance"]) for one in records if one["type"] == "store"]
    assert len({each[:2] for each in stores}) == len(stores), "nothing twice"
    for uid in said["acknowledged"]:
        assert stores.count((*life.sums[uid][:2], uid)) == 1, f"{uid} was acknowledged, and its record is not in the log"
    last: dict[str, int] = {}
    for one in records:
        assert one["type"] != "store" or last.get(one["association"], 0) < one["seq"], "in order"
        assert last.get(one["association"]) != -1, "nothing behind the end of an association"
        last[one["association"]] = -1 if one["type"] == "close" else one.get("seq", 0)
    assert all(seq == -1 for seq in last.values()), "each association has its end"
    store = Store(crashed / "hold", key, QuickFiles())
    store.clear()
    there: dict[str, Entry] = {}
    for entry in store.entries():
        try:
            there[uid_of(store, entry)] = entry
        except Damaged:
            continue
    for association, seq, uid in stores:
        assert life.sums[uid][:2] == (association, seq)
        if uid not in said["removing"]:
            assert uid in there, f"the log names {uid}, and it is gone"
            assert hashlib.sha256(read(store, there[uid])).hexdigest() == life.sums[uid][2]
    store.close()


def uid_of(store: Store, entry: Entry) -> str:
    reader = store.read(entry)
    reader.close()
    if reader.record:
        assert carried_in(reader.record).text == reader.record
    return reader.header.sop_instance


@pytest.fixture
def place() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_crash_state_of_a_running_study_keeps_an_acknowledged_record_from_the_log(
    place: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    (place / "key").write_bytes(bytes(range(32)))
    key = FileWrapper(place / "key")
    root = place / "disk"
    root.mkdir()
    recorder = Recorder(root)
    chance = random.Random(part)
    with monkeypatch.context() as patch:
        recorder.install(patch, files_module, custody_files, journal_module, recover_module, wal_module)
        patch.setattr(segment_module, "SEGMENT_BYTES", 40_000)
        patch.setattr(notes_module, "TURN_BYTES", 1500)
        life = Life(root, recorder, key, chance)
        life.run(120)
    assert life.kills > 2 and life.late > 2 and life.errors and sum(what == "removing" for _, what, _ in life.said) > 5
    steps = recorder.steps
    segments = {step.inode for step in steps if step.kind == "create" and step.name.endswith(".seg")}
    landing = [place for place, step in enumerate(steps) if step.kind == "landed" and step.inode in segments]  # torn, perhaps
    for state in range(STATES // PARTS):
        stop = chance.randrange(len(steps) + 1) if state % 2 else chance.choice(landing)
        crashed = place / "crashed"
        Disk.replay(steps[:stop]).crash(chance, crashed)
        if (crashed / "log").exists() and (crashed / "hold" / "queue").exists():
            try:
                judge(crashed, key, life, stop)
            except Exception as error:
                raise AssertionError(f"state {state}, {stop} of {len(steps)} steps: {error}") from error
        shutil.rmtree(crashed)
