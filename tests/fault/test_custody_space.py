"""The disk under the custody log is full, or refuses to write."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.custody import Study, WriterProcess, answers, connect
from support.processes import until
from wardgate.custody import wire
from wardgate.custody.wire import Op, Status


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("needs root and the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int, name: str = "ballast") -> None:
    """Fill the disk but for about `leave` bytes."""
    step = 1024 * 1024
    with (place / name).open("wb") as file:
        while step >= 4096:
            info = os.statvfs(place)
            try:
                if info.f_bavail * info.f_frsize - step < leave:
                    raise OSError
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)
            except OSError:
                step //= 2


def test_open_without_space_is_refused_and_goes_again_when_space_is_back(tmp_path: Path, small_disk: Path) -> None:
    writer = WriterProcess(tmp_path, log=small_disk / "log")
    client = connect(writer.socket)
    first = Study(client)
    request = first.open()
    assert answers(client, 1)[request][0] is Status.OK
    fill(small_disk, 65536)
    second = Study(client)
    request = second.open()
    assert answers(client, 1)[request][0] is Status.NO_SPACE
    (small_disk / "ballast").unlink()
    third = Study(client)
    request = third.open()
    assert answers(client, 1)[request][0] is Status.OK
    client.close()
    assert writer.stop() == 0
    assert not writer.findings().errors


def test_admitted_association_can_write_all_it_reserved_on_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    writer = WriterProcess(tmp_path, "--checkpoint-records", "100000", log=small_disk / "log")
    client = connect(writer.socket)
    study = Study(client)
    study.open(reserve=1_000_000)
    ((status, _),) = answers(client, 1).values()
    assert status is Status.OK
    fill(small_disk, 0)
    for _ in range(1000):  # about 815 bytes each with its frame
        study.store()
    assert {status for status, _ in answers(client, 1000).values()} == {Status.OK}
    study.close()
    assert {status for status, _ in answers(client, 1).values()} == {Status.OK}
    writer.kill()
    (small_disk / "ballast").unlink()
    client.close()
    writer = WriterProcess(tmp_path, log=small_disk / "log")
    connect(writer.socket).close()
    assert writer.stop() == 0, writer.text()
    findings = writer.findings()
    assert not findings.errors
    assert len(writer.entries()) == 1002


def test_signing_waits_while_the_disk_is_full_and_nothing_is_lost(tmp_path: Path, small_disk: Path) -> None:
    writer = WriterProcess(tmp_path, "--checkpoint-records", "50", log=small_disk / "log")
    client = connect(writer.socket)
    study = Study(client)
    study.open(reserve=1_000_000)
    answers(client, 1)
    for turn in range(20):  # signing frees space by itself: fill it again each time
        fill(small_disk, 0, f"ballast{turn}")
        for _ in range(50):
            study.store()
        assert {status for status, _ in answers(client, 50).values()} == {Status.OK}
        time.sleep(0.1)
    until(lambda: "WG612" in writer.text(), "it cannot sign")
    for file in small_disk.glob("ballast*"):
        file.unlink()
    study.close()
    assert {status for status, _ in answers(client, 1).values()} == {Status.OK}
    client.close()
    assert writer.stop() == 0, writer.text()
    findings = writer.findings()
    assert not findings.errors
    assert any("1002 records signed" in fact for fact in findings.facts), (findings, writer.text())


def test_store_beyond_its_reservation_is_refused_on_a_full_disk_and_reserve_extends_it_on_another(tmp_path: Path, small_disk: Path) -> None:
    writer = WriterProcess(tmp_path, "--checkpoint-records", "100000", log=small_disk / "log")
    client = connect(writer.socket)
    study = Study(client)
    study.open(reserve=2000)
    answers(client, 1)
    more = client.add(Op.RESERVE, study.scope.association, 0, wire.encode_reserve(20_000))
    assert answers(client, 1)[more][0] is Status.OK
    fill(small_disk, 0)
    for _ in range(2000):
        study.store()
    told = [status for status, _ in answers(client, 2000).values()]
    assert told.count(Status.OK) >= 25 and Status.NO_SPACE in told
    request = study.close()
    assert answers(client, 1)[request][0] is Status.OK  # room for the close entry is kept apart
    huge = Study(client)
    request = huge.open(reserve=2**32 - 1)
    assert answers(client, 1)[request][0] is Status.NO_SPACE
    client.close()
    writer.stop()


def test_failed_write_is_answered_so_and_the_log_goes_on_when_the_disk_does(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study, lost = Study(client), Study(client, "ct2")
    study.open()
    lost.open()
    answers(client, 2)
    for _ in range(5):
        study.store()
    before = answers(client, 5)
    limits = resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))  # EFBIG
    failed = study.store()
    assert answers(client, 1)[failed] == (Status.IO_ERROR, wire.NO_INDEX)
    refused = Study(client).open()
    assert answers(client, 1)[refused][0] is Status.IO_ERROR
    resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE, limits)
    deadline = time.monotonic() + 60
    while True:
        request = study.client.add(Op.STORE, study.scope.association, study.seq, study.store_record(study.seq))  # the same again
        status, index = answers(client, 1)[request]
        if status is Status.OK:
            break
        assert status is Status.IO_ERROR and time.monotonic() < deadline
        time.sleep(0.2)
    assert index == max(index for _, index in before.values()) + 1
    study.close()
    lost.close()
    assert {status for status, _ in answers(client, 2).values()} == {Status.OK}
    client.close()
    assert writer.stop() == 0, writer.text()
    assert "WG608" in writer.text()
    findings = writer.findings()
    assert not findings.errors and not findings.notes
    assert len(writer.entries()) == 10
