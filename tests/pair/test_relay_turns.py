"""More associations at once than are opened with one called side: the others wait for their turn, before their connection."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.relaykit import Relay, until
from support.tlskit import make_tls
from support.wire import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, Wire, associate_ac, associate_rq, pdu, readable
from wardgate.codes import Code
from wardgate.custody.wire import Op, Status
from wardgate.policy.model import Role
from wardgate.relay import openings

BOUND = 2


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """An opening on a busy machine is not slow, but where a test says so."""
    monkeypatch.setattr(openings, "SLOW_SECONDS", 600.0)


class Unreachable:
    """Sockets of a box that has no route."""

    waits = False

    def connect(self, _target: object) -> socket.socket:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")


class Ward:
    """A modality that asks for many associations, and the PACS that they are for."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.callers: list[Wire] = []
        self.peers: list[Wire] = []

    def ask(self, count: int) -> None:
        """Ask for so many more, one after the other; the box knows all of them."""
        gate = self.relay.gate
        for _ in range(count):
            known = len(gate.associations)
            self.callers.append(caller := self.relay.dial())
            caller.send(request(len(self.callers) - 1))
            until(lambda known=known: len(gate.associations) > known and not gate.embryos, "it is known who calls")
            self.relay.turned()

    def reached(self, count: int) -> list[int]:
        """Take so many connections that the box makes; return whose they are, by the A-ASSOCIATE-RQ on each. It makes no more."""
        found = []
        for _ in range(count):
            self.peers.append(peer := self.relay.accept())
            found.append(number_of(peer.whole()))
        assert not readable(self.relay._called[Role.PEER].fileno(), seconds=0.3), f"more than {found}"
        return found

    def answer(self, at: int, number: int) -> None:
        """The PACS accepts the association on its connection `at`, which is that of caller `number`."""
        self.peers[at].send(associate_ac(request(number)))
        assert self.callers[number].read()[0] == ASSOCIATE_AC

    def close(self) -> None:
        for wire in (*self.callers, *self.peers):
            wire.sock.close()


def request(number: int) -> bytes:
    """Return the A-ASSOCIATE-RQ of caller `number`: told by its maximum length."""
    return associate_rq("CT1", "PACS", max_pdu=20000 + number)


def number_of(rq: bytes) -> int:
    return next(number for number in range(100) if rq == request(number))


def said_at(capsys: pytest.CaptureFixture[str], code: Code) -> list[str]:
    """Return the address in each line of the log with `code`."""
    lines = [line for line in capsys.readouterr().err.splitlines() if f" {code} " in line]
    return [line.partition(" at=")[2].partition(" ")[0] for line in lines]


@pytest.fixture
def ward(folder: Path) -> Iterator[Ward]:
    with Relay(folder, openings_per_peer=BOUND) as relay:
        ward = Ward(relay)
        yield ward
        ward.close()
        relay.settled()
        assert relay.gate.openings.waiting == 0
        assert not relay.gate.openings._doors, "each place was given back"
        assert "WORKER_DEFECT" not in relay.codes()


def test_no_more_are_connected_at_once_than_the_bound_and_the_status_counts_the_others(ward: Ward) -> None:
    ward.ask(5)
    assert ward.reached(2) == [0, 1]
    assert ward.relay.worker.status()["openings_waiting"] == 3
    assert ward.relay.worker.status()["links"]["ct1"]["now"] == 5


def test_each_that_is_answered_lets_the_next_one_go_in_order(ward: Ward) -> None:
    ward.ask(5)
    assert ward.reached(2) == [0, 1]
    ward.answer(1, 1)
    assert ward.reached(1) == [2]
    ward.answer(0, 0)
    ward.answer(2, 2)
    assert ward.reached(2) == [3, 4]
    ward.answer(3, 3)
    ward.answer(4, 4)
    assert ward.relay.gate.links["ct1"].associations == 5


@pytest.mark.parametrize("how", ["rejects", "aborts", "breaks off", "says nonsense"])
def test_a_called_side_that_does_not_accept_lets_the_next_one_go(ward: Ward, how: str) -> None:
    ward.ask(4)
    assert ward.reached(2) == [0, 1]
    peer = ward.peers[0]
    if how == "rejects":
        peer.send(pdu(ASSOCIATE_RJ, bytes((0, 1, 1, 1))))
    elif how == "aborts":
        peer.send(pdu(ABORT, bytes(4)))
    elif how == "says nonsense":
        peer.send(b"GET / HTTP/1.1\r\n")
    else:
        peer.sock.close()
    assert ward.reached(1) == [2]


def test_a_caller_that_aborts_or_leaves_while_it_is_opened_lets_the_next_one_go(ward: Ward) -> None:
    ward.ask(4)
    assert ward.reached(2) == [0, 1]
    ward.callers[0].send(pdu(ABORT, bytes(4)))
    assert ward.reached(1) == [2]
    ward.callers[1].sock.close()
    assert ward.reached(1) == [3]


def test_a_caller_that_aborts_or_leaves_while_it_waits_is_never_connected(ward: Ward) -> None:
    ward.ask(5)
    assert ward.reached(2) == [0, 1]
    ward.callers[2].send(pdu(ABORT, bytes(4)))
    ward.callers[3].sock.close()
    until(lambda: ward.relay.gate.openings.waiting == 1, "they have left the queue")
    ward.relay.turned()
    assert ward.relay.gate.links["ct1"].now == 3
    ward.answer(0, 0)
    assert ward.reached(1) == [4]


def test_a_called_side_that_hangs_holds_no_other(ward: Ward) -> None:
    ward.ask(4)
    assert ward.reached(2) == [0, 1]
    with ward.relay.associate(Role.PEER):
        pass


def test_where_one_is_slow_to_answer_the_others_do_not_wait_for_long(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    ward.ask(4)
    assert ward.reached(2) == [0, 1]
    monkeypatch.setattr(openings, "SLOW_SECONDS", 0.5)
    until(lambda: ward.relay.gate.openings.waiting == 0, "the first two do not count any more")
    assert ward.reached(2) == [2, 3]
    for number in (3, 2, 1, 0):
        ward.answer(number, number)


def test_nothing_leaves_the_box_before_the_open_entry_is_durable_however_long_it_waited(ward: Ward) -> None:
    writer = ward.relay.writer
    writer.hold(Op.OPEN)
    ward.ask(3)
    relay_side = ward.relay._called[Role.PEER]
    socks = [relay_side.accept()[0] for _ in range(BOUND)]
    assert not readable(relay_side.fileno(), *(sock.fileno() for sock in socks), seconds=0.3)
    writer.release()
    for sock in socks:
        sock.settimeout(60)
        ward.peers.append(Wire(sock))
        assert number_of(ward.peers[-1].whole()) in (0, 1)


def test_the_log_hears_of_an_association_when_its_turn_comes(ward: Ward) -> None:
    ward.ask(4)
    assert ward.reached(2) == [0, 1]
    assert len(ward.relay.writer.ops(Op.OPEN)) == 2
    ward.answer(0, 0)
    assert ward.reached(1) == [2]
    assert len(ward.relay.writer.ops(Op.OPEN)) == 3


def test_who_gets_no_open_entry_lets_the_next_one_go(ward: Ward) -> None:
    writer = ward.relay.writer
    ward.ask(4)
    assert ward.reached(2) == [0, 1]
    writer.answers[Op.OPEN] = Status.IO_ERROR
    ward.answer(0, 0)
    for caller in ward.callers[2:3]:
        kind, body = caller.read()
        assert (kind, body[1]) == (ASSOCIATE_RJ, 2)
    until(lambda: ward.relay.gate.openings.waiting == 0, "the last one's turn has come")
    assert "CUSTODY_REFUSED" in ward.relay.codes()


def test_whose_turn_does_not_come_in_time_is_rejected_and_the_log_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Relay(folder, openings_per_peer=1, handshake_seconds=1, associate_seconds=100) as relay:
        ward = Ward(relay)
        ward.ask(2)
        assert ward.reached(1) == [0]
        kind, body = ward.callers[1].read()
        assert (kind, *body[1:4]) == (ASSOCIATE_RJ, 2, 3, 1), "transient, provider, temporary congestion: PS3.8 9.3.4"
        assert "TURN_LATE" in relay.codes()
        assert said_at(capsys, Code.TURN_LATE) == [f"127.0.0.1:{relay._called[Role.PEER].getsockname()[1]}"], "whom to look at"
        assert relay.gate.openings.waiting == 0
        ward.answer(0, 0)
        assert len(relay.writer.ops(Op.OPEN)) == 1, "nothing was begun for it that the log would have to know"
        ward.close()
        relay.settled()


def test_who_waits_when_the_called_side_refuses_connections_is_told_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Relay(folder, openings_per_peer=1) as relay:
        ward = Ward(relay)
        ward.ask(1)
        assert ward.reached(1) == [0]
        ward.ask(3)
        at = f"127.0.0.1:{relay._called[Role.PEER].getsockname()[1]}"
        relay.stop_listening()
        ward.peers[0].sock.close()
        for caller in ward.callers:
            assert caller.read()[0] == ASSOCIATE_RJ
        assert said_at(capsys, Code.CONNECT_FAILED) == [at] * 3
        assert not relay.gate.openings._doors
        ward.close()


def test_a_called_side_for_which_there_is_no_socket_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Relay(folder) as relay:
        relay.gate.sockets = Unreachable()  # type: ignore[assignment]
        ward = Ward(relay)
        ward.ask(1)
        assert ward.callers[0].read()[0] == ASSOCIATE_RJ
        assert said_at(capsys, Code.CONNECT_FAILED) == [f"127.0.0.1:{relay._called[Role.PEER].getsockname()[1]}"]
        ward.close()


def test_who_waits_when_the_token_goes_is_rejected_and_never_connected(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls(), openings_per_peer=1) as relay:
        ward = Ward(relay)
        ward.ask(3)
        sock, _ = relay._called[Role.PEER].accept()
        relay.token("TOKEN_IS_ABSENT")
        for caller in ward.callers:
            assert caller.read()[0] == ASSOCIATE_RJ
        assert not readable(relay._called[Role.PEER].fileno(), seconds=0.3)
        assert not relay.gate.openings._doors
        sock.close()
        ward.close()


def test_a_handshake_that_hangs_keeps_one_place_and_waiting_costs_no_tls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Relay(folder, peer_tls=make_tls(), openings_per_peer=BOUND) as relay:
        secure = relay.gate.secure[("ct1", "pacs")]
        made = []
        make = secure.client_channel

        def counted(many: bool) -> object:
            made.append(many)
            return make(many)

        monkeypatch.setattr(secure, "client_channel", counted)
        ward = Ward(relay)
        relay._called[Role.PEER].settimeout(60)
        ward.ask(5)
        hanging: socket.socket = relay._called[Role.PEER].accept()[0]
        for _ in range(4):
            with relay.accept() as peer:
                peer.send(associate_ac(peer.whole()))
        assert len(made) == 5
        hanging.close()
        ward.close()
