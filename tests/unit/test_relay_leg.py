"""A leg on a real connection: acknowledgements where the peer may wait for one, and how a connection ends, ours or the peer's."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from support import tlskit
from wardgate.relay.hasher import Buffers
from wardgate.relay.leg import Leg
from wardgate.relay.legstate import Pause, Side, State
from wardgate.relay.loop import IN
from wardgate.transport.context import TlsContexts
from wardgate.transport.tls import TlsChannel
from wardgate.upperlayer.walker import Walker

RELEASE_RQ = bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0))
ASSOCIATE_RQ = bytes((1, 0, 0, 0, 0, 100)) + bytes(100)
# One command of 68 bytes that announces nothing: the walker of this test has no follower that looks into it.
COMMAND = bytes((4, 0, 0, 0, 0, 74, 0, 0, 0, 70, 1, 3)) + bytes(68)
SECONDS = 60.0


class Noting(socket.socket):
    """A socket that notes what acknowledges a read, and what is sent with which flags."""

    acknowledged = 0
    sent: list[tuple[int, int]]

    def setsockopt(self, level: int, option: int, *value: Any) -> None:
        self.acknowledged += (level, option) == (socket.IPPROTO_TCP, socket.TCP_QUICKACK)
        super().setsockopt(level, option, *value)

    def send(self, data: Any, flags: int = 0, /) -> int:
        self.sent.append((len(data), flags))
        return super().send(data, flags)


def _nothing(*_: Any) -> None:
    pass


class Bed:
    """A leg on a real connection, whose owner hears nothing and does nothing."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname(), SECONDS)
            self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted = listener.accept()[0]
        self.sock = Noting(fileno=accepted.detach())
        self.sock.sent = []
        self.sock.setblocking(False)
        self.told: list[bytes] = []
        self.loop = loop = SimpleNamespace(
            register=_nothing, modify=_nothing, discard=lambda sock: sock.close(), soon=lambda call: call(), at=_nothing, parting={}
        )
        owner: Any = SimpleNamespace(lost=_nothing, broken=self._broken)
        self.leg = Leg(loop, Buffers(0), self.sock, Side.ACCEPTOR, owner, "")
        follower: Any = SimpleNamespace(control=self.told.append, command=lambda _context, _command: None, passes=lambda data: None)
        self.leg.walker = Walker(follower, 1 << 20, 1 << 16)
        self.leg.watch(State.OPEN)

    @staticmethod
    def _broken(_leg: Leg, error: Exception) -> None:
        raise error

    def read(self, data: bytes) -> int:
        """Let the leg read `data`; return how often that was acknowledged."""
        before = self.sock.acknowledged
        self.peer.sendall(data)
        self.sock.setblocking(True)
        self.sock.recv(1, socket.MSG_PEEK)
        self.sock.setblocking(False)
        self.leg.ready(IN)
        return self.sock.acknowledged - before


@pytest.fixture
def bed() -> Iterator[Bed]:
    made = Bed()
    yield made
    made.peer.close()
    made.sock.close()


def test_what_is_read_while_messages_pass_is_acknowledged_at_once(bed: Bed) -> None:
    assert bed.read(COMMAND) == 1
    assert bed.read(COMMAND[:20]) == 1  # its rest may wait for this, where Nagle's algorithm is on
    assert bed.read(COMMAND[20:]) == 1


def test_a_peer_that_waits_for_our_answer_is_acknowledged_by_it(bed: Bed) -> None:
    bed.leg.listens = True
    assert bed.read(ASSOCIATE_RQ) == 0
    assert bed.told == [ASSOCIATE_RQ]


@pytest.mark.parametrize("first", [3, 6, 50])
def test_a_part_of_a_request_is_acknowledged_for_the_rest_may_wait_for_it(bed: Bed, first: int) -> None:
    bed.leg.listens = True
    assert bed.read(ASSOCIATE_RQ[:first]) == 1
    assert bed.read(ASSOCIATE_RQ[first:]) == 0
    assert bed.told == [ASSOCIATE_RQ]


def test_a_release_is_acknowledged_by_its_answer(bed: Bed) -> None:
    bed.told = SimpleNamespace(append=None)  # type: ignore[assignment]
    assert bed.leg.walker is not None
    follower: Any = SimpleNamespace(control=lambda _pdu: setattr(bed.leg, "listens", True))
    bed.leg.walker.follow(follower)
    assert bed.read(RELEASE_RQ) == 0


def test_what_waits_for_log_space_is_not_read_on_when_the_connection_fails(bed: Bed) -> None:
    lost: list[str] = []
    bed.leg.owner.lost = lambda _leg, reason: lost.append(reason)  # type: ignore[method-assign]
    bed.leg.carry = bytes(len(bed.leg._buffers.plain))  # a whole buffer: there is no room to read anything behind it
    bed.leg.pause(Pause.SPACE)
    bed.peer.sendall(COMMAND)
    bed.leg._fail(ConnectionResetError(104, "reset"))
    assert lost == ["econnreset"]


class Saying:
    """A channel whose last words are eight bytes."""

    talks = False
    over = True

    def close(self) -> bytes:
        return b"farewell"

    def dispose(self) -> None:
        pass


@pytest.mark.parametrize("unread", [b"", b"something that we do not read"])
def test_last_words_go_with_the_end_of_the_connection_and_are_not_lost(bed: Bed, unread: bytes) -> None:
    bed.leg.channel = Saying()  # type: ignore[assignment]
    if unread:
        bed.peer.sendall(unread)
        bed.sock.setblocking(True)
        bed.sock.recv(1, socket.MSG_PEEK)
        bed.sock.setblocking(False)
    bed.leg.finish(close_notify=True)
    assert bed.sock.sent == [(8, socket.MSG_MORE)]
    assert bed.peer.recv(100) == b"farewell"


def test_a_leg_that_parts_and_is_closed_takes_no_place_among_those_that_part(bed: Bed) -> None:
    bed.leg.part()
    assert len(bed.loop.parting) == 1
    bed.leg.close()
    assert not bed.loop.parting


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def leaving(bed: Bed, request: pytest.FixtureRequest) -> TlsChannel:
    """The channel of the peer, when the leg has the other end of it and `bed.told` tells what the leg's owner hears too."""
    context = tlskit.peer_context(server=False, version=request.param)
    bed.leg.channel, theirs = tlskit.shake(TlsContexts(tlskit.make_tls()).server(), context)
    bed.leg.owner.lost = lambda _leg, reason: bed.told.append(reason.encode())  # type: ignore[method-assign]
    return theirs


def sealed(channel: TlsChannel) -> bytes:
    wire = channel.seal(RELEASE_RQ)
    assert isinstance(wire, bytes)
    return wire


def test_a_close_notify_that_comes_with_the_last_data_ends_the_leg(bed: Bed, leaving: TlsChannel) -> None:
    bed.read(sealed(leaving) + leaving.close())
    assert bed.told == [RELEASE_RQ, b"closed by peer"], "nothing else will come that could tell"


def test_a_close_notify_that_comes_behind_the_last_data_ends_the_leg(bed: Bed, leaving: TlsChannel) -> None:
    bed.read(sealed(leaving))
    assert bed.told == [RELEASE_RQ]
    bed.read(leaving.close())
    assert bed.told == [RELEASE_RQ, b"closed by peer"]


def test_a_close_notify_with_the_last_data_waits_as_long_as_the_leg_is_not_read(bed: Bed, leaving: TlsChannel) -> None:
    assert bed.leg.walker is not None
    follower: Any = SimpleNamespace(control=lambda _pdu: bed.leg.pause(Pause.RECORD))
    bed.leg.walker.follow(follower)
    bed.read(sealed(leaving) + leaving.close())
    assert bed.told == [], "an answer to the last data may still wait for its record"
    bed.leg.resume(Pause.RECORD)
    assert bed.told == [b"closed by peer"]
