"""The master's small parts: back-off, totals, control messages."""

from __future__ import annotations

import pytest

from wardgate.master.backoff import Backoff
from wardgate.master.control import MAX_MESSAGE_BYTES, ControlError, decode, encode
from wardgate.master.listeners import ListenError, Listeners
from wardgate.master.totals import add, shared, without_now
from wardgate.master.writer import options


def test_first_death_is_answered_at_once_then_ever_slower() -> None:
    backoff = Backoff()
    assert [backoff.next_delay(1) for _ in range(5)] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert max(backoff.next_delay(1) for _ in range(50)) == 30.0


def test_long_life_forgives_earlier_deaths() -> None:
    backoff = Backoff()
    for _ in range(9):
        backoff.next_delay(1)
    assert backoff.next_delay(61) == 0.0


def test_totals_add_numbers_in_tables_and_join_lists() -> None:
    left = {"links": {"a": {"now": 1, "bytes": 10}}, "errors": [[1, "x", "y"]], "ok": True}
    right = {"links": {"a": {"now": 2, "bytes": 5}, "b": {"now": 1}}, "errors": [[2, "x", "y"]], "ok": True}
    both = {"links": {"a": {"now": 3, "bytes": 15}, "b": {"now": 1}}, "errors": [[1, "x", "y"], [2, "x", "y"]], "ok": True}
    assert add(left, right) == both
    assert left["links"] == {"a": {"now": 1, "bytes": 10}}


def test_worker_that_is_gone_has_nothing_under_way() -> None:
    assert without_now({"links": {"a": {"now": 3, "bytes": 5}}}) == {"links": {"a": {"now": 0, "bytes": 5}}}


def test_what_belongs_to_one_worker_is_not_added() -> None:
    assert shared({"pid": 5, "rss_bytes": 6, "codes": {"WG501": 1}}) == {"codes": {"WG501": 1}}


def test_control_message_survives_the_way() -> None:
    assert decode(encode({"do": "status", "id": 7})) == {"do": "status", "id": 7}


@pytest.mark.parametrize("data", [b"", b"\xff", b"[1]", b"7", b"[" * 100_000])
def test_what_is_no_control_message_is_refused(data: bytes) -> None:
    with pytest.raises(ControlError):
        decode(data)


def test_control_message_too_long_is_refused() -> None:
    with pytest.raises(ControlError):
        encode({"x": "y" * MAX_MESSAGE_BYTES})


def test_endpoint_that_cannot_be_opened_leaves_no_other_open() -> None:
    from wardgate.transport.sockets import PlainSockets

    listeners = Listeners(PlainSockets().listen)
    with pytest.raises(ListenError, match=r"192\.0\.2\.1"):
        listeners.open(["127.0.0.1:0", "192.0.2.1:0"])
    with pytest.raises(KeyError):
        listeners.fd("127.0.0.1:0")


def test_writer_takes_the_options_that_the_master_gives() -> None:
    from wardgate.custody.options import parse_options

    custody = {"log": "/l", "origin": "w.example.org/c", "key": "/k", "durable": "none", "checkpoint_seconds": 5, "checkpoint_records": 6}
    config = {"box": {"run_dir": "/r"}, "custody": {**custody, "unsigned_records": 7}, "keys": {"socket": "/s"}}
    parsed = parse_options(options(config, 9))
    assert (parsed.unsigned_records, parsed.keys_socket) == (7, "/s")
    assert (parsed.log, parsed.socket, parsed.origin, parsed.key) == ("/l", "/r/custody.sock", "w.example.org/c", "/k")
    assert (parsed.durable, parsed.checkpoint_seconds, parsed.checkpoint_records, parsed.control_fd) == ("none", 5.0, 6, 9)
