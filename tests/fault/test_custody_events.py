"""Records outside of any association: a tombstone, a token that was pulled."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from support.custody import Study, WriterProcess, answers, connect, reconnect
from wardgate.custody.event import append, event_record
from wardgate.custody.parse import parse_record
from wardgate.custody.record import Quality
from wardgate.custody.wire import Op, Status


def event(number: int) -> bytes:
    """A record of a type that the parser does not know."""
    return event_record("exercise", time.time_ns(), Quality.UNKNOWN, {"number": number})


def test_event_record_takes_its_place_between_those_of_associations(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    assert append(writer.socket, event(1), 10) == 1
    study.store()
    study.close()
    answers(client, 2)
    client.close()
    assert writer.stop() == 0
    assert [parse_record(entry).type for entry in writer.entries()] == ["open", "exercise", "store", "close"]
    assert not writer.findings().errors, writer.findings().errors


def test_event_sent_again_after_a_crash_keeps_its_index(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    name = uuid.uuid4().bytes
    first = client.add(Op.EVENT, name, 0, event(1))
    assert answers(client, 1)[first] == (Status.OK, 0)
    writer.kill()
    writer = WriterProcess(tmp_path)
    reconnect(client)
    again = client.add(Op.EVENT, name, 0, event(1))
    assert answers(client, 1)[again] == (Status.OK, 0)
    client.close()
    assert writer.stop() == 0
    assert len(writer.entries()) == 1


def test_event_may_not_pass_for_a_record_of_an_association(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    with pytest.raises(OSError, match="REFUSED"):
        append(writer.socket, study.store_record(1), 10)
    client.close()
    assert writer.stop() == 0
