"""A forwarder whose threads wait for the disk: what goes into quarantine is there at once, whoever looks meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import held
from support.forwarderkit import Site
from support.pacs import Pacs
from support.processes import until
from wardgate.custody.wire import Op, Status
from wardgate.hold.state import State


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    made = Site(folder)
    yield made
    made.close()


def test_an_instance_that_was_refused_for_good_is_not_sent_again_while_the_disk_is_slow(site: Site) -> None:
    refused, taken = site.put(1), site.put(2)
    with Pacs(site.port) as pacs:
        pacs.statuses[refused] = 0xC000
        site.start(slow=True)
        until(lambda: taken in pacs.asked, "both were sent")
        for _ in range(3):
            site.look()
            time.sleep(0.3)  # whatever is due begins at the next tick
        assert pacs.asked == [refused, taken]
        site.go_on()
        until(lambda: held.entries(site.folder / "hold", State.QUARANTINED), "it is in quarantine")
        last = site.put(3)
        site.look()
        until(lambda: last in pacs.asked, "what comes later is sent")
        assert pacs.asked == [refused, taken, last]


def test_what_the_log_will_never_have_is_not_sent_while_the_disk_is_slow(site: Site) -> None:
    site.writer.answers[Op.HAS] = Status.REFUSED
    site.put(1, carries=True)
    taken = site.put(2)
    with Pacs(site.port) as pacs:
        site.start(slow=True)
        until(lambda: taken in pacs.asked, "the other was sent")
        for _ in range(3):
            site.look()
            time.sleep(0.3)
        site.go_on()
        until(lambda: held.entries(site.folder / "hold", State.QUARANTINED), "it is in quarantine")
        last = site.put(3)
        site.look()
        until(lambda: last in pacs.asked, "what comes later is sent")
        assert pacs.asked == [taken, last]
