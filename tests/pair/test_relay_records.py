"""What must be durable before what leaves the box, and what the sender hears when a record cannot be made durable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_sets import store_request, store_response
from support.relaykit import PROVIDER_ABORT, RELEASE_RP_PDU, RELEASE_RQ_PDU, Relay, abort_of, message, response, silent, store, until
from support.wire import ASSOCIATE_RJ, associate_rq, echo_rq, echo_rsp, pdu, pdv, status_of
from wardgate.custody.record import parse
from wardgate.custody.wire import Op, Status
from wardgate.policy.model import Durable


def _differing(before: bytes, after: bytes) -> list[int]:
    assert len(before) == len(after)
    return [at for at, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]


def test_the_open_entry_is_durable_before_the_associate_request_leaves(folder: Path) -> None:
    with Relay(folder, prepare=lambda writer: writer.hold(Op.OPEN)) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            until(lambda: relay.writer.waiting() == 1, "the open entry is with the writer")
            assert silent(far)
            relay.writer.release()
            assert far.whole() == associate_rq("CT1", "PACS")
        opened = json.loads(relay.writer.ops(Op.OPEN)[0][2][4:])
        assert (opened["type"], opened["acceptor"]["ae_title"], opened["requestor"]["ae_title"]) == ("open", "CT1", "PACS")


def test_an_abort_before_the_associate_request_left_only_closes_the_called_side(folder: Path) -> None:
    with Relay(folder, prepare=lambda writer: writer.hold(Op.OPEN)) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            until(lambda: relay.writer.waiting() == 1, "the open entry is with the writer")
            assert silent(far)
            near.send(pdu(7, bytes(4)))
            assert far.read() == (0, b"")
        relay.writer.release()
        relay.settled()


def test_an_open_entry_that_becomes_durable_late_is_closed_once(folder: Path) -> None:
    """The association ended before the answer; that came when nobody waited for it any more."""
    with Relay(folder, record_seconds=0.5, prepare=lambda writer: writer.hold(Op.OPEN, Op.CLOSE)) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            near.send(pdu(7, bytes(4)))
            assert far.read() == (0, b"")
        relay.settled()
        relay.limit(record_seconds=60)
        relay.writer.release()
        with relay.associate() as second:
            second.release()
        relay.settled()
        ended = [association for association, _, _ in relay.writer.ops(Op.CLOSE)]
        assert ended == [association for association, _, _ in relay.writer.ops(Op.OPEN)]


@pytest.mark.parametrize("status", [Status.NO_SPACE, Status.IO_ERROR])
def test_without_log_space_the_association_is_rejected_and_nothing_reaches_the_called_side(folder: Path, status: Status) -> None:
    with Relay(folder, prepare=lambda writer: writer.answers.update({Op.OPEN: status})) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        kind, body = near.read()
        assert (kind, tuple(body[1:4])) == (ASSOCIATE_RJ, (2, 3, 2))
        with relay.accept() as far:
            assert far.read() == (0, b"")
        near.sock.close()
        relay.settled()


def test_without_a_writer_the_association_is_rejected_in_time(folder: Path) -> None:
    with Relay(folder, record_seconds=1) as relay:
        relay.writer.vanish()
        with relay.dial() as near:
            near.send(associate_rq("CT1", "PACS"))
            kind, body = near.read()
            assert (kind, tuple(body[1:4])) == (ASSOCIATE_RJ, (2, 3, 2))
            with relay.accept() as far:
                assert far.read() == (0, b"")
        relay.writer.start()


def test_an_open_entry_that_came_too_late_is_closed_again(folder: Path) -> None:
    """The writer was slow: the caller was rejected, then the open entry became durable. It must not stay open for ever."""
    with Relay(folder, record_seconds=1, prepare=lambda writer: writer.hold(Op.OPEN)) as relay:
        with relay.dial() as near:
            near.send(associate_rq("CT1", "PACS"))
            assert near.read()[0] == ASSOCIATE_RJ
        relay.writer.release()
        until(relay.writer.closes, "a close entry for it")
        assert relay.writer.ops(Op.CLOSE)[0][0] == relay.writer.ops(Op.OPEN)[0][0]


def test_a_response_does_not_reach_the_sender_before_its_record_is_durable(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        assert silent(pair.near)
        relay.writer.release()
        assert pair.near.whole() == response(1)


def test_what_comes_behind_a_held_response_keeps_its_order(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1), *store(2), pdv(1, 3, echo_rq(7)))
        answers = (response(1), pdv(1, 3, echo_rsp(7)), response(2), RELEASE_RQ_PDU)
        pair.far.send(b"".join(answers))
        until(lambda: relay.writer.waiting() == 2, "both records are with the writer")
        relay.writer.release_one(1)
        assert silent(pair.near)
        relay.writer.release()
        assert [pair.near.whole() for _ in answers] == list(answers)


def test_records_do_not_hold_responses_when_durability_is_switched_off(folder: Path) -> None:
    with Relay(folder, durable=Durable.NONE) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.pass_on(response(1), back=True)


def test_a_record_that_is_not_durable_turns_the_status_into_a700_and_changes_two_bytes(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.answers[Op.STORE] = Status.IO_ERROR
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        got = pair.near.whole()
        assert status_of(got[6:]) == 0xA700
        assert len(_differing(response(1), got)) == 1  # 0000 and A700 differ in one of the two bytes
        assert _differing(response(1), got)[0] == response(1).index(b"\0\0\0\x09\x02\0\0\0") + 9
        until(lambda: "RECORD_FAILED" in relay.codes(), "the log says it")
        relay.writer.answers.clear()
        pair.pass_on(*store(2))
        pair.pass_on(response(2), back=True)


def test_a_record_without_an_answer_in_time_turns_the_status_into_a700(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.limit(record_seconds=1)
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        assert status_of(pair.near.read()[1]) == 0xA700


def _answers(relay: Relay) -> list[dict[str, object]]:
    return [json.loads(payload) for _, _, payload in relay.writer.ops(Op.EVENT)]


def test_what_the_sender_was_told_in_place_of_a_late_record_is_in_the_log_too(folder: Path) -> None:
    """The record may become durable all the same, and says what the peer said."""
    with Relay(folder) as relay, relay.associate() as pair:
        relay.limit(record_seconds=0.5)
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1), *store(2))
        pair.far.send(response(1), response(2, 0xB000))
        assert [pair.near.whole() for _ in range(2)] == [response(1, 0xA700), response(2, 0xA700)]
        until(lambda: len(_answers(relay)) == 2, "the log is told")
        relay.limit(record_seconds=60)
        relay.writer.release()
        pair.release()
        relay.settled()
        records, answers = relay.writer.stores(), _answers(relay)
        assert [record["status"] for record in records] == ["0000", "B000"]
        for record, answer in zip(records, answers, strict=True):
            assert (answer["type"], answer["told"], answer["code"]) == ("answer", "A700", "WG428")
            for name in ("association", "seq", "sop_instance", "sop_class", "acceptor", "requestor", "sent_by"):
                assert answer[name] == record[name]
            parse(json.dumps(answer, separators=(",", ":")).encode())


@pytest.mark.parametrize("status", [Status.NO_SPACE, Status.UNSIGNED])
def test_a_record_that_is_surely_not_in_the_log_needs_no_other_beside_it(folder: Path, status: Status) -> None:
    """A gap in the sequence numbers says it; and a log that takes nothing is not to grow by it."""
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.answers[Op.STORE] = status
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        assert pair.near.whole() == response(1, 0xA700)
        pair.release()
        relay.settled()
        assert not _answers(relay)


def test_a_sender_that_is_gone_was_told_nothing(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.limit(record_seconds=5)
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        pair.near.reset()
        assert abort_of(pair.far) == (2, 0)
        relay.settled()
        assert not _answers(relay)


@pytest.mark.parametrize("cut", [-9, -1, 0, 1, 2, 5])
def test_a_status_in_a_response_of_many_fragments_is_replaced_wherever_it_is_cut(folder: Path, cut: int) -> None:
    command = store_response(1, 0x0000)
    at = command.index(b"\0\0\0\x09\x02\0\0\0") + 8 + cut  # `cut` bytes from the status
    sent = message((3, 1, command[:7]), (3, 1, command[7:at])) + message((3, 3, command[at:]))
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.answers[Op.STORE] = Status.NO_SPACE
        pair.pass_on(*store(1))
        before = pdv(1, 3, echo_rsp(5))
        pair.far.send(before + sent)
        assert pair.near.whole() == before
        got = pair.near.whole() + pair.near.whole()
        assert [got[each] for each in _differing(sent, got)] == [0xA7]


def test_of_two_responses_in_one_read_only_the_one_without_a_record_is_changed(folder: Path) -> None:
    for failing in (0, 1):
        place = folder / str(failing)
        place.mkdir()
        with Relay(place) as relay, relay.associate() as pair:
            relay.writer.hold(Op.STORE)
            pair.pass_on(*store(1), *store(2))
            pair.far.send(response(1) + response(2))
            until(lambda relay=relay: relay.writer.waiting() == 2, "both records are with the writer")
            relay.writer.release_one(failing, Status.IO_ERROR)
            relay.writer.release()
            got = [pair.near.whole(), pair.near.whole()]
            assert got[1 - failing] == response(2 - failing)
            assert got[failing] == response(1 + failing, 0xA700)


def test_two_responses_in_one_pdu_are_both_held_and_each_replaced_in_its_place(folder: Path) -> None:
    both = message((3, 3, store_response(1, 0)), (3, 3, store_response(2, 0)))
    edited = message((3, 3, store_response(1, 0xA700)), (3, 3, store_response(2, 0xA700)))
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.answers[Op.STORE] = Status.IO_ERROR
        pair.pass_on(*store(1), *store(2))
        pair.far.send(both)
        assert pair.near.whole() == edited


def test_when_log_space_runs_out_in_mid_association_the_next_store_does_not_leave(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.answers[Op.RESERVE] = Status.NO_SPACE
        passed = 0
        for number in range(1, 200):
            request = store(number)
            pair.near.send(*request)
            kind = pair.far.read()[0]
            if kind != 4:
                break
            assert pair.far.read()[0] == 4
            pair.pass_on(response(number), back=True)
            passed += 1
        assert kind == 7
        assert 30 < passed <= 63
        assert abort_of(pair.near) == (2, 0)
        relay.settled()
        assert "LOG_SPACE_OUT" in relay.codes()
        assert len(relay.writer.stores()) == passed


def test_log_space_is_topped_up_before_it_runs_low(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        for number in range(1, 150):
            pair.pass_on(*store(number))
            pair.pass_on(response(number), back=True)
        assert len(relay.writer.ops(Op.RESERVE)) >= 2


def test_a_hundred_requests_without_an_answer_do_not_end_an_association_that_has_log_space(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        for number in range(1, 101):
            pair.pass_on(*store(number))
        for number in range(1, 101):
            pair.pass_on(response(number), back=True)
        pair.release()
        assert len(relay.writer.stores()) == 100


def test_requests_that_use_one_message_id_again_and_again_are_bounded(folder: Path) -> None:
    """Each of them will need a record: they must count against the space and the bound as others do."""
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.answers[Op.RESERVE] = Status.NO_SPACE
        for _ in range(100):
            try:
                pair.near.send(*store(1))
            except OSError:
                break
        pair.far.sock.settimeout(2)
        try:
            while pair.far.read()[0] == 4:
                pass
        except TimeoutError:
            pass
        pair.near.reset()
        relay.settled()
        assert len(relay.writer.stores()) <= 63


def test_a_writer_that_goes_and_returns_loses_no_response(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        for number in (1, 2, 3):
            pair.pass_on(*store(number))
        pair.far.send(response(1), response(2), response(3))
        until(lambda: relay.writer.waiting() > 0, "records are with the writer")
        relay.writer.vanish()
        assert silent(pair.near)
        relay.writer.held.clear()
        relay.writer.start()
        assert [pair.near.whole() for _ in range(3)] == [response(number) for number in (1, 2, 3)]
        pair.release()
        relay.settled()
        until(relay.writer.closes, "the close entry")
        assert [record["seq"] for record in relay.writer.stores()] == [1, 2, 3]
        assert relay.writer.again


def test_an_association_that_ends_while_the_writer_is_away_is_closed_in_the_log_afterwards(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*store(1))
        relay.writer.vanish()
        pair.near.reset()
        assert abort_of(pair.far) == (2, 0)
        relay.writer.start()
        until(relay.writer.closes, "the close entry")
        assert [record["outcome"] for record in relay.writer.stores()] == ["unknown"]


def test_a_release_behind_a_held_response_waits_for_its_record(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.pass_on(RELEASE_RQ_PDU)
        pair.far.send(response(1) + RELEASE_RP_PDU)
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        assert silent(pair.near)
        relay.writer.release()
        assert [pair.near.whole(), pair.near.whole()] == [response(1), RELEASE_RP_PDU]


@pytest.mark.parametrize("end", [PROVIDER_ABORT, pdu(7, bytes((0, 0, 0, 0)))])
def test_an_abort_behind_a_held_response_reaches_the_sender_with_its_own_reason(folder: Path, end: bytes) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1) + end)
        got = pair.near.whole()
        if got == response(1):
            got = pair.near.whole()
        assert got == end
        relay.writer.release()
        relay.settled()


def test_a_sender_that_vanishes_while_its_response_is_held_does_no_harm(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        pair.near.reset()
        assert abort_of(pair.far) == (2, 0)
        relay.writer.release()
        with relay.associate() as second:
            second.release()


def test_a_called_side_that_vanishes_behind_its_held_response_leaves_the_sender_an_abort(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        pair.far.reset()
        kind, body = pair.near.read()
        if kind == 4:
            assert pdu(kind, body) == response(1)
            kind, body = pair.near.read()
        assert (kind, tuple(body[2:])) == (7, (2, 0))
        relay.writer.release()
        relay.settled()


def test_a_store_on_another_message_is_not_taken_for_an_answer(folder: Path) -> None:
    """A C-STORE-RSP that answers nothing passes, and makes no record."""
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(response(77), back=True)
        pair.pass_on(pdv(3, 3, store_request(1)), pdv(3, 2, b"x"))
        pair.release()
        relay.settled()
        assert [(record["outcome"], record["status"]) for record in relay.writer.stores()] == [("unknown", None)]
