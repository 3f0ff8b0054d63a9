"""What a worker answers on a storage commitment context: every message that is wrong by its own status, none that reaches the inbox."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_sets import command_set, element, us
from support.relaykit import Relay, pdv, store_request
from support.wire import ASSOCIATE_AC, P_DATA, Wire, associate_rq, status_of
from wardgate.dimse.commitment import EXPLICIT_LITTLE, IMPLICIT_LITTLE, MAX_BYTES, SOP_CLASS, Reference, Report
from wardgate.dimse.nservice import SOP_INSTANCE, data_set
from wardgate.hold.commitment import inbox
from wardgate.policy.model import Commitment, Delivery, Hold, Role

CONTEXTS = ((1, SOP_CLASS, (IMPLICIT_LITTLE,)), (3, SOP_CLASS, (EXPLICIT_LITTLE, "1.2.840.10008.1.2.2")), (5, SOP_CLASS, ("1.2.3",)))
GOOD = Report("1.2.77", (Reference("1.2.840.1", "1.2.3"), Reference("1.2.840.1", "1.2.4")))


@pytest.fixture
def relay(folder: Path) -> Iterator[Relay]:
    (folder / "hold.key").write_bytes(os.urandom(32))
    hold = Hold(folder / "hold", folder / "hold.key", True, keep_free_bytes=1 << 20)
    with Relay(folder, delivery=Delivery.HOLD, hold=hold, sop_classes=("*",), commitment=Commitment.STORED) as made:
        yield made


def associate(relay: Relay) -> Wire:
    near = relay.dial()
    near.send(associate_rq("CT1", "PACS", CONTEXTS))
    kind, body = near.read()
    assert kind == ASSOCIATE_AC
    results = {}
    at = 68
    while at < len(body):
        of, length = body[at], struct.unpack_from(">H", body, at + 2)[0]
        if of == 0x21:
            results[body[at + 4]] = body[at + 6]
        at += 4 + length
    assert results == {1: 0, 3: 0, 5: 4}, "the transfer syntaxes in which it can be read, and no other"
    return near


def action(instance: str = SOP_INSTANCE, kind: int = 1, field: int = 0x0130, data: bool = True) -> bytes:
    value = instance.encode() + b"\0" * (len(instance) % 2)
    words = (us(0x0100, field), us(0x0110, 7), us(0x0800, 1 if data else 0x0101), element(0x1001, value), us(0x1008, kind))
    return command_set(element(0x0003, SOP_CLASS.encode() + b"\0" * (len(SOP_CLASS) % 2)), *words)


def answered(near: Wire, command: bytes, body: bytes | None, context: int = 1) -> int:
    near.send(pdv(context, 3, command), *([pdv(context, 2, body)] if body is not None else []))
    kind, content = near.read()
    assert kind == P_DATA, kind
    return status_of(content)


def messages(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_bytes()) for path in sorted((folder / "hold" / "commitment" / "inbox").glob("*.json"))]


@pytest.mark.parametrize(("context", "syntax"), [(1, IMPLICIT_LITTLE), (3, EXPLICIT_LITTLE)])
def test_a_request_is_answered_when_it_is_in_the_inbox(relay: Relay, folder: Path, context: int, syntax: str) -> None:
    near = associate(relay)
    assert answered(near, action(), data_set(GOOD, syntax, action=True), context) == 0
    (message,) = messages(folder)
    assert (message["kind"], message["transaction"], message["pair"]) == ("action", "1.2.77", ["ct1", "pacs", "CT1", "PACS"])
    assert message["references"] == [["1.2.840.1", "1.2.3", -1], ["1.2.840.1", "1.2.4", -1]]
    near.sock.close()


def test_each_wrong_message_has_its_status_and_the_association_goes_on(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    body = data_set(GOOD, IMPLICIT_LITTLE, action=True)
    twice = data_set(Report("1.2.78", (GOOD.references[0], GOOD.references[0])), IMPLICIT_LITTLE, action=True)
    for command, data, status in (
        (action("1.2.3"), body, 0x0112),  # not the well-known instance
        (action(kind=2), body, 0x0123),  # another action
        (action(data=False), None, 0x0115),  # nothing is named
        (action(), b"", 0x0115),
        (action(), body[:-3], 0x0115),  # cut
        (action(), data_set(Report("1.2.78", ()), IMPLICIT_LITTLE, action=True), 0x0115),
        (action(), twice, 0x0115),
        (action(), body[10:], 0x0115),  # without its transaction
        (action(field=0x0110), body, 0x0211),  # N-GET
        (action(field=0x0100), body, 0x0211),  # N-EVENT-REPORT of one that is no SCP here
        (store_request(7), body, 0x0211),
    ):
        assert answered(near, command, data) == status
    assert not messages(folder)
    assert answered(near, action(), body) == 0
    near.sock.close()


def test_a_data_set_beyond_the_bound_is_refused_and_not_kept_in_memory(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    near.send(pdv(1, 3, action()))
    piece = bytes(60000)
    for _ in range(MAX_BYTES // len(piece) + 2):
        near.send(pdv(1, 0, piece))
    near.send(pdv(1, 2, piece))
    kind, content = near.read()
    assert kind == P_DATA and status_of(content) == 0x0115
    assert not messages(folder)
    near.sock.close()


def test_with_too_many_messages_waiting_or_no_disk_a_request_is_refused_with_0213(
    relay: Relay, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = associate(relay)
    body = data_set(GOOD, IMPLICIT_LITTLE, action=True)
    monkeypatch.setattr(inbox, "MAX_WAITING", 2)
    assert answered(near, action(), body) == 0
    assert answered(near, action(), body) == 0x0213
    monkeypatch.undo()
    assert answered(near, action(), body) == 0
    assert len(messages(folder)) == 2
    assert "COMMITMENT_NOT_TAKEN" in relay.codes()
    near.sock.close()


def test_a_peer_that_only_reports_is_answered_by_the_box_and_any_other_is_relayed(folder: Path) -> None:
    (folder / "hold.key").write_bytes(os.urandom(32))
    hold = Hold(folder / "hold", folder / "hold.key", True, keep_free_bytes=1 << 20)
    with Relay(folder, delivery=Delivery.HOLD, hold=hold, sop_classes=("*",), commitment=Commitment.DESTINATION) as relay:
        near = relay.dial(Role.PEER)
        near.send(associate_rq("PACS", "CT1", CONTEXTS[:1]))
        assert near.read()[0] == ASSOCIATE_AC
        value = SOP_INSTANCE.encode() + b"\0" * (len(SOP_INSTANCE) % 2)
        event = command_set(
            element(2, SOP_CLASS.encode() + b"\0" * (len(SOP_CLASS) % 2)), us(0x0100, 0x0100), us(0x0110, 7), us(0x0800, 1),
            element(0x1000, value), us(0x1002, 1),
        )  # fmt: skip
        assert answered(near, action(), data_set(GOOD, IMPLICIT_LITTLE)) == 0x0211
        assert answered(near, event, data_set(GOOD, IMPLICIT_LITTLE)) == 0
        (message,) = messages(folder)
        assert (message["kind"], message["pair"]) == ("event", ["ct1", "pacs", "CT1", "PACS"])
        near.sock.close()
        with relay.associate(Role.PEER, contexts=(*CONTEXTS[:1], (9, "1.2.840.10008.5.1.4.1.1.2", (IMPLICIT_LITTLE,)))) as pair:
            pair.release()
