"""When an item leaves for the custody writer: with others, or with the turn that brought it alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from wardgate.custody.client import CustodyClient
from wardgate.custody.wire import Op
from wardgate.relay.custodian import Custodian
from wardgate.relay.loop import Loop


def refuse(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(("ready", "alone", "waits"), [(1, True, 0), (2, True, 1), (1, False, 1), (2, False, 1)])
def test_what_a_turn_brought_alone_leaves_with_it_and_all_else_when_the_loop_is_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ready: int, alone: bool, waits: int
) -> None:
    loop = Loop(refuse)
    idle: list[object] = []
    soon: list[object] = []
    monkeypatch.setattr(loop, "when_idle", idle.append)
    monkeypatch.setattr(loop, "soon", soon.append)
    custodian = Custodian(loop, CustodyClient(tmp_path / "none", "worker", time.monotonic), 5.0, refuse)
    loop.ready = ready
    for seq in (1, 2):
        custodian.submit(Op.STORE, bytes(16), seq, b"{}", lambda _status, _index: None, alone=alone)
    assert (len(idle), len(soon)) == (waits, 1 - waits)
    assert custodian.unanswered == 2
