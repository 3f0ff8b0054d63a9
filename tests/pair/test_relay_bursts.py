"""C-STORE requests that come faster than their log space is granted (decision 006): they wait, unless it is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from support.elements import Writer
from support.isclsocket import box_table
from support.relaykit import RELEASE_RQ_PDU, Pair, Relay, abort_of, response, silent, store, until
from support.tlskit import make_tls
from wardgate.custody.wire import Op, Status
from wardgate.edit.elements import Encoding
from wardgate.policy.model import Role, StatusRule
from wardgate.relay.hasher import READ_BYTES, SPARE_BYTES
from wardgate.relay.legstate import Pause

W = Writer(Encoding.EXPLICIT_LITTLE)
BODY = W.before() + W.after()
ROOM = 62  # of 64 records, one is kept for the close entry and one more


def _burst(count: int, body: bytes = BODY) -> list[list[bytes]]:
    return [store(number, body) for number in range(1, count + 1)]


def _send(pair: Pair, requests: list[list[bytes]], *behind: bytes) -> threading.Thread:
    """Send it all at once; what does not go now goes when the box reads on."""
    stream = b"".join(pdu for request in requests for pdu in request) + b"".join(behind)

    def send() -> None:
        with suppress(OSError):
            pair.near.send(stream)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def _come(pair: Pair, requests: list[list[bytes]]) -> None:
    """These requests, and every byte as it was sent."""
    for number, request in enumerate(requests):
        for pdu in request:
            assert pair.far.whole() == pdu, number


LINKS: dict[str, Callable[[Path], dict[str, object]]] = {
    "plain": lambda _folder: {},
    "thread": lambda _folder: {"hash_threads": 1},
    "tls": lambda _folder: {"peer_tls": make_tls()},
    "iscl": lambda folder: {"peer_iscl": box_table(folder)},
    "rule-f": lambda _folder: {"status": StatusRule.RULE_F},
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("caller", Role)
def test_a_burst_ahead_of_its_log_space_waits_until_it_is_granted(folder: Path, link: str, caller: Role) -> None:
    requests = _burst(200)
    with Relay(folder, **LINKS[link](folder)) as relay, relay.associate(caller) as pair:  # type: ignore[arg-type]
        relay.writer.hold(Op.RESERVE)
        sender = _send(pair, requests)
        _come(pair, requests[:ROOM])
        until(lambda: relay.writer.waiting() == 1, "more log space is asked for")
        assert silent(pair.far)
        relay.writer.release_one(0)  # 64 more; the next request asks again
        _come(pair, requests[ROOM : ROOM + 64])
        for number in range(1, ROOM + 1):  # answers pass meanwhile, and make no room: each has its record
            pair.pass_on(response(number), back=True)
        assert silent(pair.far)
        relay.writer.release()
        _come(pair, requests[ROOM + 64 :])
        sender.join()
        for number in range(ROOM + 1, 201):
            pair.pass_on(response(number), back=True)
        pair.release()
        relay.settled()
        assert [record["seq"] for record in relay.writer.stores()] == list(range(1, 201))
        assert not {"LOG_SPACE_OUT", "WORKER_DEFECT"} & set(relay.codes())


@pytest.mark.parametrize("hash_threads", [0, 1])
def test_of_a_burst_the_box_keeps_one_read_and_the_network_the_rest(folder: Path, hash_threads: int) -> None:
    requests = _burst(300, bytes(range(200)) * 250)
    with Relay(folder, hash_threads=hash_threads) as relay, relay.associate() as pair:
        relay.writer.hold(Op.RESERVE)
        sender = _send(pair, requests[:150], RELEASE_RQ_PDU)
        _come(pair, requests[:ROOM])
        leg = next(iter(relay.gate.associations)).acceptor
        until(lambda: leg._pause & Pause.SPACE.value, "it waits for log space")
        received = leg.received
        assert silent(pair.far)
        assert leg.received == received and len(leg.carry) <= READ_BYTES + SPARE_BYTES
        relay.writer.release()
        _come(pair, requests[ROOM:150])
        assert pair.far.whole() == RELEASE_RQ_PDU
        sender.join()
        for number in range(1, 151):
            pair.pass_on(response(number), back=True)
        assert len({str(record["digests"]) for record in relay.writer.stores()}) == 1


@pytest.mark.parametrize("status", [Status.NO_SPACE, Status.IO_ERROR])
def test_a_burst_whose_log_space_is_refused_ends_its_association(folder: Path, status: Status) -> None:
    requests = _burst(100)
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.RESERVE)
        _send(pair, requests).join()
        _come(pair, requests[:ROOM])
        assert silent(pair.far)
        relay.writer.release(status)
        assert abort_of(pair.far) == (2, 0)
        assert abort_of(pair.near) == (2, 0)
        relay.settled()
        assert "LOG_SPACE_OUT" in relay.codes()
        assert [record["outcome"] for record in relay.writer.stores()] == ["unknown"] * ROOM


def test_a_burst_whose_log_space_gets_no_answer_ends_its_association_in_time(folder: Path) -> None:
    requests = _burst(100)
    with Relay(folder) as relay, relay.associate() as pair:
        relay.limit(record_seconds=1)
        relay.writer.hold(Op.RESERVE)
        _send(pair, requests).join()
        _come(pair, requests[:ROOM])
        assert abort_of(pair.far) == (2, 0)
        assert abort_of(pair.near) == (2, 0)
        relay.settled()
        assert "LOG_SPACE_OUT" in relay.codes()


def test_a_sender_that_vanishes_while_its_burst_waits_does_no_harm(folder: Path) -> None:
    requests = _burst(300, bytes(4000))
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.RESERVE)
        sender = _send(pair, requests)
        _come(pair, requests[:ROOM])
        assert silent(pair.far)
        sender.join()  # more than one read is in the network
        pair.near.reset()
        assert abort_of(pair.far) == (2, 0)
        relay.writer.release()
        relay.settled()
        assert "LEG_LOST" in relay.codes() and "WORKER_DEFECT" not in relay.codes()
        until(lambda: len(relay.writer.stores()) == ROOM, "those that left have their records, and no other")


def test_a_burst_whose_receiver_vanishes_while_it_waits_leaves_the_sender_an_abort(folder: Path) -> None:
    requests = _burst(100)
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.RESERVE)
        _send(pair, requests).join()
        _come(pair, requests[:ROOM])
        assert silent(pair.far)
        pair.far.sock.close()
        assert abort_of(pair.near) == (2, 0)
        relay.writer.release()
        relay.settled()
        assert "WORKER_DEFECT" not in relay.codes()
