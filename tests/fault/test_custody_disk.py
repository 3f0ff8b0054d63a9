"""Every state that a disk may be in when the power goes, and every write that may fail: nothing acknowledged is lost, nothing that
verifies is wrong. Recorded and replayed by `support.crashdisk`; the work is the writer's own journal and sealer under a relay."""

from __future__ import annotations

import errno
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.crashdisk import Disk, Recorder, Step, nothing_fails
from support.custody import make_key
from support.writerkit import Kit
from wardgate.custody import files, journal, logkey, recover, seal, wal
from wardgate.custody.checkpoint import Checkpoint
from wardgate.custody.note import parse_key
from wardgate.custody.parse import parse_record
from wardgate.custody.seal import read_checkpoint
from wardgate.custody.tree import check_consistency, consistency_proof
from wardtools.logdir import LogDirectory
from wardtools.verify import verify

MODULES = (files, journal, logkey, recover, seal, wal)
STATES = 500


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory where there is one: nothing here depends on the real disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


class Recorded:
    """A writer at work for a while, recorded from its first file on."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch, seed: int, rounds: int) -> None:
        self.key = make_key(place / "key.pem")
        log = place / "log"
        log.mkdir()
        self.recorder = Recorder(log)
        chance = random.Random(seed)
        with patch.context() as patched:
            self.recorder.install(patched, *MODULES)
            kit = Kit(log, self.key, chance)
            for number in range(rounds):
                kit.queue(chance.randrange(1, 12))
                kit.commit()
                self.recorder.mark(("acknowledged", kit.acknowledged))
                if number % 7 == 3:
                    self.recorder.after = self._while_sealing(kit)
                    kit.seal()
                    self.recorder.after = lambda _: None
                    self.recorder.mark(("signed", read_checkpoint(str(log))))
            kit.close()
        self.sent = kit.sent

    def _while_sealing(self, kit: Kit):  # type: ignore[no-untyped-def]
        """Return what has records committed between the sealer's steps, as the loop does beside its thread."""

        def after(step: Step) -> None:
            if step.kind in ("sync", "name") and kit.chance.random() < 0.2 and kit.journal.prepared is None:
                with nothing_fails(self.recorder):
                    kit.queue(1)
                    kit.commit()
                    self.recorder.mark(("acknowledged", kit.acknowledged))

        return after


def check(recorded: Recorded, crashed: Path, steps: list[Step]) -> None:
    """Judge one crash state as it is, recover it, work on in it, judge it again."""
    marks = [step.mark for step in steps if step.kind == "mark"]
    acknowledged = max((count for what, count in marks if what == "acknowledged"), default=0)
    signed = [head for what, head in marks if what == "signed"]
    if (crashed / "vkey").exists() and (crashed / "checkpoint").exists():
        findings = verify(LogDirectory(crashed), parse_key((crashed / "vkey").read_text()), 1)
        assert not findings.errors, findings.errors  # as the crash left it
    kit = Kit(crashed, recorded.key, random.Random(1))
    assert kit.acknowledged >= acknowledged
    before = kit.acknowledged
    records = [parse_record(recorded.sent[index]) for index in range(before)]
    ended = {record.association for record in records if record.type == "close"}
    begun = {record.association for record in records if record.type == "open"}
    assert {name.hex() for name in kit.journal.state.open} == begun - ended  # so that each is closed, by its worker or as unknown
    for entry in list(kit.journal.state.open.values()):
        kit.journal.give_up(entry, "writer-restarted")
    kit.journal.commit()
    kit.queue(3)
    kit.commit()
    kit.seal()
    kit.close()
    log = LogDirectory(crashed)
    findings = verify(log, parse_key((crashed / "vkey").read_text()), 1)
    assert not findings.errors, findings.errors
    entries = [entry for _, entry in log.records(log.view(), 0)]
    assert entries[:before] == [recorded.sent[index] for index in range(before)]
    head = log.view().head
    for old in signed:
        _continues(log, old, head)


def _continues(log: LogDirectory, old: Checkpoint, new: Checkpoint) -> None:
    """What was signed once is under every later signature."""
    assert new.size >= old.size
    if 0 < old.size < new.size:
        path = consistency_proof(log.tree(new).subtree, old.size, new.size)
        check_consistency(old.size, old.root, new.size, new.root, path)


@pytest.mark.parametrize("part", range(5))
def test_no_crash_state_of_a_running_study_loses_what_was_acknowledged(place: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    recorded = Recorded(place, monkeypatch, part, 60)
    steps = recorded.recorder.steps
    assert sum(step.kind == "sync" for step in steps) > 100 and recorded.sent
    chance = random.Random(1000 + part)
    for number in range(STATES // 5):
        stop = chance.randrange(len(steps) + 1)
        crashed = place / "crashed"
        crashed.mkdir()
        Disk.replay(steps[:stop]).crash(chance, crashed)
        try:
            check(recorded, crashed, steps[:stop])
        except Exception as error:
            raise AssertionError(f"part {part}, state {number}, after step {stop} of {len(steps)}: {error}") from error
        shutil.rmtree(crashed)


def test_writer_that_forgot_a_sync_would_be_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above is worth something only if it fails when it should: here no data is ever synced."""
    recorded = Recorded(place, monkeypatch, 1, 20)
    steps = [step for step in recorded.recorder.steps if step.kind != "sync"]
    chance = random.Random(5)
    lost = 0
    for number in range(40):
        crashed = place / f"crashed{number}"
        crashed.mkdir()
        Disk.replay(steps).crash(chance, crashed)
        try:
            check(recorded, crashed, steps)
        except Exception:
            lost += 1
    assert lost > 10


FALLIBLE = ("create", "write", "allocate", "cut", "sync", "syncdir", "name", "remove", "mkdir")


def run_with_failure(place: Path, patch: pytest.MonkeyPatch, error: int, at: int) -> tuple[bool, str]:
    """Work while the step of number `at` fails once; return whether it came to that, and which it was."""
    log = place / f"log{at}"
    log.mkdir()
    recorder = Recorder(log)
    left = at
    hit = ""

    def fail(step: Step) -> OSError | None:
        nonlocal left, hit
        if step.kind not in FALLIBLE:
            return None
        left -= 1
        if left != -1:
            return None
        hit = f"{step.kind} {step.folder}/{step.name}"
        if step.kind == "sync" and error == errno.EIO:
            recorder.drop_unsynced(step.inode)
        return OSError(error, "injected")

    with patch.context() as patched:
        recorder.install(patched, *MODULES)
        kit = Kit(log, place / "key.pem", random.Random(3))
        recorder.fail = fail
        for number in range(8):
            kit.queue(4)
            _until_done(kit, kit.commit)
            if number in (2, 5):
                _until_done(kit, kit.seal)
        recorder.fail = lambda _: None
        for entry in list(kit.journal.state.open.values()):
            kit.journal.give_up(entry, "worker-lost")
        kit.journal.commit()
        _until_done(kit, kit.seal)
        kit.close()
    view = LogDirectory(log)
    findings = verify(view, parse_key((log / "vkey").read_text()), 1)
    assert not findings.errors, (hit, findings.errors)
    entries = [entry for _, entry in view.records(view.view(), 0)]
    assert len(entries) >= kit.acknowledged
    assert entries[: len(kit.sent)] == [kit.sent[index] for index in range(len(kit.sent))], hit
    shutil.rmtree(log)
    return bool(hit), hit


def _until_done(kit: Kit, work) -> None:  # type: ignore[no-untyped-def]
    """Try as the writer's loop does: a failed write is repaired, what was not acknowledged is sent again, signing is tried again."""
    for _ in range(5):
        try:
            if kit.journal.broken:
                kit.repair()
            work()
            return
        except OSError as error:
            problem = error
    raise AssertionError(f"it never went on again: {problem!r}")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_any_write_may_fail_once_and_nothing_acknowledged_is_lost(place: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    make_key(place / "key.pem")
    kinds = set()
    for at in range(400):
        came, what = run_with_failure(place, monkeypatch, error, at)
        if not came:
            break
        kinds.add(what.split(" ")[0])
    assert kinds >= {"create", "write", "allocate", "sync", "syncdir", "name", "remove"}
    assert 50 < at < 400
