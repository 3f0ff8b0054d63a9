"""A command set of a layout seen before is read as one that was never seen: the short way and the long way agree."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.dimse import command as module
from wardgate.dimse.command import CommandError, _parse, parse


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def store_rq(message: int, instance: str, extra: bytes = b"") -> bytes:
    return (
        element(0x0002, uid("1.2.840.10008.5.1.4.1.1.2")) + element(0x0100, us(1)) + element(0x0110, us(message))
        + element(0x0700, us(0)) + element(0x0800, us(0)) + element(0x1000, uid(instance)) + extra
    )  # fmt: skip


def store_rsp(message: int, status: int, instance: str) -> bytes:
    return (
        element(0x0002, uid("1.2.840.10008.5.1.4.1.1.2")) + element(0x0100, us(0x8001)) + element(0x0120, us(message))
        + element(0x0800, us(0x0101)) + element(0x0900, us(status)) + element(0x1000, uid(instance))
    )  # fmt: skip


def fields(data: bytes, read) -> object:
    try:
        found = read(data)
    except CommandError as error:
        return str(error)
    return [getattr(found, name) for name in found.__slots__]


messages = st.one_of(
    st.builds(store_rq, st.integers(0, 65535), st.sampled_from(["1.2.3", "1.2.4", "1.2.345", "1"])),
    st.builds(lambda n: store_rsp(n, 0, "1.2.3") + element(0x0110, us(n)), st.integers(0, 65535)),
    st.builds(store_rsp, st.integers(0, 65535), st.sampled_from([0, 0xA700, 0xB000]), st.sampled_from(["1.2.3", "1.2.345"])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(messages, min_size=1, max_size=6), st.integers(0, 400), st.integers(0, 255))
def test_a_known_layout_reads_every_command_as_the_long_way_does(said: list[bytes], at: int, value: int) -> None:
    module._layouts.clear()
    for message in said:
        assert fields(message, parse) == fields(message, _parse)
    damaged = bytearray(said[-1])
    damaged[at % len(damaged)] = value
    assert fields(bytes(damaged), parse) == fields(bytes(damaged), _parse)


def test_the_second_of_a_kind_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    module._layouts.clear()
    parse(store_rq(1, "1.2.3"))

    def long_way(data: bytes) -> object:
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(module, "_parse", long_way)
    assert parse(store_rq(2, "1.2.9")).sop_instance == "1.2.9"
    with pytest.raises(AssertionError, match="long way"):
        parse(store_rq(2, "1.2.9", element(0x0600, b"")))


def test_layouts_are_bounded() -> None:
    module._layouts.clear()
    for length in range(1, 64):
        parse(store_rq(1, "1." + "1" * (2 * length % 60), element(0x1030, us(1)) * (length // 30)))
        parse(store_rsp(1, 0, "1." + "1" * (2 * length % 60)))
    assert 0 < len(module._layouts) <= 64
