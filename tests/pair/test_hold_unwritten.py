"""A forwarder whose disk does not take its notes: what a destination took is not sent again, and little is known to memory alone."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from support import held
from support.forwarderkit import Site
from support.pacs import Pacs
from support.processes import until
from wardgate.hold.state import State
from wardgate.hold.store import Entry


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    made = Site(folder)
    yield made
    made.close()


def _eio(*_: object) -> NoReturn:
    raise OSError(errno.EIO, "made to fail")


def left(site: Site) -> list[Entry]:
    """What is in the queue, also of what the destination took and the log has."""
    return held.entries(site.folder / "hold", State.WAITING, State.ANSWERED, State.AWAITING)


@pytest.mark.parametrize("what", ["write", "sync"])
def test_what_was_taken_is_not_sent_again_while_that_cannot_be_written_down(site: Site, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    first = site.put(1)
    with Pacs(site.port) as pacs:
        site.start()
        until(lambda: len(site.writer.stores()) == 1, "the first was delivered")
        until(lambda: not left(site), "and is gone")
        monkeypatch.setattr(site.forwarder.store.files, what, _eio)
        second = site.put(2)
        site.look()
        until(lambda: "HOLD_ACK_FAILED" in site.codes(), "the second is taken, and that is told")
        until(lambda: len(site.writer.stores()) == 2, "its record is in the log")
        third = site.put(3)
        for _ in range(4):  # the destination's pause is a second
            site.look()
            time.sleep(0.7)
        assert pacs.asked == [first, second]  # nothing more is taken that might be sent again after a restart
        monkeypatch.undo()
        until(lambda: third in pacs.asked, "the disk takes it again, and the next has its turn")
        until(lambda: not left(site), "all are gone")
        assert pacs.asked == [first, second, third]
        until(lambda: len(site.writer.stores()) == 3, "its record too")


@pytest.mark.parametrize("what", ["write", "sync"])
def test_what_was_refused_for_good_is_not_sent_again_either(site: Site, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    first = site.put(1)
    with Pacs(site.port) as pacs:
        site.start()
        until(lambda: not left(site), "the first is gone")
        monkeypatch.setattr(site.forwarder.store.files, what, _eio)
        pacs.statuses["1.2.3.2"] = 0xC000
        refused = site.put(2)
        site.look()
        until(lambda: "HOLD_ACK_FAILED" in site.codes(), "it is refused, and that is told")
        third = site.put(3)
        for _ in range(4):
            site.look()
            time.sleep(0.7)
        assert pacs.asked == [first, refused]
        monkeypatch.undo()
        until(lambda: third in pacs.asked, "the next has its turn")
        assert pacs.asked == [first, refused, third]
        until(lambda: held.entries(site.folder / "hold", State.QUARANTINED), "it is in quarantine, on the disk")


def test_a_forwarder_that_is_told_to_stop_tries_once_more_to_write_it_down(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(folder)
    first = site.put(1)
    with Pacs(site.port) as pacs:
        site.start()
        until(lambda: not left(site), "the first is gone")
        monkeypatch.setattr(site.forwarder.store.files, "write", _eio)
        second = site.put(2)
        site.look()
        until(lambda: "HOLD_ACK_FAILED" in site.codes(), "that is told")
        monkeypatch.undo()
        site.close()
        assert pacs.asked == [first, second]
        assert not held.entries(site.folder / "hold")
