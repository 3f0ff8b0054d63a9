"""The queue after a power cut: every write and sync of a running study recorded in order and replayed to legal disks; EIO and ENOSPC at
each of them. Intake and forwarder's store do here what worker and forwarder let them do, without sockets."""

from __future__ import annotations

import errno
import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support import held
from support.crashdisk import Disk, Recorder, Step, nothing_fails
from wardgate.hold import files as files_module
from wardgate.hold import notes as notes_module
from wardgate.hold import segment as segment_module
from wardgate.hold import slabs as slabs_module
from wardgate.hold.body import Aside
from wardgate.hold.files import Files
from wardgate.hold.header import Header
from wardgate.hold.seal import Damaged
from wardgate.hold.state import State
from wardgate.hold.store import Body, Entry, Store
from wardgate.hold.wrap import FileWrapper

STATES, PARTS = 500, 2
SENT = (State.ANSWERED, State.AWAITING)


class RecordedFiles(Files):
    """A hole is recorded as zeros that are not synced: what a file system may have done of it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def direct(self, fd: int) -> None:
        """The disk under the recorder is waited for no more than needed."""

    def punch(self, fd: int, offset: int, size: int) -> None:
        self._recorder.pwrite(fd, bytes(size), offset)


class QuickFiles(Files):
    """What the judge does is not judged itself: it waits for no disk."""

    def sync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass


def data_of(uid: str) -> bytes:
    """The data set of an instance: its UID gives it."""
    chance = random.Random(uid)
    return chance.randbytes(chance.choice((200, 5000, 30_000, 70_000, 140_000)))


def header(uid: str) -> Header:
    return Header("w", "ct1", "pacs", "CT1", "PACS", "1.2", "1.2.840.10008.1.2.1", "1.2", uid, "00", "ab" * 16, 1, "", "")


class Life:
    """A box with a queue. `said`: (steps done by then, what was said outside or decided, of which stem)."""

    def __init__(self, root: Path, recorder: Recorder, key: FileWrapper) -> None:
        self.recorder = recorder
        self.said: list[tuple[int, str, str]] = []
        self.aside: Aside | None = None
        self.uids: dict[str, str] = {}
        self.files = RecordedFiles(recorder)
        self.worker = Store(root, key, self.files)
        self.forwarder = Store(root, key, self.files)

    def close(self) -> None:
        """Let go of its files."""
        self.worker.close()
        self.forwarder.close()

    def say(self, what: str, stem: str) -> None:
        self.said.append((len(self.recorder.steps), what, stem))

    def tried(self, work: Callable[[], object]) -> bool:
        """Do something that the disk may refuse."""
        try:
            work()
        except OSError:
            return False
        return True

    def begin(self, uid: str) -> Body | None:
        """Take an instance up to its trailer."""
        body = None
        try:
            body = self.worker.begin(header(uid), self.aside)
            data = data_of(uid)
            for at in range(0, len(data), 16000):
                body.write(memoryview(data)[at : at + 16000])
            self.worker.finish(body, hashlib.sha256(data).hexdigest())
        except OSError:
            if body is not None:
                self.worker.drop(body)
            return None
        return body

    def end(self, uid: str, body: Body | None) -> Entry | None:
        """Keep it and answer its sender."""
        if body is None:
            return None
        try:
            entry = self.worker.keep(body)
        except OSError:
            self.worker.drop(body)
            return None
        self.uids[entry.stem] = uid
        self.say("acknowledged", entry.stem)
        return entry

    def take(self, uid: str) -> Entry | None:
        return self.end(uid, self.begin(uid))

    def older(self, number: int, uid: str) -> None:
        """A file as a box had it that knew no segments."""
        other = Path(self.forwarder.directory).with_name("other")
        with nothing_fails(self.recorder):
            store = Store(other, self.worker.wrapper, self.files)
            body = store.begin(header(uid))
            body.write(memoryview(data_of(uid)))
            store.finish(body, hashlib.sha256(data_of(uid)).hexdigest())
            content = held.sealed(store.keep(body))
            store.close()
        shutil.rmtree(other)
        stem = f"{number:016d}-{'0f' * 8}"
        if self.tried(lambda: self.files.write_whole(f"{self.forwarder.queue}/{stem}.held", content)):
            self.uids[stem] = uid
            self.say("acknowledged", stem)

    def answered(self, entry: Entry) -> None:
        """The destination took it."""
        if self.tried(lambda: self.forwarder.answered(entry, 0)) and self.tried(self.forwarder.sync):
            self.say("answered", entry.stem)

    def run(self, rounds: int = 6) -> None:
        """A study comes and goes, with everything that can happen to an instance."""
        self.older(1, "9.1")
        self.older(2, "9.2")
        for number in range(rounds):
            base = f"1.{number}"
            self.take(f"{base}.1")
            one, two = self.begin(f"{base}.2"), self.begin(f"{base}.3")  # at once: two segments
            self.end(f"{base}.3", two)
            self.end(f"{base}.2", one)
            cut = self.begin(f"{base}.4")
            if cut is not None:
                self.worker.drop(cut)
            back = self.begin(f"{base}.5")
            if back is not None:
                try:
                    self.worker.keep(back)
                except OSError:
                    self.worker.drop(back)
                else:
                    self.tried(lambda back=back: self.worker.drop(back, kept=True))  # type: ignore[misc]
            self.take(f"{base}.6")
            self.forward(number)
            if number % 2:
                self.worker.put_away()  # the worker was replaced
            self.tried(self.forwarder.clear)

    def forward(self, number: int) -> None:
        waiting = [entry for entry in self.forwarder.entries() if entry.state is State.WAITING]
        for place, entry in enumerate(waiting[:5]):
            if place == 1 and number % 3 == 0:
                aside = self.tried(lambda entry=entry: self.forwarder.set_aside(entry, {"status": "C000"}))  # type: ignore[misc]
                if aside and self.tried(self.forwarder.sync):
                    self.say("aside", entry.stem)
                continue
            self.answered(entry)
        for place, entry in enumerate(entry for entry in self.forwarder.entries() if entry.state is State.ANSWERED):
            if place % 3 == 2:
                if self.tried(lambda entry=entry: self.forwarder.await_commitment(entry)) and self.tried(self.forwarder.sync):  # type: ignore[misc]
                    self.say("awaiting", entry.stem)
            elif place % 3 == 1:
                self.say("removing", entry.stem)
                self.tried(lambda entry=entry: self.forwarder.remove(entry))  # type: ignore[misc]
        for entry in self.forwarder.awaiting()[:-1]:
            self.say("removing", entry.stem)
            self.tried(lambda entry=entry: self.forwarder.remove(entry))  # type: ignore[misc]
        for entry in self.forwarder.quarantined() if number % 3 == 2 else ():
            self.say("asked back", entry.stem)
            if number == 2:
                self.tried(lambda entry=entry: self.forwarder.put_back(entry.stem))  # type: ignore[misc]
            else:
                self.say("removing", entry.stem)
                if self.tried(lambda entry=entry: self.forwarder.release(entry.stem)):  # type: ignore[misc]
                    self.say("released", entry.stem)
        self.tried(self.forwarder.sync)


def judge(root: Path, key: FileWrapper, life: Life, steps_done: int) -> None:
    """Open the queue as the next life does: nothing acknowledged is lost, nothing is wrong, nothing answered is sent again."""
    said: dict[str, list[str]] = {}
    for count, what, stem in life.said:
        if count <= steps_done:
            said.setdefault(stem, []).append(what)
    store = Store(root, key, QuickFiles())
    _, damaged = store.clear()
    assert not damaged, "a crash is not damage"
    there = {entry.stem: entry for entry in (*store.entries(), *store.quarantined())}
    for stem, words in said.items():
        entry = there.get(stem)
        if "removing" in words:
            assert entry is None or entry.state is not State.WAITING or "answered" not in words, f"{stem} {words}: sent again"
            assert entry is None or "released" not in words, f"{stem} {words}: back from the dead"
            continue
        if "acknowledged" in words:
            assert entry is not None, f"{stem} {words}: lost"
            assert read(store, entry) == data_of(life.uids[stem]), f"{stem} {words}"
            if "answered" in words:
                assert entry.state in SENT, f"{stem} {words}: {entry.state}"
            if "awaiting" in words:
                assert entry.state is State.AWAITING, f"{stem} {words}: {entry.state}"
            if "aside" in words and "asked back" not in words:
                assert entry.state is State.QUARANTINED and store.why(stem) == {"status": "C000"}
    for stem, entry in there.items():
        if "acknowledged" in said.get(stem, ()) or entry.state is not State.WAITING:
            continue
        try:
            data = read(store, entry)
        except (Damaged, FileNotFoundError):
            continue  # goes to quarantine by name: nobody was told that it is stored
        assert data == data_of(uid_of(store, entry)), "wrong bytes that verify"
    new = store.begin(header("7.7"))
    new.write(memoryview(data_of("7.7")))
    store.finish(new, hashlib.sha256(data_of("7.7")).hexdigest())
    kept = store.keep(new)
    assert kept.number > max((entry.number for entry in there.values()), default=0)
    store.answered(kept, 0)
    store.sync()
    again = Store(root, key, QuickFiles())
    assert {entry.stem: entry for entry in (*again.entries(), *again.quarantined())}[kept.stem].state is State.ANSWERED
    store.close()
    again.close()


def read(store: Store, entry: Entry) -> bytes:
    reader = store.read(entry)
    try:
        return b"".join(reader.chunks())
    finally:
        reader.close()


def uid_of(store: Store, entry: Entry) -> str:
    reader = store.read(entry)
    reader.close()
    return reader.header.sop_instance


@pytest.fixture
def key(tmp_path: Path) -> FileWrapper:
    (tmp_path / "key").write_bytes(bytes(range(32)))
    return FileWrapper(tmp_path / "key")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.fixture
def recorder(root: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder(root)
    made.install(monkeypatch, files_module)
    monkeypatch.setattr(segment_module, "SEGMENT_BYTES", 150_000)
    monkeypatch.setattr(notes_module, "TURN_BYTES", 1500)
    return made


@pytest.mark.parametrize("part", range(PARTS))
def test_no_crash_state_of_a_running_study_loses_or_repeats_or_falsifies(
    root: Path, recorder: Recorder, key: FileWrapper, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    life = Life(root / "hold", recorder, key)
    if part % 2:  # instances of several pieces, written beside the loop
        monkeypatch.setattr(slabs_module, "PIECE_BYTES", 16 << 10)
        life.aside = lambda write: write()
    life.run()
    life.close()
    steps = list(recorder.steps)
    assert {what for _, what, _ in life.said} >= {"acknowledged", "answered", "awaiting", "removing", "aside", "asked back", "released"}
    assert sum(step.kind == "create" and step.name.endswith(".seg") for step in steps) > 4
    assert sum(step.kind == "remove" and step.name.endswith(".seg") for step in steps) >= 1, "segments go"
    monkeypatch.undo()
    chance = random.Random(part)
    for state in range(STATES // PARTS):
        stop = chance.randrange(len(steps) + 1)
        target = root.with_name("crashed")
        Disk.replay(steps[:stop]).crash(chance, target)
        if (target / "hold").exists():
            try:
                judge(target / "hold", key, life, stop)
            except Exception as error:
                raise AssertionError(f"state {state}, {stop} of {len(steps)} steps: {error}") from error
        shutil.rmtree(target)


def failing(recorder: Recorder, number: int, error: int) -> None:
    """Let the step of this number fail once; after a sync that failed the kernel has dropped what it could not write."""
    left = [number]

    def fail(step: Step) -> OSError | None:
        if step.kind not in ("create", "write", "landed", "sync", "syncdir", "name", "cut") or (
            error == errno.ENOSPC and step.kind in ("landed", "sync", "cut")
        ):
            return None
        left[0] -= 1
        if left[0]:
            return None
        if step.kind in ("landed", "sync"):
            with nothing_fails(recorder):
                recorder.drop_unsynced(step.inode)
        return OSError(error, "made to fail")

    recorder.fail = fail


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_an_error_at_each_write_costs_no_acknowledged_instance(
    root: Path, recorder: Recorder, key: FileWrapper, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    life = Life(root / "hold", recorder, key)
    before = len(recorder.steps)
    life.run(3)
    life.close()
    steps = len(recorder.steps) - before
    for number in range(1, steps + 1):
        place = root / f"hold{number}"
        recorder.steps.clear()
        life = Life(place, recorder, key)
        failing(recorder, number, error)
        life.run(3)
        recorder.fail = lambda _: None
        done = len(recorder.steps)
        life.close()
        try:
            judge(place, key, life, done)  # the process was killed, and began again
        except Exception as caught:
            raise AssertionError(f"step {number} of {steps}: {caught}") from caught
        shutil.rmtree(place)
