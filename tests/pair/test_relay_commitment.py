"""A storage commitment report passes as it came; its answer waits for the records of all its instances."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_sets import command_set, element, us
from support.datasets import CT_IMAGE
from support.relaykit import Pair, Relay, pdv, response, silent, store, until
from support.wire import ABORT, IMPLICIT_LITTLE, P_DATA, pdu, status_of
from wardgate.custody.wire import Op, Status
from wardgate.dimse.commitment import SOP_CLASS
from wardgate.policy.model import Role

CONTEXTS = ((1, SOP_CLASS, (IMPLICIT_LITTLE,)),)
WITH_IMAGES = (*CONTEXTS, (3, CT_IMAGE, (IMPLICIT_LITTLE,)))
CLASS = SOP_CLASS.encode()
INSTANCE = b"1.2.840.10008.1.20.1.1"


@pytest.fixture
def relay(folder: Path) -> Iterator[Relay]:
    with Relay(folder) as made:
        yield made


def data_set(failed: bool = False, instances: int = 2) -> bytes:
    def plain(number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 8, number, len(value)) + value

    reason = plain(0x1197, b"\x12\x01") if failed else b""
    items = b""
    for number in range(1, instances + 1):
        content = plain(0x1150, b"1.2.840.1.") + plain(0x1155, b"1.2.3.%d" % number + b"\0" * (number < 10 or number > 99)) + reason
        items += struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
    return plain(0x1195, b"1.2.77") + plain(0x1198 if failed else 0x1199, items)


def report(message: int = 5, failed: bool = False, instances: int = 2) -> list[bytes]:
    command = command_set(
        element(2, CLASS), us(0x0100, 0x0100), us(0x0110, message), us(0x0800, 1), element(0x1000, INSTANCE), us(0x1002, 2 if failed else 1)
    )
    return [pdv(1, 3, command), pdv(1, 2, data_set(failed, instances))]


def answer(message: int = 5) -> bytes:
    fields = (us(0x0100, 0x8100), us(0x0120, message), us(0x0800, 0x0101), us(0x0900, 0))
    return pdv(1, 3, command_set(element(2, CLASS), *fields, element(0x1000, INSTANCE), us(0x1002, 1)))


def associate(relay: Relay, caller: Role, contexts: tuple[Any, ...] = CONTEXTS) -> Pair:
    return relay.associate(caller, contexts=contexts)


def commitments(relay: Relay) -> list[dict[str, Any]]:
    return [json.loads(payload) for _, _, payload in relay.writer.ops(Op.STORE)]


def test_the_closing_entry_of_each_instance_is_durable_before_the_answer_passes(relay: Relay) -> None:
    with associate(relay, Role.PEER) as pair:  # opened by the PACS, hours later
        relay.writer.hold(Op.STORE)
        pair.pass_on(*report())
        until(lambda: relay.writer.waiting() == 2, "both records are with the writer")
        pair.far.send(answer())
        assert silent(pair.near)
        relay.writer.release()
        assert pair.near.whole() == answer()
        pair.release()
    found = commitments(relay)
    assert [(one["type"], one["sop_instance"], one["outcome"], one["reason"]) for one in found] == [
        ("commitment", "1.2.3.1", "committed", None),
        ("commitment", "1.2.3.2", "committed", None),
    ]
    assert {one["sent_by"] for one in found} == {"acceptor"} and {one["transaction"] for one in found} == {"1.2.77"}
    until(lambda: relay.writer.closes(), "the association is closed in the log")
    assert "COMMITMENT_REPORTED" in relay.codes()


def test_a_report_on_the_modalitys_own_association_is_recorded_too_with_its_failures(relay: Relay) -> None:
    with associate(relay, Role.MODALITY) as pair:
        pair.pass_on(*report(failed=True), back=True)
        pair.pass_on(answer())
        pair.release()
    assert [(one["outcome"], one["reason"], one["sent_by"]) for one in commitments(relay)] == [("failed", "0112", "requestor")] * 2
    assert "COMMITMENT_FAILED" in relay.codes()


def test_without_records_the_answer_says_0110_so_that_the_report_comes_again(relay: Relay) -> None:
    with associate(relay, Role.PEER) as pair:
        relay.writer.answers[Op.STORE] = Status.NO_SPACE
        pair.pass_on(*report())
        pair.far.send(answer())
        kind, body = pair.near.read()
        assert kind == 4 and status_of(body) == 0x0110
        assert len(body) + 6 == len(answer())
        relay.writer.answers.clear()
        pair.pass_on(*report(6))
        pair.pass_on(answer(6), back=True)
        pair.release()
    assert "COMMITMENT_NOT_RECORDED" in relay.codes()


def test_a_report_that_comes_twice_is_recorded_twice_and_passes_twice(relay: Relay) -> None:
    with associate(relay, Role.PEER) as pair:
        for message in (1, 2):
            pair.pass_on(*report(message))
            pair.pass_on(answer(message), back=True)
        pair.release()
    assert len(commitments(relay)) == 4


@pytest.mark.parametrize("space", [Status.OK, Status.NO_SPACE])
def test_a_long_report_takes_no_log_space_of_the_stores_that_follow_it(relay: Relay, space: Status) -> None:
    """A study of some hundred images, reported on the association on which the modality goes on to store."""
    with associate(relay, Role.MODALITY, WITH_IMAGES) as pair:
        relay.writer.answers[Op.RESERVE] = space
        pair.pass_on(*report(instances=150), back=True)
        pair.pass_on(answer())
        pair.near.send(*store(7))
        kind = pair.far.read()[0]
        if space is Status.OK:
            assert (kind, pair.far.read()[0]) == (4, 4)
            pair.pass_on(response(7), back=True)
            pair.release()
        else:
            assert kind == 7, "no record can be promised"
    assert len(commitments(relay)) == 150 + (space is Status.OK)


def test_an_answer_that_comes_before_its_report_is_whole_says_0110_and_holds_nothing_up(relay: Relay) -> None:
    """The rest of the report may never come: what waits for it would wait, and be kept, for ever."""
    with associate(relay, Role.PEER) as pair:
        command, _ = report()
        whole = data_set()
        pair.pass_on(command, pdv(1, 0, whole[:10]))
        pair.far.send(answer())
        kind, body = pair.near.read()
        assert kind == 4 and status_of(body) == 0x0110
        pair.pass_on(pdv(1, 2, whole[10:]))
        until(lambda: len(commitments(relay)) == 2, "what was reported is recorded all the same")
        pair.release()
    assert "COMMITMENT_NOT_RECORDED" in relay.codes()


def test_no_report_passes_without_a_record_however_many_have_no_answer(relay: Relay) -> None:
    with associate(relay, Role.PEER) as pair:
        for message in range(1, 41):
            pair.pass_on(*report(message, instances=1))
        until(lambda: len(commitments(relay)) == 40, "each is recorded")
        for message in range(1, 41):
            pair.pass_on(answer(message), back=True)
        pair.release()


def test_one_report_more_than_are_followed_ends_the_association(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.relay.flow.MAX_UNDER_WAY", 3)
    with associate(relay, Role.PEER) as pair:
        for message in (1, 1, 1):  # PS3.7 9.1 forbids one message ID for all, which hides none of them
            pair.pass_on(*report(message, instances=1))
        pair.near.send(report(1, instances=1)[0])
        assert pair.far.read()[0] == 7, "not one byte of the fourth passed"
    assert "TOO_MANY_STORES" in relay.codes()
    until(lambda: len(commitments(relay)) == 3, "the others are recorded")


def test_two_reports_of_one_message_id_each_have_their_answer_wait(relay: Relay) -> None:
    with associate(relay, Role.PEER) as pair:
        pair.pass_on(*report(5))
        until(lambda: len(commitments(relay)) == 2, "the first is recorded")
        relay.writer.hold(Op.STORE)
        pair.pass_on(*report(5))
        pair.pass_on(answer(5), back=True)
        pair.far.send(answer(5))
        assert silent(pair.near), "the second answer waits for the second report"
        relay.writer.release()
        assert pair.near.whole() == answer(5)
        pair.release()


def test_a_report_that_cannot_be_read_passes_and_is_named(relay: Relay) -> None:
    with associate(relay, Role.PEER) as pair:
        command, _ = report()
        pair.pass_on(command, pdv(1, 2, b"\x08\0\x95\x11\xff\0\0\0ab"))
        pair.pass_on(answer(), back=True)
        pair.release()
    assert not commitments(relay)
    assert "COMMITMENT_UNREADABLE" in relay.codes()


def test_a_report_that_goes_on_behind_an_abort_is_none(relay: Relay) -> None:
    """The A-ABORT, and what comes in the same packet behind it."""
    command, whole = report()
    with associate(relay, Role.PEER) as pair:
        pair.pass_on(command)
        pair.near.send(pdv(1, 0, whole[12:40]) + pdu(ABORT, bytes(4)) + pdv(1, 2, whole[40:]))
        assert pair.far.read()[0] == P_DATA
        assert pair.far.read()[0] == ABORT
        relay.settled()
    assert not commitments(relay), "nothing is recorded behind the close entry"
    assert "COMMITMENT_REPORTED" not in relay.codes()
