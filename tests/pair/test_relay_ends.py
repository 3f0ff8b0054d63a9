"""How associations end: refused, released, aborted, or because somebody vanished. Both sides hear what they must, the log knows."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest

from support.command_sets import store_request
from support.relaykit import PROVIDER_ABORT, RELEASE_RP_PDU, RELEASE_RQ_PDU, Relay, abort_of, message, response, silent, store, until
from support.tlskit import make_tls
from support.wire import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, CONTEXTS, associate_ac, associate_rq, echo_rq, item, pdu, pdv
from wardgate.custody.wire import Op

USER_ABORT = pdu(ABORT, bytes((0, 0, 0, 0)))


# --- no A-ASSOCIATE-RQ


@pytest.mark.parametrize(
    "first",
    [pdv(1, 3, echo_rq()), RELEASE_RQ_PDU, RELEASE_RP_PDU, pdu(ASSOCIATE_AC, bytes(100)), pdu(1, bytes(40))],
    ids=["P-DATA-TF", "A-RELEASE-RQ", "A-RELEASE-RP", "A-ASSOCIATE-AC", "an A-ASSOCIATE-RQ that cannot be read"],
)
def test_what_comes_in_place_of_the_associate_request_is_aborted_as_a_user_does_with_reason_0(folder: Path, first: bytes) -> None:
    """PS3.8 9.2, AA-1: source 0. 9.3.8: its reason is not significant, and 0."""
    with Relay(folder) as relay, relay.dial() as near:
        near.send(first)
        assert near.whole() == USER_ABORT
        relay.settled()


# --- refused


@pytest.mark.parametrize(("calling", "called", "reason"), [("NOBODY", "PACS", 3), ("CT1", "NOBODY", 7), ("", "PACS", 3)])
def test_a_wrong_ae_title_is_rejected_with_its_reason_and_nothing_reaches_the_called_side(
    folder: Path, calling: str, called: str, reason: int
) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        near.send(associate_rq(calling, called))
        kind, body = near.read()
        assert (kind, tuple(body[1:4])) == (ASSOCIATE_RJ, (1, 1, reason))
        with pytest.raises(TimeoutError):
            relay.accept(seconds=0.2)
        assert not relay.writer.ops(Op.OPEN)


def test_a_context_that_policy_refuses_never_reaches_the_called_side_and_is_answered_with_result_1(folder: Path) -> None:
    ct = CONTEXTS[1]
    with Relay(folder, sop_classes=(ct[1],)) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            request = far.whole()
            assert request == associate_rq("CT1", "PACS", (ct,))
            far.send(associate_ac(request))
            answer = near.whole()
            assert answer[0] == ASSOCIATE_AC
            assert item(0x21, bytes((1, 0, 1, 0)) + item(0x40, CONTEXTS[0][2][0].encode())) in answer
            assert item(0x21, bytes((3, 0, 0, 0)) + item(0x40, ct[2][0].encode())) in answer
            near.send(pdv(1, 3, echo_rq()))
            assert abort_of(far) == (2, 0)
            assert abort_of(near) is not None


def test_a_message_on_a_context_that_was_not_accepted_aborts_both_sides(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.near.send(pdv(5, 3, echo_rq()))
        assert abort_of(pair.far) == (2, 0)
        source, _reason = abort_of(pair.near) or (None, None)
        assert source == 2
        relay.settled()
        assert "CONTEXT_NOT_ACCEPTED" in relay.codes()


def test_data_of_the_caller_before_the_answer_aborts_and_never_leaves(folder: Path) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS") + pdv(1, 3, echo_rq()))
        assert abort_of(near) is not None
        relay.settled()


def test_the_rejection_of_the_called_side_passes_as_it_is(folder: Path) -> None:
    refusal = pdu(ASSOCIATE_RJ, bytes((0, 2, 3, 1)))
    with Relay(folder) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            far.whole()
            far.send(refusal)
            assert near.whole() == refusal
            assert far.read() == (0, b"")
        near.sock.close()
        relay.settled()
        assert relay.writer.closes()


def test_a_called_side_that_refuses_the_connection_becomes_a_transient_rejection(folder: Path) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        relay.stop_listening()
        near.send(associate_rq("CT1", "PACS"))
        kind, body = near.read()
        assert (kind, body[1]) == (ASSOCIATE_RJ, 2)


# --- released


def test_a_release_that_the_called_side_asks_for_is_relayed(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(RELEASE_RQ_PDU, back=True)
        pair.pass_on(RELEASE_RP_PDU)
        pair.far.sock.close()
        relay.settled()
        assert [close["ended"] for close in relay.writer.closes()] == ["released"]


def test_a_release_collision_ends_with_an_answer_for_each_side(folder: Path) -> None:
    """PS3.8 7.2.2: the association requestor answers first; the box plays each part towards each side."""
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(RELEASE_RQ_PDU)
        pair.far.send(RELEASE_RQ_PDU)
        assert pair.far.whole() == RELEASE_RP_PDU  # the box as requestor answers first
        pair.far.send(RELEASE_RP_PDU)
        assert pair.near.whole() == RELEASE_RP_PDU
        assert pair.far.read()[0] == 0
        pair.near.sock.close()
        relay.settled()
        assert [close["ended"] for close in relay.writer.closes()] == ["released"]


def test_a_release_collision_that_the_called_side_began_ends_with_an_answer_for_each_side(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(RELEASE_RQ_PDU, back=True)
        pair.near.send(RELEASE_RQ_PDU + RELEASE_RP_PDU)  # the caller is the requestor: it answers first
        assert pair.near.whole() == RELEASE_RP_PDU
        assert pair.far.whole() == RELEASE_RP_PDU
        pair.near.sock.close()
        pair.far.sock.close()
        relay.settled()
        assert [close["ended"] for close in relay.writer.closes()] == ["released"]


def test_data_may_still_come_from_the_side_that_was_asked_to_release(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*store(1))
        pair.pass_on(RELEASE_RQ_PDU)
        pair.pass_on(response(1), RELEASE_RP_PDU, back=True)
        relay_records = relay.writer.stores()
        assert relay_records[0]["outcome"] == "status"


@pytest.mark.parametrize("behind", [USER_ABORT, RELEASE_RP_PDU, b"nonsense"], ids=["abort", "release", "nonsense"])
def test_what_the_called_side_says_behind_its_last_pdu_takes_nothing_from_the_caller(folder: Path, behind: bytes) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.pass_on(RELEASE_RQ_PDU)
        pair.far.send(response(1) + RELEASE_RP_PDU + behind)
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        assert silent(pair.near)
        relay.writer.release()
        assert pair.near.whole() == response(1)
        assert pair.near.whole() == RELEASE_RP_PDU
        pair.near.sock.close()
        relay.settled()
        assert [close["ended"] for close in relay.writer.closes()] == ["released"]


def test_data_of_the_side_that_asked_to_release_aborts(folder: Path) -> None:
    """PS3.8 9.2, P-DATA-TF in Sta8: AA-8."""
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(RELEASE_RQ_PDU)
        pair.near.send(pdv(1, 3, echo_rq()))
        assert abort_of(pair.far) == (2, 0)
        assert abort_of(pair.near) is not None


# --- aborted


@pytest.mark.parametrize("source", [0, 2])
@pytest.mark.parametrize("reason", [0, 2, 6])
def test_an_abort_passes_with_its_own_source_and_reason_both_ways(folder: Path, source: int, reason: int) -> None:
    sent = pdu(ABORT, bytes((0, 0, source, reason)))
    for back in (False, True):
        place = folder / str(back)
        place.mkdir()
        with Relay(place) as relay, relay.associate() as pair:
            pair.pass_on(*store(1))
            pair.pass_on(sent, back=back)
            assert (pair.near if back else pair.far).read()[0] == 0
            relay.settled()
            assert [record["outcome"] for record in relay.writer.stores()] == ["unknown"]


def test_an_abort_of_the_caller_before_the_answer_passes(folder: Path) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            far.whole()
            near.send(USER_ABORT)
            assert far.whole() == USER_ABORT
        relay.settled()


def test_an_abort_of_the_called_side_passes_while_the_caller_is_sending(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pdus = store(1, bytes(4_000_000))
        pair.near.sock.settimeout(1)
        try:
            pair.near.send(*pdus)  # nobody reads: the box stops taking it
        except TimeoutError:
            pass
        pair.far.send(USER_ABORT)
        pair.far.sock.close()  # with bytes unread: the box sees a reset
        pair.near.sock.settimeout(60)
        assert abort_of(pair.near) == (0, 0)
        relay.settled()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_abort_behind_a_response_that_is_held_passes_also_when_the_connection_is_reset_behind_it(folder: Path, tls: bool) -> None:
    with Relay(folder, peer_tls=make_tls() if tls else None) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        pair.far.send(USER_ABORT)
        pair.far.reset()
        assert abort_of(pair.near) == (0, 0)
        relay.writer.release()
        relay.settled()
        assert "PEER_ABORTED" in relay.codes()


BAD = {
    "unaccepted context": pdv(5, 3, echo_rq()),
    "PDV longer than its PDU": pdu(4, b"\0\0\0\xff\x03\x00ab"),
    "PDU above the bound": pdu(4, b"\0\0\0\x04\x03\x00ab", 1 << 31),
    "unreadable command": pdv(3, 3, b"\0\0\0\0\xff\xff\xff\xff"),
    "unknown PDU type": pdu(0x42, bytes(10)),
    "associate request": associate_rq("CT1", "PACS"),
}


@pytest.mark.parametrize("hash_threads", [0, 1])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_an_abort_is_never_put_into_the_middle_of_a_pdu(folder: Path, bad: bytes, hash_threads: int) -> None:
    """One read brings the rest of a PDU whose beginning has left, and right behind it what ends the association."""
    command, data = store(1, bytes(5000))
    with Relay(folder, hash_threads=hash_threads) as relay, relay.associate() as pair:
        half = command + data[:3000]
        pair.near.send(half)
        assert pair.far._exactly(len(half)) == half
        pair.near.send(data[3000:] + bad)
        rest = pair.far._exactly(1 << 16)
        assert rest in (data[3000:] + PROVIDER_ABORT, data[3000:], b""), rest[:64].hex()
        relay.settled()
        record = relay.writer.stores()[0]
        assert record["outcome"] == ("unknown" if rest else "aborted")
        if record["digests"]:
            assert record["digests"][0]["value"] == hashlib.sha256(bytes(5000)).hexdigest()


def test_whole_messages_in_front_of_a_wrong_one_still_pass(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        good = b"".join(store(1, b"whole"))
        pair.near.send(good + BAD["unaccepted context"])
        assert pair.far._exactly(len(good)) == good
        assert abort_of(pair.far) == (2, 0)
        relay.settled()
        assert relay.writer.stores()[0]["outcome"] == "unknown"


def test_an_abort_in_the_middle_of_a_data_set_between_pdus_passes_and_leaves_an_aborted_record(folder: Path) -> None:
    first, *rest = store(1, bytes(3000), chunk=1000)
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(first, rest[0])
        pair.pass_on(USER_ABORT)
        relay.settled()
        record = relay.writer.stores()[0]
        assert (record["outcome"], record["length"], record["digests"]) == ("aborted", 1000, [])


def test_a_store_request_on_the_way_in_a_pdu_with_a_bad_second_message_leaves_no_half_pdu_with_an_abort(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        both = message((3, 3, store_request(1)), (3, 2, b"data")) + message((1, 3, echo_rq()), (7, 3, echo_rq()))
        pair.near.send(both)
        first = both[: 6 + int.from_bytes(both[2:6], "big")]
        assert pair.far._exactly(1 << 16) in (first + PROVIDER_ABORT, PROVIDER_ABORT)
        relay.settled()


# --- vanished


@pytest.mark.parametrize("half", [False, True], ids=("reset", "half-closed"))
def test_a_caller_that_vanishes_before_its_request_leaves_nothing(folder: Path, half: bool) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS")[:40])
        _go(near, half)
        relay.settled()
        assert not relay.writer.ops(Op.OPEN)


@pytest.mark.parametrize("half", [False, True], ids=("reset", "half-closed"))
def test_a_caller_that_vanishes_before_the_answer_aborts_the_called_side(folder: Path, half: bool) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            far.whole()
            _go(near, half)
            assert abort_of(far) == (2, 0)
        relay.settled()
        assert relay.writer.closes()


def test_a_called_side_that_vanishes_before_the_answer_becomes_a_rejection(folder: Path) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            far.whole()
        kind, body = near.read()
        assert (kind, body[1]) == (ASSOCIATE_RJ, 2)


@pytest.mark.parametrize("half", [False, True], ids=("reset", "half-closed"))
@pytest.mark.parametrize("who", ["near", "far"])
@pytest.mark.parametrize(("sent", "outcome"), [(1, "aborted"), (2, "aborted"), (4, "unknown")])
def test_who_vanishes_in_a_store_leaves_an_abort_and_a_record(folder: Path, who: str, half: bool, sent: int, outcome: str) -> None:
    pdus = store(1, bytes(3000), chunk=1000)
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*pdus[:sent])
        gone, left = (pair.near, pair.far) if who == "near" else (pair.far, pair.near)
        _go(gone, half)
        assert abort_of(left) == (2, 0)
        relay.settled()
        assert [record["outcome"] for record in relay.writer.stores()] == [outcome]


def test_a_caller_that_vanishes_in_the_middle_of_a_pdu_ends_the_called_side_without_an_abort_in_it(folder: Path) -> None:
    command, data = store(1, bytes(5000))
    with Relay(folder) as relay, relay.associate() as pair:
        half = command + data[:3000]
        pair.near.send(half)
        assert pair.far._exactly(len(half)) == half
        pair.near.reset()
        assert pair.far._exactly(100) == b""
        relay.settled()
        assert relay.writer.stores()[0]["outcome"] == "aborted"


@pytest.mark.parametrize("who", ["near", "far"])
def test_who_vanishes_in_the_release_ends_both(folder: Path, who: str) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(RELEASE_RQ_PDU)
        (pair.near if who == "near" else pair.far).reset()
        other = pair.far if who == "near" else pair.near
        assert other.read()[0] in (0, ABORT)
        relay.settled()
        assert len(relay.writer.closes()) == 1


def _go(peer, half: bool) -> None:
    if half:
        peer.sock.shutdown(socket.SHUT_WR)
    else:
        peer.reset()
