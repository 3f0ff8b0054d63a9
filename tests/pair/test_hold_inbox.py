"""What waits in the inbox of storage commitment: one message that cannot be taken in, or read, keeps no other waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.forwarderkit import Site
from support.processes import until
from wardgate.hold.commitment.inbox import MAX_WAITING, Inbox, Kind, Message
from wardgate.hold.files import Files
from wardgate.hold.memory import Pair
from wardgate.policy.model import Commitment

PAIR = Pair("ct1", "pacs", "CT1", "PACS")
REFERENCES = (("1.2.840.1", "1.2.3", -1),)


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    made = Site(folder, Commitment.DESTINATION)
    yield made
    made.close()


@pytest.fixture
def inbox(site: Site) -> Inbox:
    """As a worker has it."""
    return Inbox(str(site.folder / "hold"), Files())


def request(transaction: str, number: int) -> Message:
    return Message(Kind.ACTION, PAIR, transaction, REFERENCES, number)


def report(transaction: str) -> Message:
    return Message(Kind.EVENT, PAIR, transaction, REFERENCES)


def test_a_request_without_room_does_not_keep_the_reports_waiting_that_make_room(
    site: Site, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wardgate.hold.commitment.book.MAX_REQUESTS", 1)
    inbox.put(request("1.2.1", 1))
    waits = inbox.put(request("1.2.2", 2))
    inbox.put(report("1.2.3"))
    site.start()
    until(lambda: "COMMITMENT_UNASKED" in site.codes(), "the report was read", 20)
    until(lambda: inbox.names() == [waits], "the second request waits", 20)


def test_a_message_that_the_disk_does_not_give_keeps_no_other_waiting(site: Site, inbox: Inbox) -> None:
    bad = site.folder / "hold" / "commitment" / "inbox" / f"{0:020d}-{0:016x}.json"
    bad.mkdir()  # `open` fails as it does with EIO
    inbox.put(report("1.2.3"))
    site.start()
    until(lambda: "COMMITMENT_UNASKED" in site.codes(), "the report was read", 20)
    until(lambda: inbox.names() == [bad.name], "it stays, for the disk may give it later", 20)
    assert "COMMITMENT_JOURNAL" in site.codes() and "WORKER_DEFECT" not in site.codes()


def test_requests_leave_room_for_what_makes_room(site: Site, inbox: Inbox) -> None:
    place = site.folder / "hold" / "commitment" / "inbox"
    for number in range(MAX_WAITING // 2):
        (place / f"{number:020d}-{0:016x}.json").touch()
    assert inbox.full(Kind.ACTION) and not inbox.full(Kind.EVENT) and not inbox.full(Kind.TOLD)
    for number in range(MAX_WAITING // 2, MAX_WAITING):
        (place / f"{number:020d}-{0:016x}.json").touch()
    assert inbox.full(Kind.EVENT)
