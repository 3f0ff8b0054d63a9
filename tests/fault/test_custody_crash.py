"""The custody writer killed, the machine cut off, the files damaged."""

from __future__ import annotations

import random
import select
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from support.custody import Study, WriterProcess, answers, connect, drain, reconnect
from wardgate.custody import frames
from wardgate.custody.checkpoint import Checkpoint
from wardgate.custody.parse import parse_record
from wardgate.custody.recover import Damaged, recover
from wardgate.custody.tree import check_consistency, consistency_proof
from wardgate.custody.wal import wal_numbers, wal_path
from wardgate.custody.wire import Status
from wardtools.logdir import LogDirectory

MEMORY = Path("/dev/shm")
LEAST = 10  # acknowledgements between two kills


def ask(study: Study, asked: dict[int, tuple[Study, int]]) -> None:
    """Queue the study's next store."""
    request = study.store()
    asked[request] = (study, study.seq)


def store_until(
    studies: list[Study], acknowledged: dict[tuple[str, int], int], asked: dict[int, tuple[Study, int]], seconds: float
) -> None:
    """Keep one store of each study under way for a while, and until some are acknowledged; note every acknowledgement."""
    client = studies[0].client
    deadline, enough = time.monotonic() + seconds, len(acknowledged) + LEAST
    busy = {study.id for study, _ in asked.values()}
    for study in studies:
        if study.id not in busy:
            ask(study, asked)
    client.flush()
    while time.monotonic() < deadline or len(acknowledged) < enough:
        assert time.monotonic() < deadline + 60, "nothing is acknowledged"
        if not select.select([client.fileno()], [], [], 0.01)[0]:
            continue
        for request, status, index in client.receive():
            study, seq = asked.pop(request)
            assert status is Status.OK
            acknowledged[(study.id, seq)] = index
            ask(study, asked)
        client.flush()


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_random_instants_loses_no_acknowledged_record_and_repeats_none(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    options = ("--checkpoint-records", "60", "--reclaim-seconds", "100")
    writer = WriterProcess(tmp_path, *options)
    client = connect(writer.socket)
    studies = [Study(client) for _ in range(4)]
    for study in studies:
        study.open()
    answers(client, 4)
    acknowledged: dict[tuple[str, int], int] = {}
    asked: dict[int, tuple[Study, int]] = {}
    heads: list[Checkpoint] = []
    for _ in range(6):
        store_until(studies, acknowledged, asked, 0.05 + chance.random() * 0.25)
        writer.kill()
        assert not writer.findings().errors, writer.findings().errors  # as the dead writer left it
        heads.append(LogDirectory(writer.log).view().head)
        writer = WriterProcess(tmp_path, *options)
        for request, _, index in drain(client):
            study, seq = asked.pop(request)
            acknowledged[(study.id, seq)] = index
        reconnect(client)
        for request, (status, index) in answers(client, len(asked)).items():
            study, seq = asked.pop(request)
            assert status is Status.OK
            acknowledged[(study.id, seq)] = index
    for study in studies:
        study.close()
    assert all(status is Status.OK for status, _ in answers(client, 4).values())
    assert writer.stop() == 0, writer.text()
    findings = writer.findings()
    assert not findings.errors and not findings.notes, findings
    records = [parse_record(entry) for entry in writer.entries()]
    for (name, seq), index in acknowledged.items():
        assert records[index].association == name and records[index].number("seq") == seq
    pairs = [(record.association, record.number("seq")) for record in records if record.type == "store"]
    assert len(pairs) == len(set(pairs))
    assert len(acknowledged) >= 6 * LEAST
    log = LogDirectory(writer.log)
    head = log.view().head
    for old in heads:
        if old.size:
            proof = consistency_proof(log.tree(head).subtree, old.size, head.size)
            check_consistency(old.size, old.root, head.size, head.root, proof)


def small_log(tmp_path: Path, count: int = 3) -> WriterProcess:
    """Return a killed writer's log with one association, `count` stores each acknowledged alone, nothing signed but size 0."""
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    for _ in range(count):
        study.store()
        answers(client, 1)
    writer.kill()
    client.close()
    return writer


def last_file(log: Path) -> Path:
    """Return the write-ahead file with records."""
    files = [Path(wal_path(str(log), number)) for number in wal_numbers(str(log))]
    return max((file for file in files if b'"type"' in file.read_bytes()), key=lambda file: file.name)


def ends_of(data: bytes) -> list[int]:
    """Return where each good frame ends."""
    ends, at = [], 0
    while (frame := frames.decode(data, at)) is not None:
        at = frame.end
        ends.append(at)
    return ends


def test_tail_torn_at_every_byte_is_dropped_and_what_was_before_it_stays(tmp_path: Path) -> None:
    written = small_log(tmp_path).log
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as place:  # a disk would be waited for at each byte
        log = Path(shutil.copytree(written, Path(place) / "log"))
        path = last_file(log)
        data = path.read_bytes()
        ends = ends_of(data)
        assert len(ends) == 5  # state, open, three stores
        for cut in range(ends[2], ends[4] + 1):
            path.write_bytes(data[:cut] + bytes(len(data) - cut))
            found = recover(str(log), 0)
            assert found.state.next_index == sum(end <= cut for end in ends) - 1
            assert path.stat().st_size == max(end for end in ends if end <= cut)


def test_bad_frame_before_acknowledged_ones_is_refused_and_the_file_kept(tmp_path: Path) -> None:
    writer = small_log(tmp_path)
    path = last_file(writer.log)
    data = path.read_bytes()
    ends = ends_of(data)
    for at in (ends[1] + 3, ends[1] + 60, ends[2] - 1):  # in the first store: magic or CRC, middle, last byte
        bad = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        path.write_bytes(bad)
        with pytest.raises(Damaged):
            recover(str(writer.log), 0)
        assert path.read_bytes() == bad
    again = WriterProcess(tmp_path)
    assert again.process.wait(60) == 4
    assert "WG610" in again.text()
    assert path.read_bytes() == bad


def test_batch_written_out_of_order_by_a_power_cut_is_a_torn_tail_not_damage(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    for _ in range(3):
        study.store()
    answers(client, 3)  # one packet, so one batch: its frames share one base
    writer.kill()
    path = last_file(writer.log)
    data = path.read_bytes()
    ends = ends_of(data)
    path.write_bytes(data[: ends[1] + 10] + bytes(8) + data[ends[1] + 18 :])
    assert recover(str(writer.log), 0).state.next_index == 1


def test_records_of_a_batch_whose_sync_failed_are_cut_off_at_the_repair(tmp_path: Path) -> None:
    writer = small_log(tmp_path)
    path = last_file(writer.log)
    ends = ends_of(path.read_bytes())
    assert recover(str(writer.log), 0, limit=3).state.next_index == 3
    assert path.stat().st_size == ends[3]  # state, open, two stores: the third was never acknowledged


def test_damaged_tail_that_a_checkpoint_covers_is_refused(tmp_path: Path) -> None:
    writer = small_log(tmp_path)
    path = last_file(writer.log)
    path.write_bytes(path.read_bytes()[: ends_of(path.read_bytes())[2]])
    with pytest.raises(Damaged):
        recover(str(writer.log), 4)


def test_write_ahead_files_left_behind_by_a_checkpoint_are_no_gap(tmp_path: Path) -> None:
    writer = small_log(tmp_path)
    first = last_file(writer.log)
    kept = first.read_bytes()
    writer = WriterProcess(tmp_path, "--fresh")
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    study.store()
    answers(client, 1)
    study.close()
    answers(client, 1)
    client.close()
    assert writer.stop() == 0
    first.write_bytes(kept)  # an older file whose removal did not reach the disk, while that of later ones did
    writer = WriterProcess(tmp_path, "--fresh")
    connect(writer.socket).close()
    assert writer.stop() == 0, writer.text()
    assert not writer.findings().errors
