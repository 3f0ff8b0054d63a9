"""The record of an update when the custody writer's answer is lost: it is kept for later, under the id that the writer has seen."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wardgate.codes import Code
from wardgate.custody.parse import UPDATE_EVENTS
from wardgate.custody.record import Quality
from wardgate.custody.wire import MAX_PACKET, decode_items
from wardgate.log import Log
from wardgate.provision import kept
from wardgate.update.box import Box
from wardgate.update.trial import Side

OLD, NEW = Side("A", "1.0.0"), Side("B", "2.0.0")


def _config(folder: Path) -> Any:
    box = SimpleNamespace(name="ward", run_dir=folder, state=folder)
    return SimpleNamespace(box=box, audit=None, writer_socket=folder / "custody.sock")


def test_a_record_whose_answer_is_lost_is_kept_under_the_id_that_was_sent(folder: Path) -> None:
    (folder / "kept").mkdir()
    taken: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as writer:
        writer.bind(str(folder / "custody.sock"))
        writer.listen()

        def take() -> None:
            connection, _ = writer.accept()
            with connection:
                taken.append(connection.recv(MAX_PACKET))

        thread = threading.Thread(target=take)
        thread.start()
        Box(Log("test"), str(folder), record_seconds=0).record(_config(folder), "installed", OLD, NEW, Code.UPDATE_INSTALLED, "service")
        thread.join(60)
    (item,) = decode_items(taken[0])
    (event,) = kept.waiting(folder, "ward", 0, Quality.UNKNOWN)
    assert event.ident == item[2]
    told = json.loads(event.record)
    assert (told["event"], told["code"], told["detail"]) == ("update-installed", "WG904", "A 1.0.0 > B 2.0.0 service")


@pytest.mark.parametrize("event", UPDATE_EVENTS)
def test_each_end_of_an_update_can_be_kept(folder: Path, event: str) -> None:
    (folder / "kept").mkdir()
    Box(Log("test"), str(folder), record_seconds=0).record(_config(folder), event, OLD, NEW, Code.UPDATE_OLDER)
    assert len(kept.waiting(folder, "ward", 0, Quality.UNKNOWN)) == 1


def test_a_box_without_room_for_it_tells_so_and_goes_on(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Box(Log("test"), str(folder), record_seconds=0).record(_config(folder), "good", OLD, NEW, Code.UPDATE_GOOD)
    assert "WG909" in capfd.readouterr().err
