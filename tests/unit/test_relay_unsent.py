"""What a socket does not take now leaves later, whole and in order."""

from __future__ import annotations

from typing import Any

import pytest

from wardgate.relay import unsent

WIRE = [b"one", b"two", b"three"]


class Narrow:
    """A socket that takes as many bytes as it is told to."""

    def __init__(self) -> None:
        self.room = 0
        self.took = b""

    def send(self, data: bytes | memoryview) -> int:
        """Take what there is room for, as `socket.send` does."""
        if not self.room:
            raise BlockingIOError
        part = bytes(data[: self.room])
        self.room -= len(part)
        self.took += part
        return len(part)


@pytest.mark.parametrize("sent", range(sum(map(len, WIRE)) + 1))
@pytest.mark.parametrize("room", [1, 3, 4, 100])
def test_what_the_socket_did_not_take_follows_in_order(sent: int, room: int) -> None:
    whole, sock = b"".join(WIRE), Narrow()
    waiting: unsent.Unsent = []
    unsent.keep(waiting, WIRE, sent)
    unsent.keep(waiting, bytearray(b"next"), 0)
    while waiting:
        before = len(sock.took)
        sock.room = room
        unsent.send(waiting, sock)  # type: ignore[arg-type]
        assert len(sock.took) == min(before + room, len(whole) - sent + len(b"next"))
    assert sock.took == whole[sent:] + b"next"


def test_what_waits_is_a_copy() -> None:
    buffer = bytearray(b"abcdef")
    waiting: unsent.Unsent = []
    unsent.keep(waiting, memoryview(buffer), 2)
    buffer[:] = b"zzzzzz"
    assert b"".join(waiting) == b"cdef"


def test_a_socket_that_nobody_reads_any_more_is_an_error() -> None:
    class Reset:
        def send(self, _data: Any) -> int:
            raise ConnectionResetError

    with pytest.raises(OSError):
        unsent.send([b"x"], Reset())  # type: ignore[arg-type]
