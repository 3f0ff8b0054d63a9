"""When an item leaves for the custody writer: with others, or with the turn that brought it alone."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from wardgate.custody.client import CustodyClient
from wardgate.custody.wire import MAX_PACKET, Op, decode_items
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


def test_what_the_next_writer_does_not_take_at_once_goes_on_when_it_reads(tmp_path: Path) -> None:
    """500 associations wait for a record each when the writer dies: more than its socket holds, and nobody submits another."""
    waiting, size = 600, 700
    loop = Loop(refuse)
    custodian = Custodian(loop, CustodyClient(tmp_path / "sock", "worker", time.monotonic), 60.0, refuse)
    for seq in range(waiting):
        custodian.submit(Op.STORE, bytes(16), seq, bytes(size), lambda _status, _index: None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        came: list[int] = []

        def write() -> None:
            writer, _ = listener.accept()
            writer.settimeout(60.0)
            try:
                while len(came) < waiting:
                    came.extend(seq for op, _, _, seq, _ in decode_items(writer.recv(MAX_PACKET)) if op == Op.STORE)
            except TimeoutError:
                pass
            loop.call(loop.stop)
            writer.close()

        thread = threading.Thread(target=write)
        thread.start()
        loop.run()  # it connects at a tick
        thread.join()
    assert came == list(range(waiting))
