"""How a worker leaves: drained or told to stop, the log has what it knew, and whoever was cut has heard so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.relaykit import Relay, abort_of, store, until
from wardgate.custody.wire import Op
from wardgate.master.control import encode
from wardgate.relay import parting


def test_a_worker_that_is_stopped_has_given_the_log_what_it_knew(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*store(1))
        relay._control.send(encode({"do": "stop"}))
        until(lambda: not relay.alive, "it has left")
        until(lambda: relay.writer.closes(), "the close entry is with the writer")
        assert [record["outcome"] for record in relay.writer.stores()] == ["unknown"]
        assert len(relay.writer.ops(Op.OPEN)) == len(relay.writer.closes()) == 1


def test_a_worker_that_is_stopped_does_not_wait_for_a_writer_that_is_away(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*store(1))
        relay.writer.vanish()
        relay._control.send(encode({"do": "stop"}))
        until(lambda: not relay.alive, "it has left")
        relay.writer.start()


@pytest.mark.parametrize("told", [False, True], ids=["of itself", "told to stop"])
def test_who_is_cut_at_the_end_of_a_drain_may_hear_so_before_the_worker_leaves(
    folder: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """A process that ends with bytes unread makes the kernel reset the connection, and the A-ABORT may go with it."""
    monkeypatch.setattr(parting, "SECONDS", 60.0)
    monkeypatch.setattr("wardgate.relay.worker.STOP_SECONDS", 60.0)
    with Relay(folder, drain_seconds=60 if told else 1) as relay:
        with relay.associate() as pair:
            relay._control.send(encode({"do": "drain"}))
            until(lambda: relay.gate.draining, "it drains")
            if told:
                relay._control.send(encode({"do": "stop"}))
            assert abort_of(pair.near) is not None and abort_of(pair.far) is not None
            until(lambda: not relay.gate.custodian.unanswered, "the log has it")
            time.sleep(1.1)  # two ticks
            assert relay.alive
        until(lambda: not relay.alive, "they have closed, and it leaves")
