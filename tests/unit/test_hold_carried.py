"""The text of a custody record in the head of a held instance, and the check in its mark."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest

from support import held
from wardgate.hold.header import MAX_HEAD, PREFIX_BYTES, Header, decode_header, head_size, parted, with_record
from wardgate.hold.mark import MARK_BYTES, Kind, Mark, decode_mark
from wardgate.hold.reader import Reader
from wardgate.hold.scan import SegmentView, whole_length
from wardgate.hold.seal import Damaged
from wardgate.hold.store import Store
from wardgate.hold.unlogged import carried_in
from wardgate.hold.wrap import FileWrapper

GENERATION = b"12345678"
RECORD = json.dumps({"v": 1, "type": "store", "association": "ab" * 16, "seq": 3}, separators=(",", ":")).encode("ascii")


def header(calling: str = "CT1") -> Header:
    return Header("w", "ct1", "pacs", calling, "PACS", "1.2", "1.2.840.10008.1.2.1", "1.2", "1.2.3", "00", "ab" * 16, 1, "k", "00")


@pytest.mark.parametrize("calling", ["CT1", 'X","record":{', "K\\"])
def test_a_head_gives_back_the_record_that_it_carries_and_reads_as_before(calling: str) -> None:
    head = header(calling).encode("k", "00")
    assert parted(head[PREFIX_BYTES:]) == (head[PREFIX_BYTES:], b"")
    carrying = with_record(head, RECORD)
    text = carrying[PREFIX_BYTES:]
    assert head_size(carrying[:PREFIX_BYTES]) == len(text)
    assert parted(text) == (head[PREFIX_BYTES:], RECORD)
    assert decode_header(text) == header(calling)
    assert json.loads(text)["record"] == json.loads(RECORD)


def test_a_head_grows_to_no_more_than_a_reader_takes() -> None:
    with pytest.raises(ValueError, match="bytes"):
        with_record(header().encode("k", "00"), b"{" + bytes(MAX_HEAD) + b"}")


@pytest.mark.parametrize("text", [b"", b"{}", b'{"association":"ab","seq":1}', b'{"association":"' + b"ab" * 16 + b'","seq":0}', b"\xff"])
def test_a_record_of_no_association_is_damage(text: bytes) -> None:
    with pytest.raises(Damaged):
        carried_in(text)
    assert carried_in(RECORD) == (bytes([0xAB]) * 16, 3, RECORD)


@pytest.mark.parametrize("check", [None, 0, 0xDEADBEEF])
def test_a_mark_keeps_its_check_and_a_release_that_knows_none_reads_the_rest(check: int | None) -> None:
    mark = Mark(7, b"identity", 4711, Kind.KEPT, check)
    data = mark.encode(GENERATION)
    assert len(data) == MARK_BYTES
    assert decode_mark(data, GENERATION) == mark
    older = struct.Struct(">8s8sQ8sQB19x")  # as it was
    assert older.unpack_from(data)[2:] == (7, b"identity", 4711, 1)
    assert struct.unpack_from(">I", data, older.size)[0] == zlib.crc32(data[: older.size])
    assert decode_mark(older.pack(b"WGSLOT1\n", GENERATION, 7, b"identity", 4711, 1) + struct.pack(">I", 0), GENERATION) is None
    plain = older.pack(b"WGSLOT1\n", GENERATION, 7, b"identity", 4711, 1)
    assert decode_mark(plain + struct.pack(">I", zlib.crc32(plain)), GENERATION) == mark._replace(check=None)


def test_an_instance_that_carries_its_record_verifies_with_it_and_not_with_another(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(32))
    store = Store(tmp_path / "hold", FileWrapper(tmp_path / "key"))
    body = store.begin(header())
    body.carry(RECORD)
    body.write(memoryview(b"data set"), True)
    store.finish(body, "00" * 32)
    entry = store.keep(body)
    assert reading(store.read(entry)) == (RECORD, b"data set")
    with open(entry.place.path, "rb") as file:
        assert whole_length(file.fileno(), entry.place.offset, 1 << 20) == entry.place.length
    view = SegmentView(entry.place.path)
    assert [found.stem for found in view.look()] == [entry.stem] and not view.logged
    view.say_logged(store.files)
    again = SegmentView(entry.place.path)
    assert [found.stem for found in again.look()] == [entry.stem] and again.logged
    held.flip(entry, held.sealed(entry).index(RECORD) + RECORD.index(b"store"))
    with pytest.raises(Damaged):
        reading(store.read(entry))
    store.close()


def reading(reader: Reader) -> tuple[bytes, bytes]:
    try:
        return reader.record, b"".join(reader.chunks())
    finally:
        reader.close()
