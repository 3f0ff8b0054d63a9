"""Files of the queue that cannot be opened: nothing behind them waits for ever, and nothing is set aside for a passing want."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import held
from support.forwarderkit import Site
from support.pacs import Pacs
from support.processes import until
from wardgate.hold.state import State

WHERE = ("ct1", "pacs")


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    made = Site(folder)
    yield made
    made.close()


def answered(site: Site) -> None:
    """As a forwarder that was killed leaves it: the answer is on the disk, its record is not."""
    store = site.forwarder.store
    (entry,) = store.entries()
    store.answered(entry, 0)
    store.sync()


def test_an_answered_instance_whose_file_is_gone_keeps_nothing_behind_it_waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put(1)
    answered(site)
    asked = []

    def gone(*_: object) -> Any:
        asked.append(1)
        raise FileNotFoundError(errno.ENOENT, "gone")

    monkeypatch.setattr(site.forwarder.store, "read", gone)
    site.start()
    until(lambda: asked, "it was looked for")
    # A later request of the modality for commitment waits for what was answered before it.
    until(lambda: not site.forwarder.waits_before(WHERE, 10**15), "nothing is waited for")


def test_a_process_without_descriptors_sets_nothing_aside(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = site.put(1)
    read = site.forwarder.store.read
    full = [True]
    failed = []

    def crowded(*words: Any) -> Any:
        if full[0]:
            failed.append(1)
            raise OSError(errno.EMFILE, "too many open files")
        return read(*words)

    monkeypatch.setattr(site.forwarder.store, "read", crowded)
    with Pacs(site.port) as pacs:
        site.start()
        until(lambda: failed, "it could not be opened")
        site.look()
        assert not held.entries(site.folder / "hold", State.QUARANTINED)
        full[0] = False
        site.look()
        until(lambda: pacs.asked == [instance], "it is sent")


def test_a_process_that_runs_out_of_descriptors_while_it_sends_tries_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = site.put(1)
    read = site.forwarder.store.read
    calls = []

    def crowded(*words: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:  # the first was the look
            raise OSError(errno.EMFILE, "too many open files")
        return read(*words)

    monkeypatch.setattr(site.forwarder.store, "read", crowded)
    with Pacs(site.port) as pacs:
        site.start()
        until(lambda: pacs.asked == [instance], "it is sent the next time")
        assert not held.entries(site.folder / "hold", State.QUARANTINED)
