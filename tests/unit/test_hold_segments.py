"""Segments: several instances in a file, space that comes back, writers that are gone, marks that cannot be read, files of an older box."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from test_hold_store import HEAD, fill, get, key, put, store

from support import held
from wardgate.hold import segment as segment_module
from wardgate.hold.mark import BLOCK, MARK_BYTES, Kind, Mark, decode_mark
from wardgate.hold.scan import Place
from wardgate.hold.seal import CHUNK_BYTES, Damaged
from wardgate.hold.slabs import PIECE_BYTES
from wardgate.hold.state import State
from wardgate.hold.store import Entry, Store
from wardgate.hold.wrap import FileWrapper

__all__ = ["key", "store"]  # fixtures


def again(store: Store) -> Store:
    """The same directory, as another process opens it."""
    return Store(store.directory, store.wrapper)


def files(store: Store) -> list[Path]:
    return sorted(Path(store.queue).iterdir())


def test_a_mark_says_the_same_when_it_is_read_and_any_bit_of_it_counts() -> None:
    generation = os.urandom(8)
    mark = Mark(7, os.urandom(8), 100, Kind.KEPT)
    data = mark.encode(generation)
    assert len(data) == MARK_BYTES
    assert decode_mark(data, generation) == mark
    assert decode_mark(data, os.urandom(8)) is None
    assert decode_mark(data[:-1], generation) is None
    for at in [*range(41), *range(60, 64)]:
        assert decode_mark(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :], generation) is None, at


def test_instances_one_after_the_other_share_a_segment_and_those_at_once_do_not(store: Store) -> None:
    first, second = put(store, b"1" * 9000), put(store, b"2")
    assert first.place.path == second.place.path
    assert second.place.offset % BLOCK == 0
    bodies = [store.begin(HEAD), store.begin(HEAD)]
    assert bodies[0].segment is not bodies[1].segment
    for body in bodies:
        fill(store, body, b"x")
    assert len({store.keep(body).place.path for body in bodies}) == 2
    assert len(store.entries()) == 4


def test_a_full_segment_is_followed_by_another_and_goes_when_nothing_is_left_in_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_module, "SEGMENT_BYTES", 200_000)
    entries = [put(store, os.urandom(100_000)) for _ in range(3)]
    assert [path.name for path in files(store)] == sorted({Path(entry.place.path).name for entry in entries})
    assert len(files(store)) == 2
    reader = again(store)
    reader.entries()
    reader.remove(entries[0])
    reader.sync()
    reader.clear()
    assert len(files(store)) == 2, "another instance is in it"
    reader.remove(entries[1])
    reader.sync()
    reader.clear()
    assert files(store) == [Path(entries[2].place.path)]
    reader.remove(entries[2])
    reader.sync()
    reader.clear()
    assert files(store), "its writer lives"
    store.put_away()
    reader.clear()
    assert not files(store)


def test_the_space_of_what_is_removed_comes_back_before_the_segment_goes(store: Store) -> None:
    first, second = put(store, os.urandom(1_000_000)), put(store, b"2" * 100)
    store.entries()
    path = first.place.path
    before = os.stat(path).st_blocks
    store.remove(first)
    store.sync()
    assert (before - os.stat(path).st_blocks) * 512 >= 990_000
    assert again(store).entries() == [second]
    assert get(store, second) == b"2" * 100


def test_an_instance_that_was_taken_back_is_not_there_for_anyone(store: Store) -> None:
    other = again(store)
    body = store.begin(HEAD)
    fill(store, body, os.urandom(9000))
    entry = store.keep(body)
    assert other.entries() == [entry]
    store.drop(body, kept=True)
    with pytest.raises(FileNotFoundError):
        other.read(entry)
    assert not again(store).entries()
    kept = put(store, b"next")
    assert again(store).entries() == [kept]


def test_what_was_never_finished_goes_when_its_writer_is_gone_and_only_then(store: Store) -> None:
    kept = put(store, b"kept")
    body = store.begin(HEAD)
    body.write(memoryview(os.urandom(PIECE_BYTES + CHUNK_BYTES)))
    other = again(store)
    assert other.clear() == (0, [])
    assert held.unfinished(Path(store.directory))
    os.close(body.segment.fd)  # as the kernel does for a process that was killed
    assert other.clear() == (1, [])
    assert not held.unfinished(Path(store.directory))
    assert other.entries() == [kept]


def test_an_instance_that_lost_its_mark_is_found_by_its_structure(store: Store) -> None:
    data = [os.urandom(size) for size in (100, 200_000, 0)]
    entries = [put(store, one) for one in data]
    for entry in entries:
        held.flip(entry, -entry.place.length + 20)
    store.put_away()
    other = again(store)
    assert not other.entries()
    assert other.clear() == (0, [])
    assert [get(other, entry) for entry in other.entries()] == data
    assert [entry.place for entry in again(store).entries()] == [entry.place for entry in entries]


def test_a_mark_and_a_structure_that_cannot_be_read_hide_no_other_instance_and_the_bytes_stay(store: Store) -> None:
    first, second, third = (put(store, os.urandom(9000)) for _ in range(3))
    held.flip(second, -second.place.length + 3)
    held.flip(second, 2)  # the magic of its head
    store.put_away()
    other = again(store)
    assert other.clear() == (0, [f"{Path(second.place.path).name}:{second.place.offset}"])
    assert other.entries() == [first, third]
    for entry in (first, third):
        other.remove(entry)
    other.sync()
    other.clear()
    assert len(files(store)) == 1


def test_files_of_an_older_box_are_found_in_order_and_leave_like_all_others(store: Store) -> None:
    data = [os.urandom(500), os.urandom(600), os.urandom(700), os.urandom(800)]
    contents = [held.sealed(put(store, one)) for one in data]
    older = Store(f"{store.directory}-older", store.wrapper)
    stems = [f"{number:016d}-{'0f' * 8}" for number in (3, 4, 5, 6)]
    Path(older.queue, f"{stems[0]}.held").write_bytes(contents[0])
    Path(older.queue, f"{stems[1]}.sent-B007").write_bytes(contents[1])
    Path(older.quarantine, f"{stems[2]}.held").write_bytes(contents[2])
    Path(older.quarantine, f"{stems[2]}.why").write_text('{"status": "C123"}')
    Path(older.queue, f"{stems[3]}.held").write_bytes(contents[3])
    box = again(older)
    first, second, fourth = box.entries()
    (third,) = box.quarantined()
    every = [first, second, third, fourth]
    assert [entry.stem for entry in every] == stems
    assert (second.state, second.status) == (State.ANSWERED, 0xB007)
    assert box.why(third.stem) == {"status": "C123"}
    assert [get(box, entry) for entry in every] == data
    new = put(box, b"new")
    assert new.number > fourth.number, "what comes now goes behind them"
    box.put_back(third.stem)
    assert again(older).entries() == [first, second, third._replace(state=State.WAITING), fourth, new]
    for entry in every:
        box.remove(entry)
    box.sync()
    assert [path.suffix for path in files(box)] == [".seg"]
    assert not list(Path(box.quarantine).iterdir())
    box.answered(new, 0)
    box.sync()
    assert [entry.stem for entry in again(older).entries()] == [new.stem]


def test_a_place_that_no_worker_of_this_queue_can_tell_of_is_not_believed(store: Store) -> None:
    entry = put(store, b"x")
    assert store.told(entry.stem, entry.place) == entry
    for stem, place in (
        ("../../etc/passwd", entry.place),
        (entry.stem, entry.place._replace(path="/etc/passwd")),
        (entry.stem, entry.place._replace(offset=0)),
    ):
        assert store.told(stem, place) is None


def test_zeros_in_place_of_an_instance_are_damage_not_an_end(store: Store) -> None:
    entry = put(store, os.urandom(9000))
    with open(entry.place.path, "r+b") as file:
        file.seek(entry.place.offset + MARK_BYTES)
        file.write(bytes(entry.place.length - MARK_BYTES))
    with pytest.raises(Damaged):
        get(store, Entry(entry.stem, Place(*entry.place)))


def test_one_digest_and_one_key_of_the_store_are_enough_to_read_what_another_process_wrote(tmp_path: Path, store: Store, key: Path) -> None:
    data = os.urandom(300_000)
    entry = put(store, data)
    reader = Store(tmp_path / "hold", FileWrapper(key)).read(entry)
    assert hashlib.sha256(b"".join(reader.chunks())).hexdigest() == hashlib.sha256(data).hexdigest()
    reader.close()
