"""The walker: every fragmentation gives the same messages, all P-DATA bytes pass in order, and wrong input is named."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.terms import AbortReason
from wardgate.upperlayer.walker import MAX_COMMAND, MAX_FRAGMENTS, MAX_KEPT, NotYet, Walker

HAS_DATA, NO_DATA = b"\x01", b"\x00"


class Recorder:
    """A follower that writes down what it is told. The first byte of a command says whether a data set comes."""

    def __init__(self) -> None:
        self.walker: Walker
        self.passed = bytearray()
        self.controls: list[bytes] = []
        self.messages: list[tuple[int, bytes, bytes]] = []
        self.data = bytearray()
        self.passed_at_command: list[int] = []
        self.lengths: list[int] = []
        self.long: list[int] = []

    def long_pdu(self, length: int) -> None:
        self.long.append(length)

    def passes(self, data: memoryview) -> None:
        self.passed += data

    def control(self, pdu: bytes) -> None:
        self.controls.append(pdu)
        self.passed += pdu

    def command(self, context: int, command: bytearray):
        self.passed_at_command.append(len(self.passed))
        self.walker.expects_data = command[:1] == HAS_DATA
        self.data = bytearray()
        self.messages.append((context, bytes(command), b""))
        return self.data.extend if self.walker.expects_data else None

    def data_set(self, context: int, length: int) -> None:
        self.lengths.append(length)
        last = self.messages[-1]
        assert last[0] == context
        self.messages[-1] = (context, last[1], bytes(self.data))


def start(max_pdu: int = 1 << 20, max_associate: int = 1 << 20) -> tuple[Walker, Recorder]:
    recorder = Recorder()
    recorder.walker = Walker(recorder, max_pdu, max_associate)
    return recorder.walker, recorder


def feed(walker: Walker, stream: bytes, cuts: list[int]) -> bytes:
    """Feed `stream` in pieces; what is not taken goes in front of the next piece. Returns what is left."""
    kept = b""
    for piece in pieces(stream, cuts):
        data = memoryview(bytearray(kept + piece))
        used = walker.feed(data)
        kept = bytes(data[used:])
        data[:] = bytes(len(data))  # the buffer is used again: nobody may still look at it
    return kept


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    at = 0
    out = []
    for cut in cuts:
        if at >= len(stream):
            break
        out.append(stream[at : at + cut])
        at += cut
    if at < len(stream):
        out.append(stream[at:])
    return out


def pdv(context: int, flags: int, data: bytes) -> bytes:
    return struct.pack(">IBB", len(data) + 2, context, flags) + data


def pdata(*pdvs: bytes) -> bytes:
    body = b"".join(pdvs)
    return struct.pack(">BxI", 4, len(body)) + body


def encode(context: int, command: bytes, data: bytes | None, cuts: list[int], packing: list[int]) -> bytes:
    """One message, fragments as long as `cuts` says, as many PDVs in a PDU as `packing` says."""
    pdvs = []
    for kind, whole in ((1, command), (0, data)):
        if whole is None:
            continue
        fragments = pieces(whole, cuts) or [b""]
        pdvs += [pdv(context, kind | (2 if n == len(fragments) - 1 else 0), f) for n, f in enumerate(fragments)]
    out = b""
    turn = 0
    while pdvs:
        take = packing[turn % len(packing)]
        out += pdata(*pdvs[:take])
        pdvs = pdvs[take:]
        turn += 1
    return out


small = st.lists(st.integers(1, 40), min_size=1, max_size=30)
messages = st.lists(
    st.tuples(
        st.integers(0, 127).map(lambda n: 2 * n + 1),
        st.binary(min_size=0, max_size=60),
        st.none() | st.binary(max_size=300),
        small,
        st.lists(st.integers(1, 4), min_size=1, max_size=4),
    ),
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(messages, st.lists(st.integers(1, 70), max_size=200))
def test_any_fragmentation_gives_the_same_messages_and_passes_every_byte_once(said: list, cuts: list[int]) -> None:
    stream = b""
    expected = []
    for context, command, data, fragments, packing in said:
        command = (HAS_DATA if data is not None else NO_DATA) + command
        stream += encode(context, command, data, fragments, packing)
        expected.append((context, command, data or b""))
    release = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
    walker, recorder = start()
    assert feed(walker, stream + release, cuts) == b""
    assert recorder.messages == expected
    assert bytes(recorder.passed) == stream + release
    assert recorder.controls == [release]
    assert recorder.lengths == [len(data) for _, _, data, _, _ in said if data is not None]
    assert walker.offset == len(stream + release)
    assert walker.between_pdus


@settings(max_examples=300, deadline=None)
@given(messages, st.lists(st.integers(1, 70), max_size=100), st.lists(st.booleans(), max_size=20))
def test_a_command_that_comes_too_early_is_shown_again_and_nothing_is_lost_or_told_twice(
    said: list, cuts: list[int], early: list[bool]
) -> None:
    stream = b"".join(
        encode(context, (HAS_DATA if data is not None else NO_DATA) + command, data, fragments, packing)
        for context, command, data, fragments, packing in said
    )
    at_once, later = start(), start()
    assert feed(at_once[0], stream, cuts) == b""
    take, turns = later[1].command, iter(early)

    def command(context: int, text: bytearray):
        if next(turns, False):
            later[0].expects_data = text[:1] == HAS_DATA  # as a follower does that has read it
            raise NotYet
        return take(context, text)

    later[1].command = command  # type: ignore[method-assign]
    kept = feed(later[0], stream, cuts)
    while kept:
        kept = feed(later[0], kept, [])
    assert later[1].messages == at_once[1].messages
    assert later[1].passed == at_once[1].passed == stream
    assert later[1].lengths == at_once[1].lengths
    assert later[0].offset == len(stream) and later[0].between_pdus


def test_behind_a_command_that_comes_too_early_more_may_be_kept_than_a_command_has() -> None:
    """A whole read: nobody reads on until it is taken."""
    walker, recorder = start()
    recorder.command = _not_yet  # type: ignore[method-assign]
    stream = encode(1, HAS_DATA, bytes(2 * MAX_KEPT), [MAX_KEPT], [1])
    assert feed(walker, stream, []) == stream and not recorder.passed


def _not_yet(_context: int, _command: bytearray):
    raise NotYet


def test_not_one_byte_of_a_command_passes_before_the_command_is_whole() -> None:
    first = encode(1, HAS_DATA + b"aaaa", b"d" * 10, [3], [1])
    second = encode(3, NO_DATA + b"b" * 50, None, [7], [2])
    for cut in range(1, len(second)):
        walker, recorder = start()
        kept = feed(walker, first + second[:cut], [])
        assert bytes(recorder.passed) == first, cut
        assert kept == second[:cut]
        feed(walker, kept + second[cut:], [])
        assert recorder.passed_at_command[1] == len(first)
        assert bytes(recorder.passed) == first + second


def test_a_command_can_be_found_again_in_the_buffer_whatever_its_fragments() -> None:
    command = NO_DATA + bytes(range(1, 60))
    stream = encode(5, command, None, [7, 1, 13], [2, 1])
    walker, recorder = start()
    buffer = memoryview(bytearray(stream))
    places: list[int] = []
    inner = recorder.command

    def command_seen(context: int, seen: bytearray):
        places.extend(where + n for start, end, where in walker.segments for n in range(end - start))
        return inner(context, seen)

    recorder.command = command_seen  # type: ignore[method-assign]
    walker.feed(buffer)
    assert bytes(buffer[place] for place in places) == command


def test_an_abort_in_the_middle_of_a_command_is_seen_and_the_half_command_never_passes() -> None:
    first = encode(1, HAS_DATA + b"aaaa", b"d" * 10, [3], [1])
    half = pdata(pdv(1, 1, b"half of a"))
    abort = b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00"
    for cuts in ([], [len(first) + 8], [5] * 60):
        walker, recorder = start()
        assert feed(walker, first + half + abort, cuts) == b""
        assert recorder.controls == [abort]
        assert bytes(recorder.passed) == first + abort


def test_an_association_pdu_is_collected_up_to_its_bound() -> None:
    request = struct.pack(">BxI", 1, 5000) + bytes(5000)
    walker, recorder = start(max_associate=5000)
    assert feed(walker, request, [100] * 60) == b""
    assert recorder.controls == [request]


def bad(stream: bytes, **limits: int) -> PduError:
    walker, recorder = start(**limits)
    with pytest.raises(PduError) as caught:
        feed(walker, stream, [])
    assert not recorder.passed
    return caught.value


def test_a_pdu_longer_than_announced_passes_and_is_told_once() -> None:
    walker, recorder = start()
    walker.announced(16)
    stream = encode(1, HAS_DATA, bytes(100), [40], [1]) + encode(1, HAS_DATA, bytes(100), [90], [1])
    feed(walker, stream, [])
    assert recorder.long == [46]
    assert bytes(recorder.passed) == stream


def test_an_unknown_pdu_type_is_named_with_its_byte() -> None:
    error = bad(b"GET / HTTP/1.1\r\n")
    assert error.reason is AbortReason.UNRECOGNIZED_PDU
    assert error.offset == 0
    assert "9.3.1" in error.clause


def test_a_pdu_of_four_gigabytes_is_refused_from_its_header() -> None:
    assert "9.3.5" in bad(struct.pack(">BxIIBB", 4, 0xFFFFFFFF, 0xFFFFFFF0, 1, 2)).clause
    assert bad(struct.pack(">BxI", 1, 0xFFFFFFFF)).offset == 0
    assert bad(struct.pack(">BxI", 5, 5) + bytes(5)).offset == 0


@pytest.mark.parametrize("item", [0, 1, 7, 0xFFFFFFFF])
def test_a_pdv_that_does_not_fit_its_pdu_is_refused(item: int) -> None:
    assert "9.3.5.1" in bad(struct.pack(">BxIIBB", 4, 10, item, 1, 2) + bytes(4)).clause


def test_a_second_pdv_that_does_not_fit_is_refused_at_its_own_byte() -> None:
    body = pdv(1, 3, NO_DATA) + struct.pack(">IBB", 100, 1, 3)
    walker, _ = start()
    with pytest.raises(PduError) as caught:
        feed(walker, struct.pack(">BxI", 4, len(body)) + body, [])
    assert caught.value.offset == 6 + 7


def test_a_data_set_without_its_command_is_refused() -> None:
    assert "E.1" in bad(pdata(pdv(1, 2, b"data"))).clause


def test_a_data_set_on_another_context_than_its_command_is_refused() -> None:
    stream = pdata(pdv(1, 3, HAS_DATA)) + pdata(pdv(3, 2, b"data"))
    walker, _ = start()
    with pytest.raises(PduError, match="context 3"):
        feed(walker, stream, [])


def test_a_command_inside_a_data_set_is_refused() -> None:
    stream = pdata(pdv(1, 3, HAS_DATA)) + pdata(pdv(1, 0, b"part")) + pdata(pdv(1, 3, NO_DATA))
    walker, _ = start()
    with pytest.raises(PduError, match="inside the data set"):
        feed(walker, stream, [])


def test_another_message_inside_a_command_is_refused() -> None:
    assert "E.1" in bad(pdata(pdv(1, 1, NO_DATA)) + pdata(pdv(3, 3, NO_DATA))).clause
    assert "E.1" in bad(pdata(pdv(1, 1, NO_DATA)) + pdata(pdv(1, 2, b"data"))).clause


def test_a_command_without_end_is_refused_at_its_bound() -> None:
    assert "command set" in bad(b"".join(pdata(pdv(1, 1, bytes(1000))) for _ in range(MAX_COMMAND // 1000 + 2))).message


@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_command_in_hundreds_of_fragments_is_refused_and_not_read_again_at_each_byte(data: bytes) -> None:
    """Each byte that comes has the command gathered again from its start: 20,000 fragments kept a worker busy at 100 bytes a second."""
    walker, recorder = start()
    walker.feed(memoryview(pdata(*[pdv(1, 1, data)] * (MAX_FRAGMENTS - 1), pdv(1, 3, data))))
    assert len(recorder.messages) == 1
    error = bad(pdata(*[pdv(1, 1, data)] * (MAX_FRAGMENTS + 1)))
    assert f"{MAX_FRAGMENTS} fragments" in error.message


def test_empty_fragments_do_not_grow_memory_without_end() -> None:
    assert bad(b"".join(pdata(pdv(1, 1, b"")) for _ in range(MAX_KEPT // 12 + 2)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=20))
def test_random_bytes_end_in_an_error_or_in_waiting_never_in_anything_else(noise: bytes, cuts: list[int]) -> None:
    walker, recorder = start(max_pdu=4096, max_associate=4096)
    offset = 0
    try:
        kept = feed(walker, noise, cuts)
    except PduError as error:
        offset = error.offset
    else:
        assert len(recorder.passed) + len(kept) <= len(noise)
    assert 0 <= offset <= len(noise)
