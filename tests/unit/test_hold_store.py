"""The queue's directory and its files: whole or not at all, and every change found."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import held
from wardgate.hold.export import export
from wardgate.hold.files import Files
from wardgate.hold.header import PREFIX_BYTES, Header, Trailer, decode_header, decode_trailer, head_size
from wardgate.hold.scan import Place
from wardgate.hold.seal import CHUNK_BYTES, LENGTH, TAG_BYTES, Damaged
from wardgate.hold.state import State
from wardgate.hold.store import Body, Entry, Store
from wardgate.hold.wrap import FileWrapper, WrapError

HEAD = Header("ward", "ct1", "pacs", "CT1", "PACS", "1.2.3", "1.2.840.10008.1.2.1", "1.2.3", "1.2.3.4", "00", "ab" * 16, 1, "", "")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "hold.key"
    path.write_bytes(os.urandom(32))
    return path


@pytest.fixture
def store(tmp_path: Path, key: Path) -> Iterator[Store]:
    made = Store(tmp_path / "hold", FileWrapper(key))
    yield made
    made.close()


def put(store: Store, data: bytes, piece: int = 16000) -> Entry:
    """Store `data` as it comes from a peer, in pieces."""
    body = store.begin(HEAD)
    fill(store, body, data, piece)
    return store.keep(body)


def fill(store: Store, body: Body, data: bytes, piece: int = 16000) -> None:
    for at in range(0, len(data), piece):
        body.write(memoryview(data)[at : at + piece])
    store.finish(body, hashlib.sha256(data).hexdigest())


def alone(store: Store, data: bytes) -> tuple[Entry, Path]:
    """Store `data`, and lay it as a file of its own, as an older box did: the bytes of the file are those behind the mark."""
    content = held.sealed(put(store, data))
    path = Path(store.queue, f"{1:016d}-{'ab' * 8}.held")
    path.write_bytes(content)
    return Entry(path.stem, Place(str(path), 0, len(content))), path


def get(store: Store, entry: Entry) -> bytes:
    if not entry.place.offset:  # a test may have changed the file
        entry = entry._replace(place=entry.place._replace(length=os.stat(entry.place.path).st_size))
    reader = store.read(entry)
    try:
        return b"".join(reader.chunks())
    finally:
        reader.close()


SIZES = (0, 1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 5 * CHUNK_BYTES + 77)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1000, 16000, CHUNK_BYTES, 1 << 20])
def test_what_is_read_is_what_was_written(store: Store, size: int, piece: int) -> None:
    data = os.urandom(size)
    put(store, os.urandom(3))
    entry = put(store, data, piece)
    reader = store.read(entry)
    assert b"".join(reader.chunks()) == data
    assert reader.trailer is not None
    assert (reader.trailer.length, reader.trailer.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert reader.header.sop_instance == HEAD.sop_instance
    reader.close()


def test_nothing_of_the_data_set_is_on_the_disk_in_clear_and_no_two_instances_share_a_key(store: Store) -> None:
    data = b"Patient^Name" * 5000
    contents = [held.sealed(put(store, data)) for _ in range(2)]
    assert all(b"Patient^Name" not in path.read_bytes() for path in Path(store.queue).iterdir())
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


def test_every_cut_off_instance_is_found(store: Store) -> None:
    entry, path = alone(store, os.urandom(CHUNK_BYTES * 2 + 100))
    content = path.read_bytes()
    ends = [end for _, end in chunks_of(content)]
    for size in {0, 5, PREFIX_BYTES, 200, *ends[:-1], *(end - 1 for end in ends), *(end + 2 for end in ends[:-1])}:
        path.write_bytes(content[:size])
        with pytest.raises(Damaged):
            get(store, entry)
    path.write_bytes(content + b"\0")
    with pytest.raises(Damaged):
        get(store, entry)
    path.write_bytes(content)
    get(store, entry)


def test_every_flipped_bit_is_found(store: Store) -> None:
    entry, path = alone(store, os.urandom(300))
    content = path.read_bytes()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        with pytest.raises((Damaged, WrapError)):
            get(store, entry)


def test_swapped_left_out_and_repeated_chunks_are_found(store: Store) -> None:
    entry, path = alone(store, os.urandom(CHUNK_BYTES * 3))
    content = path.read_bytes()
    (a, b), (_, c), (_, d), (_, end) = chunks_of(content)
    head, one, two, three, last = content[:a], content[a:b], content[b:c], content[c:d], content[d:end]
    for parts in ((two, one, three, last), (one, three, last), (one, one, two, three, last), (last,), (one, two, three, last, last)):
        path.write_bytes(head + b"".join(parts))
        with pytest.raises(Damaged):
            get(store, entry)


def test_a_chunk_of_another_instance_is_found(store: Store) -> None:
    entry, path = alone(store, os.urandom(500))
    mine, other = path.read_bytes(), held.sealed(put(store, os.urandom(500)))
    at = PREFIX_BYTES + head_size(mine[:PREFIX_BYTES])
    path.write_bytes(mine[:at] + other[at:])
    with pytest.raises(Damaged):
        get(store, entry)


def test_another_key_is_named_and_opens_nothing(tmp_path: Path, store: Store) -> None:
    entry = put(store, b"data")
    other = tmp_path / "other.key"
    other.write_text(os.urandom(32).hex() + "\n")
    with pytest.raises(WrapError, match="was written under key"):
        get(Store(tmp_path / "hold", FileWrapper(other)), entry)
    (tmp_path / "short.key").write_bytes(b"short")
    with pytest.raises(WrapError, match="32 bytes"):
        FileWrapper(tmp_path / "short.key")


def test_names_rise_in_the_order_of_arrival_also_after_a_restart_and_between_processes(tmp_path: Path, key: Path, store: Store) -> None:
    entries = [put(store, b"1"), put(store, b"2")]
    second = Store(tmp_path / "hold", FileWrapper(key))
    entries += [put(second, b"3"), put(store, b"4")]
    assert entries == sorted(entries)
    Path(store.directory, "counters").unlink()  # lost with the power
    third = Store(tmp_path / "hold", FileWrapper(key))
    entries.append(put(third, b"5"))
    assert third.entries() == entries
    assert [get(third, entry) for entry in entries] == [b"1", b"2", b"3", b"4", b"5"]


def test_an_answer_is_noted_and_survives(tmp_path: Path, key: Path, store: Store) -> None:
    store.answered(put(store, b"x"), 0xB007)
    store.sync()
    again = Store(tmp_path / "hold", FileWrapper(key))
    (entry,) = again.entries()
    assert (entry.state, entry.status) == (State.ANSWERED, 0xB007)
    again.remove(entry)
    again.sync()
    assert not again.entries()
    assert not Store(tmp_path / "hold", FileWrapper(key)).entries()


def test_what_awaits_commitment_is_kept_whole_and_not_waiting_with_whatever_is_noted_of_it(tmp_path: Path, key: Path, store: Store) -> None:
    data = os.urandom(5000)
    entry = store.await_commitment(store.answered(put(store, data), 0)[0])
    store.note(entry, transaction="1.2.3")
    store.sync()
    again = Store(tmp_path / "hold", FileWrapper(key))
    assert again.awaiting() == again.entries() == [entry]
    assert (entry.state, entry.status) == (State.AWAITING, 0)
    assert again.facts(entry.stem)["transaction"] == "1.2.3"
    assert get(again, entry) == data
    assert again.note(entry, state=State.WAITING.value, transaction=None).state is State.WAITING
    assert "transaction" not in again.facts(entry.stem)


def test_quarantine_keeps_the_instance_with_its_reason_and_gives_it_back_at_its_place(store: Store) -> None:
    first, second = put(store, b"first"), put(store, b"second")
    store.set_aside(first, {"status": "C000"})
    assert store.entries() == [second]
    assert [entry.stem for entry in store.quarantined()] == [first.stem]
    assert store.why(first.stem) == {"status": "C000"}
    store.put_back(first.stem)
    assert store.entries() == [first, second]
    assert not store.quarantined() and not store.why(first.stem)
    store.set_aside(first, {})
    store.release(first.stem)
    assert not store.quarantined() and store.entries() == [second]


def test_bytes_are_counted_as_they_come_and_go(store: Store) -> None:
    entry = put(store, os.urandom(1000))
    before = store.counters.held_bytes
    assert before > 1000
    store.entries()
    assert before == store.count_bytes()
    store.remove(entry)
    assert store.counters.held_bytes == 0 == store.count_bytes()


def test_a_head_says_the_same_whatever_is_in_its_words(store: Store) -> None:
    for link in ("ct1", 'quo"te', "back\\slash", "umläut", "tab\t", "del\x7f"):
        header = HEAD._replace(link=link)
        text = header.encode("a key", "00ff")[PREFIX_BYTES:]
        assert text == json.dumps(header._replace(key_name="a key", wrapped="00ff")._asdict(), separators=(",", ":")).encode()
        assert decode_header(text) == header._replace(key_name="a key", wrapped="00ff")
    trailer = Trailer(5, "ab" * 32)
    assert decode_trailer(trailer.encode()) == trailer


def test_no_two_instances_have_a_key_in_common_and_none_is_known_when_the_token_is_out(store: Store) -> None:
    entries = [put(store, bytes(100)) for _ in range(40)]
    readers = [store.read(entry) for entry in entries]
    assert len({reader.header.wrapped for reader in readers}) == len(readers) == len({entry.stem[17:] for entry in entries})
    assert store._keys
    store.forget_keys()
    assert not store._keys


def test_threads_never_get_the_same_number(store: Store) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(store.counters.take_number(3) for _ in range(2000))) for _ in range(4)]
    before = store.counters.held_bytes
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == len(found) == 8000
    assert store.counters.held_bytes == before + 3 * 8000


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

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._step()
        super().write_at(fd, data, offset)

    def write_durable(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._step()
        super().write_durable(fd, data, offset)

    def sync(self, fd: int) -> None:
        self._step()
        super().sync(fd)

    def sync_directory(self, path: str) -> None:
        self._step()
        super().sync_directory(path)


def test_an_error_at_any_write_leaves_nothing_that_could_be_taken_for_stored(tmp_path: Path, key: Path) -> None:
    files = FailingFiles()
    store = Store(tmp_path / "hold", FileWrapper(key), files)
    failures = 0
    for step in range(1, 30):
        files.left = step
        body = None
        try:
            body = store.begin(HEAD)
            fill(store, body, os.urandom(CHUNK_BYTES * 2 + 5))
            store.keep(body)
        except OSError:
            failures += 1
            files.left = -1
            if body is not None:
                store.drop(body)
            assert not store.entries(), f"step {step}"
            assert not store.counters.held_bytes, f"step {step}"
            assert not held.unfinished(Path(store.directory)), f"step {step}"
        else:
            break
    assert failures >= 5
    assert len(store.entries()) == 1


def test_export_is_a_dicom_file_with_the_same_data_set_and_nothing_stays_of_one_that_fails(tmp_path: Path, store: Store) -> None:
    from support.datasets import sample

    data = os.urandom(1000)
    entry = put(store, data)
    out = tmp_path / "out"
    out.mkdir()
    found = sample(Path(export(store, entry, str(out))))
    assert (found.sop_instance, found.transfer_syntax, found.length) == ("1.2.3.4", "1.2.840.10008.1.2.1", 1000)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    found.path.unlink()
    held.flip(entry, -1)
    with pytest.raises(Damaged):
        export(store, entry, str(out))
    assert not list(out.iterdir())
