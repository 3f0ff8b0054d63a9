"""SHA-256 beside the loop: right whatever is hashed where, and nobody waits for another's data without need."""

from __future__ import annotations

import hashlib
import random
import threading
import time

import pytest

from wardgate.policy.model import Box
from wardgate.relay.hasher import BEHIND, JOIN_BYTES, LONE_PATIENCE, OFFLOAD_BYTES, RING, Buffers, Digest, buffers_for

BIG = OFFLOAD_BYTES


def read(buffers: Buffers, *parts: tuple[Digest, bytes]) -> None:
    """As a leg, the walker and a flow do: read into `plain`, note the slices, seal and send, go on."""
    walk(buffers, *parts)
    for _ in range(100):  # sealing takes longer than a thread with a processor needs to begin; one that is held up never does
        if not buffers.waiting:
            break
        time.sleep(0.001)
    buffers.after_feed()


def read_beside(buffers: Buffers, *parts: tuple[Digest, bytes]) -> None:
    """The same, and the thread, which nothing holds up, takes it, however busy the machine is: to the end, or to a `Gate`."""
    walk(buffers, *parts)
    job = buffers._job
    assert job is not None
    lock = job.take.func.__self__  # type: ignore[attr-defined]
    for _ in range(60_000):
        if lock.locked():
            break
        time.sleep(0.001)
    assert lock.locked(), "the thread did not come in a minute"
    buffers.after_feed()


def walk(buffers: Buffers, *parts: tuple[Digest, bytes]) -> None:
    """The same as far as sealing."""
    at = 0
    for digest, data in parts:
        buffers.plain[at : at + len(data)] = data
        digest.update(buffers.plain[at : at + len(data)])
        at += len(data)
    if buffers.slices:
        buffers.before_send(at)


class Gate:
    """Holds the hashing of one digest up until `open`."""

    def __init__(self, digest: Digest) -> None:
        self.entered, self.open, self.thread = threading.Event(), threading.Event(), ""
        add = digest.add

        def held(data: memoryview) -> None:
            self.thread = threading.current_thread().name
            self.entered.set()
            assert self.open.wait(60)
            add(data)

        digest.add = held


@pytest.mark.parametrize("hash_threads", [0, 1])
def test_digests_are_right_however_reads_are_cut_and_mixed(hash_threads: int) -> None:
    chance = random.Random(hash_threads)
    buffers = Buffers(hash_threads)
    for _ in range(12):
        digests = [Digest(buffers) for _ in range(5)]
        wanted = [hashlib.sha256() for _ in digests]
        for _ in range(60):
            parts = []
            for part in range(many := chance.choice((1, 1, 1, 2, 3, 15))):
                if part == 0 or many < 15 or chance.random() < 0.2:  # a row of fragments mostly belongs to one data set
                    number = chance.randrange(5)
                data = chance.randbytes(16_000 if many == 15 else chance.choice((1, 900, 16_000, 70_000, 120_000)))
                wanted[number].update(data)
                parts.append((digests[number], data))
            read(buffers, *parts)
            if chance.random() < 0.1:
                number = chance.randrange(5)
                assert digests[number].hexdigest() == wanted[number].hexdigest()
        assert [digest.hexdigest() for digest in digests] == [sha.hexdigest() for sha in wanted]


def test_a_digest_does_not_wait_for_what_came_after_it() -> None:
    buffers = Buffers(1)
    first, second = Digest(buffers), Digest(buffers)
    held = Gate(second)
    read_beside(buffers, (first, bytes(BIG)))
    read_beside(buffers, (second, bytes(BIG)))
    assert held.entered.wait(60)
    assert first.hexdigest() == hashlib.sha256(bytes(BIG)).hexdigest()
    held.open.set()
    assert second.hexdigest() == hashlib.sha256(bytes(BIG)).hexdigest()


def test_the_loop_hashes_itself_while_the_thread_is_behind() -> None:
    buffers = Buffers(1)
    slow = Digest(buffers)
    held = Gate(slow)
    read_beside(buffers, (slow, bytes(BIG)))
    assert held.entered.wait(60)
    assert held.thread == "sha256"
    others = [Digest(buffers) for _ in range(BEHIND + 1)]
    for other in others:
        pieces = added(other)
        read(buffers, (other, b"x" * BIG))
        assert len(pieces) == 1, "it was hashed at once"
        assert other.hexdigest() == hashlib.sha256(b"x" * BIG).hexdigest(), "nobody has to open a gate for that"
    held.open.set()
    assert slow.hexdigest() == hashlib.sha256(bytes(BIG)).hexdigest()


def test_what_the_thread_has_not_begun_with_is_hashed_once_and_by_who_waits_for_it() -> None:
    buffers = Buffers(1)
    slow, other = Digest(buffers), Digest(buffers)
    held, pieces = Gate(slow), added(other)
    read_beside(buffers, (slow, bytes(BIG)))
    assert held.entered.wait(60)
    walk(buffers, (other, b"x" * BIG))
    threading.Timer(0.1, held.open.set).start()
    assert other.hexdigest() == hashlib.sha256(b"x" * BIG).hexdigest()
    buffers.after_feed()
    read(buffers, (slow, bytes(BIG)))
    assert slow.hexdigest() == hashlib.sha256(bytes(2 * BIG)).hexdigest()
    assert len(pieces) == 1


def test_bytes_of_one_data_set_are_hashed_in_their_order_although_the_thread_is_behind() -> None:
    buffers = Buffers(1)
    digest = Digest(buffers)
    held = Gate(digest)
    read_beside(buffers, (digest, bytes(BIG)))
    for number in range(1, BEHIND + 2):
        read(buffers, (digest, bytes([number]) * BIG))
    read(buffers, (digest, b"the last, and short"))
    assert held.entered.wait(60)
    held.open.set()
    whole = b"".join(bytes([number]) * BIG for number in range(BEHIND + 2)) + b"the last, and short"
    assert digest.hexdigest() == hashlib.sha256(whole).hexdigest()


def added(digest: Digest) -> list[memoryview]:
    """Return the list into which every piece goes that is hashed for `digest` from now on."""
    pieces: list[memoryview] = []
    add = digest.add

    def noted(data: memoryview) -> None:
        pieces.append(data)
        add(data)

    digest.add = noted
    return pieces


def test_short_slices_of_a_read_are_hashed_as_one_and_those_of_each_data_set_apart() -> None:
    buffers = Buffers(1)
    first, second = Digest(buffers), Digest(buffers)
    of_first, of_second = added(first), added(second)
    row = [bytes([number]) * 16_000 for number in range(15)]
    read_beside(buffers, *((first, data) for data in row[:9]), *((second, data) for data in row[9:]))
    assert first.hexdigest() == hashlib.sha256(b"".join(row[:9])).hexdigest()
    assert second.hexdigest() == hashlib.sha256(b"".join(row[9:])).hexdigest()
    assert [len(data) for data in of_first] == [9 * 16_000]
    assert [len(data) for data in of_second] == [6 * 16_000]


def test_long_slices_are_hashed_where_they_lie() -> None:
    buffers = Buffers(1)
    digest = Digest(buffers)
    pieces, where = added(digest), buffers.plain.obj
    read_beside(buffers, (digest, b"a" * JOIN_BYTES), (digest, b"b" * JOIN_BYTES))
    assert digest.hexdigest() == hashlib.sha256(b"a" * JOIN_BYTES + b"b" * JOIN_BYTES).hexdigest()
    assert [data.obj is where for data in pieces] == [True, True]


def test_a_buffer_is_read_into_again_as_soon_as_its_slices_are_put_together() -> None:
    buffers = Buffers(1)
    digest, other = Digest(buffers), Digest(buffers)
    held, first = Gate(digest), buffers.plain.obj
    walk(buffers, *((digest, bytes([number]) * 16_000) for number in range(15)))
    assert held.entered.wait(60), "they are put together by now"
    buffers.after_feed()
    read(buffers, (other, b"short"))
    read(buffers, (other, bytes(BIG)))
    assert buffers.plain.obj is first, "the last that became free comes first"
    buffers.plain[:] = b"x" * len(buffers.plain)
    held.open.set()
    assert digest.hexdigest() == hashlib.sha256(b"".join(bytes([number]) * 16_000 for number in range(15))).hexdigest()


def test_a_buffer_is_not_read_into_before_it_is_hashed() -> None:
    buffers = Buffers(1)
    digest = Digest(buffers)
    held = Gate(digest)
    seen = set()
    for number in range(RING - 1):
        seen.add(id(buffers.plain.obj))
        (read if number else read_beside)(buffers, (digest, bytes([number]) * BIG))
    assert len(seen) == RING - 1, "the thread has hashed none of them yet"
    threading.Timer(0.2, held.open.set).start()
    for number in range(RING - 1, 3 * RING):
        read(buffers, (digest, bytes([number]) * BIG))
    assert digest.hexdigest() == hashlib.sha256(b"".join(bytes([number]) * BIG for number in range(3 * RING))).hexdigest()


def test_the_thread_waits_for_the_bytes_in_front_when_the_loop_has_them() -> None:
    buffers = Buffers(1, patience=BEHIND)
    slow, digest = Digest(buffers), Digest(buffers)
    held = Gate(slow)
    read_beside(buffers, (slow, bytes(BIG)))
    assert held.entered.wait(60)
    read(buffers, (digest, b"a" * BIG))
    first = digest.job
    assert first is not None
    read(buffers, (digest, b"b" * BIG))
    assert first.take(), "as the loop does when it waits"
    held.open.set()
    time.sleep(0.05)
    first.hash(first.slices)
    assert digest.hexdigest() == hashlib.sha256(b"a" * BIG + b"b" * BIG).hexdigest()


def test_nothing_is_kept_of_what_is_hashed() -> None:
    buffers = Buffers(1)
    slow = Digest(buffers)
    held = Gate(slow)
    read_beside(buffers, (slow, bytes(BIG)))
    assert held.entered.wait(60)
    for _ in range(4 * RING):
        read(buffers, (Digest(buffers), bytes(BIG)))
    held.open.set()
    slow.hexdigest()
    other = Digest(buffers)
    read(buffers, (other, bytes(BIG)))
    other.hexdigest()
    read(buffers, (Digest(buffers), bytes(BIG)))
    assert len(buffers._under_way) <= 2
    assert buffers.waiting <= BEHIND


@pytest.mark.parametrize(
    ("workers", "threads", "processors", "inline", "patience"),
    [
        (0, 1, 1, True, 0),
        (0, 1, 4, False, 0),
        (4, 1, 4, False, 0),
        (1, 1, 2, False, LONE_PATIENCE),
        (1, 1, 1, True, 0),
        (0, 0, 4, True, 0),
    ],
)
def test_a_thread_is_there_where_a_processor_may_be(workers: int, threads: int, processors: int, inline: bool, patience: int) -> None:
    buffers = buffers_for(Box("ward", workers=workers, hash_threads=threads), processors)
    assert (buffers.inline, buffers.patience) == (inline, patience)
