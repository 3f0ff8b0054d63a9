"""The queue's directory and its files: whole or not at all, and every change found."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path

import pytest

from wardgate.hold.export import export
from wardgate.hold.files import Files
from wardgate.hold.header import PREFIX_BYTES, Header, head_size
from wardgate.hold.seal import CHUNK_BYTES, LENGTH, TAG_BYTES, Damaged
from wardgate.hold.store import Body, Store
from wardgate.hold.wrap import FileWrapper, WrapError

HEAD = Header("ward", "ct1", "pacs", "CT1", "PACS", "1.2.3", "1.2.840.10008.1.2.1", "1.2.3", "1.2.3.4", "00", "ab" * 16, 1, "", "")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "hold.key"
    path.write_bytes(os.urandom(32))
    return path


@pytest.fixture
def store(tmp_path: Path, key: Path) -> Store:
    return Store(tmp_path / "hold", FileWrapper(key))


def put(store: Store, data: bytes, piece: int = 16000) -> str:
    """Store `data` as it comes from a peer, in pieces; return the name."""
    body = store.begin(HEAD)
    fill(body, data, piece)
    return store.keep(body)


def fill(body: Body, data: bytes, piece: int = 16000) -> None:
    for at in range(0, len(data), piece):
        body.write(memoryview(data)[at : at + piece])
    body.finish(hashlib.sha256(data).hexdigest())


def get(store: Store, name: str) -> bytes:
    reader = store.read(name)
    try:
        return b"".join(reader.chunks())
    finally:
        reader.close()


SIZES = (0, 1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 5 * CHUNK_BYTES + 77)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1000, 16000, CHUNK_BYTES, 1 << 20])
def test_what_is_read_is_what_was_written(store: Store, size: int, piece: int) -> None:
    data = os.urandom(size)
    name = put(store, data, piece)
    reader = store.read(name)
    assert b"".join(reader.chunks()) == data
    assert reader.trailer is not None
    assert (reader.trailer.length, reader.trailer.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert reader.header.sop_instance == HEAD.sop_instance


def test_nothing_of_the_data_set_is_on_the_disk_in_clear_and_no_two_files_share_a_key(store: Store) -> None:
    data = b"Patient^Name" * 5000
    names = [put(store, data), put(store, data)]
    contents = [Path(store.queue, name).read_bytes() for name in names]
    assert all(b"Patient^Name" not in content for content in contents)
    at = PREFIX_BYTES + head_size(contents[0][:PREFIX_BYTES])
    assert contents[0][at:] != contents[1][at:]


def chunks_of(content: bytes) -> list[tuple[int, int]]:
    """Return start and end of every chunk."""
    at = PREFIX_BYTES + head_size(content[:PREFIX_BYTES])
    found = []
    while at < len(content):
        size = (LENGTH.unpack_from(content, at)[0] & 0x7FFFFFFF) + TAG_BYTES + LENGTH.size
        found.append((at, at + size))
        at += size
    return found


def test_every_cut_off_file_is_found(store: Store) -> None:
    name = put(store, os.urandom(CHUNK_BYTES * 2 + 100))
    path = Path(store.queue, name)
    content = path.read_bytes()
    ends = [end for _, end in chunks_of(content)]
    for size in {0, 5, PREFIX_BYTES, 200, *ends[:-1], *(end - 1 for end in ends), *(end + 2 for end in ends[:-1])}:
        path.write_bytes(content[:size])
        with pytest.raises(Damaged):
            get(store, name)
    path.write_bytes(content + b"\0")
    with pytest.raises(Damaged):
        get(store, name)
    path.write_bytes(content)
    get(store, name)


def test_every_flipped_bit_is_found(store: Store) -> None:
    name = put(store, os.urandom(300))
    path = Path(store.queue, name)
    content = path.read_bytes()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        with pytest.raises((Damaged, WrapError)):
            get(store, name)


def test_swapped_left_out_and_repeated_chunks_are_found(store: Store) -> None:
    name = put(store, os.urandom(CHUNK_BYTES * 3))
    path = Path(store.queue, name)
    content = path.read_bytes()
    (a, b), (_, c), (_, d), (_, end) = chunks_of(content)
    head, one, two, three, last = content[:a], content[a:b], content[b:c], content[c:d], content[d:end]
    for parts in ((two, one, three, last), (one, three, last), (one, one, two, three, last), (last,), (one, two, three, last, last)):
        path.write_bytes(head + b"".join(parts))
        with pytest.raises(Damaged):
            get(store, name)


def test_a_chunk_of_another_file_is_found(store: Store) -> None:
    names = [put(store, os.urandom(500)) for _ in range(2)]
    paths = [Path(store.queue, name) for name in names]
    contents = [path.read_bytes() for path in paths]
    at = PREFIX_BYTES + head_size(contents[0][:PREFIX_BYTES])
    paths[0].write_bytes(contents[0][:at] + contents[1][at:])
    with pytest.raises(Damaged):
        get(store, names[0])


def test_another_key_is_named_and_opens_nothing(tmp_path: Path, store: Store) -> None:
    name = put(store, b"data")
    other = tmp_path / "other.key"
    other.write_text(os.urandom(32).hex() + "\n")
    with pytest.raises(WrapError, match="was written under key"):
        get(Store(tmp_path / "hold", FileWrapper(other)), name)
    (tmp_path / "short.key").write_bytes(b"short")
    with pytest.raises(WrapError, match="32 bytes"):
        FileWrapper(tmp_path / "short.key")


def test_names_rise_in_the_order_of_arrival_also_after_a_restart_and_between_processes(tmp_path: Path, key: Path, store: Store) -> None:
    names = [put(store, b"1"), put(store, b"2")]
    second = Store(tmp_path / "hold", FileWrapper(key))
    names += [put(second, b"3"), put(store, b"4")]
    assert names == sorted(names)
    Path(store.directory, "counters").unlink()  # lost with the power
    third = Store(tmp_path / "hold", FileWrapper(key))
    names.append(put(third, b"5"))
    assert [entry.name for entry in third.entries()] == names
    assert [get(third, name) for name in names] == [b"1", b"2", b"3", b"4", b"5"]


def test_unfinished_files_go_when_their_writer_is_gone_and_only_then(tmp_path: Path, key: Path, store: Store) -> None:
    body = store.begin(HEAD)
    old = time.time() - 60
    os.utime(body.path, (old, old))
    other = Store(tmp_path / "hold", FileWrapper(key))
    assert other.leftovers() == 0
    os.close(body.fd)  # as the kernel does for a process that was killed
    assert other.leftovers() == 1
    assert not os.path.exists(body.path)
    assert not store.entries()


def test_an_answer_is_in_the_name_and_survives(store: Store) -> None:
    put(store, b"x")
    (entry,) = store.entries()
    assert entry.status == -1
    store.answered(entry, 0xB007)
    (entry,) = store.entries()
    assert entry.status == 0xB007
    store.remove(entry.name)
    assert not store.entries()


def test_quarantine_keeps_the_file_with_its_reason_and_gives_it_back_at_its_place(store: Store) -> None:
    first, second = put(store, b"first"), put(store, b"second")
    entry = store.entries()[0]
    store.set_aside(entry, {"status": "C000"})
    assert [one.name for one in store.entries()] == [second]
    assert store.why(entry.stem) == {"status": "C000"}
    store.put_back(entry.stem)
    assert [one.name for one in store.entries()] == [first, second]
    assert not store.quarantined() and not store.why(entry.stem)
    store.set_aside(entry, {})
    store.release(entry.stem)
    assert not store.quarantined() and not list(Path(store.quarantine).iterdir())


def test_bytes_are_counted_as_they_come_and_go(store: Store) -> None:
    put(store, os.urandom(1000))
    before = store.counters.held_bytes
    assert before == store.count_bytes() > 1000
    store.remove(store.entries()[0].name)
    assert store.counters.held_bytes == 0 == store.count_bytes()


class FailingFiles(Files):
    """Fails at the operation of this number."""

    def __init__(self) -> None:
        self.left = -1

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EIO, "made to fail")

    def create(self, path: str) -> int:
        self._step()
        return super().create(path)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        self._step()
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._step()
        super().sync(fd)

    def rename(self, old: str, new: str) -> None:
        self._step()
        super().rename(old, new)


def test_an_error_at_any_write_leaves_nothing_that_could_be_taken_for_stored(tmp_path: Path, key: Path) -> None:
    files = FailingFiles()
    store = Store(tmp_path / "hold", FileWrapper(key), files)
    failures = 0
    for step in range(1, 30):
        files.left = step
        body = None
        try:
            body = store.begin(HEAD)
            fill(body, os.urandom(CHUNK_BYTES * 2 + 5))
            store.keep(body)
        except OSError:
            failures += 1
            if body is not None:
                store.drop(body)
            assert not store.entries(), f"step {step}"
            assert not list(Path(store.queue).iterdir()), f"step {step}"
        else:
            break
    assert failures >= 6
    assert len(store.entries()) == 1


def test_export_is_a_dicom_file_with_the_same_data_set_and_nothing_stays_of_one_that_fails(tmp_path: Path, store: Store) -> None:
    from support.datasets import sample

    data = os.urandom(1000)
    name = put(store, data)
    out = tmp_path / "out"
    out.mkdir()
    (entry,) = store.entries()
    found = sample(Path(export(store, entry, False, str(out))))
    assert (found.sop_instance, found.transfer_syntax, found.length) == ("1.2.3.4", "1.2.840.10008.1.2.1", 1000)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    found.path.unlink()
    path = Path(store.queue, name)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged):
        export(store, entry, False, str(out))
    assert not list(out.iterdir())
