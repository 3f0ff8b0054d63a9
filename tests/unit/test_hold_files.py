"""Writes past the page cache where the file system takes them, through it where it does not; what the recorder of crashes makes of them."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.crashdisk import Disk, Recorder
from wardgate.hold import files as module
from wardgate.hold.files import Files
from wardgate.hold.header import Header
from wardgate.hold.store import Store
from wardgate.hold.wrap import FileWrapper

HEAD = Header("ward", "ct1", "pacs", "CT1", "PACS", "1.2.3", "1.2.840.10008.1.2.1", "1.2.3", "1.2.3.4", "00", "ab" * 16, 1, "", "")
CHANCES = 400


class Refusing:
    """`os` on a file system that lets O_DIRECT be set and then refuses each write with EINVAL, as one with larger blocks does."""

    def __init__(self, error: int = errno.EINVAL) -> None:
        self.error = error
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def pwritev(self, fd: int, parts: Sequence[bytes | memoryview], offset: int, flags: int = 0) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            self.refused += 1
            raise OSError(self.error, os.strerror(self.error))
        return os.pwritev(fd, parts, offset, flags)


def put(store: Store, data: bytes) -> bytes:
    """Store an instance and read it back."""
    body = store.begin(HEAD)
    body.write(memoryview(data))
    store.finish(body, "")
    reader = store.read(store.keep(body))
    try:
        return b"".join(reader.chunks())
    finally:
        reader.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "key").write_bytes(bytes(32))
    return Store(tmp_path / "hold", FileWrapper(tmp_path / "key"))


@pytest.mark.parametrize("size", [100, 300_000, 3_000_000])
def test_where_direct_writes_are_refused_a_segment_goes_through_the_page_cache_after_one_try(
    store: Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    refusing = Refusing()
    monkeypatch.setattr(module, "os", refusing)
    for _ in range(3):
        data = os.urandom(size)
        assert put(store, data) == data
    assert refusing.refused == 1


def test_another_error_of_a_direct_write_is_no_reason_to_go_through_the_page_cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "os", Refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        put(store, b"x")


def test_what_no_direct_write_can_be_is_written_all_the_same(tmp_path: Path) -> None:
    """The kernel itself refuses a write that is not of whole blocks, where O_DIRECT means something."""
    files = Files()
    fd = files.create(str(tmp_path / "f"))
    files.direct(fd)
    files.write_durable(fd, b"odd", 1)
    files.write_at(fd, b"ends", 4)
    files.close(fd)
    assert (tmp_path / "f").read_bytes() == b"\0oddends"


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = []

    class Short(Refusing):
        def pwritev(self, fd: int, parts: Sequence[bytes | memoryview], offset: int, how: int = 0) -> int:
            flags.append(how)
            return os.pwritev(fd, [memoryview(parts[0])[:7]], offset, how)

    monkeypatch.setattr(module, "os", Short())
    files = Files()
    fd = files.create(str(tmp_path / "f"))
    data = os.urandom(50)
    files.write_durable(fd, data, 0)
    files.close(fd)
    assert (tmp_path / "f").read_bytes() == data
    assert flags == [os.RWF_DSYNC] * 8, "each part of it is durable"


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Of a folder `disk`."""
    (tmp_path / "disk").mkdir()
    made = Recorder(tmp_path / "disk")
    made.install(monkeypatch, module)
    return made


def crashes(recorder: Recorder, steps: int, target: Path) -> set[bytes]:
    """What the file may be after a crash when so many steps were done."""
    found = set()
    for number in range(CHANCES):
        target.mkdir()
        Disk.replay(recorder.steps[:steps]).crash(random.Random(number), target)
        found.add((target / "f").read_bytes())
        (target / "f").unlink()
        target.rmdir()
    return found


def test_the_recorder_takes_a_durable_write_as_durable_when_it_returned_and_not_before(tmp_path: Path, recorder: Recorder) -> None:
    files = Files()
    fd = files.create(f"{recorder.root}/f")
    files.sync(fd)
    files.sync_directory(str(recorder.root))
    files.write_at(fd, b"a" * 1024, 0)
    files.write_durable(fd, memoryview(mmap.mmap(-1, 512)), 512)
    files.close(fd)
    assert [step.kind for step in recorder.steps[-3:]] == ["write", "write", "landed"]
    done = len(recorder.steps)
    before = crashes(recorder, done - 1, tmp_path / "crashed")
    assert b"" in before and b"a" * 1024 in before, "under way: it may be lost, with what was written before"
    after = crashes(recorder, done, tmp_path / "crashed")
    assert after == {bytes(1024), b"a" * 512 + bytes(512)}, "it is there; what was written before, of no sync, may not be"


def test_what_the_kernel_drops_after_an_error_is_not_what_has_landed(recorder: Recorder) -> None:
    files = Files()
    fd = files.create(f"{recorder.root}/f")
    files.write_durable(fd, b"a" * 512, 0)
    files.write_at(fd, b"b" * 512, 512)
    recorder.drop_unsynced(1)
    files.close(fd)
    assert Path(recorder.root, "f").read_bytes() == b"a" * 512
