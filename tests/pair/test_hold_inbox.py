"""What waits in the inbox of storage commitment: one message that cannot be taken in, or read, keeps no other waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.forwarderkit import Site
from support.processes import until
from support.wire import ABORT, FakePeer, Wire, associate_ac, pdu
from wardgate.hold.commitment.book import Step
from wardgate.hold.commitment.inbox import MAX_WAITING, Inbox, Kind, Message
from wardgate.hold.commitment.teller import MAX_TRIED
from wardgate.hold.files import Files
from wardgate.hold.memory import Pair
from wardgate.policy.model import Commitment

WHERE = ("ct1", "pacs")
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
    until(lambda: "COMMITMENT_UNASKED" in site.codes(), "the report was read")
    until(lambda: inbox.names() == [waits], "the second request waits")


def test_a_message_that_the_disk_does_not_give_keeps_no_other_waiting(site: Site, inbox: Inbox) -> None:
    bad = site.folder / "hold" / "commitment" / "inbox" / f"{0:020d}-{0:016x}.json"
    bad.mkdir()  # `open` fails as it does with EIO
    inbox.put(report("1.2.3"))
    site.start()
    until(lambda: "COMMITMENT_UNASKED" in site.codes(), "the report was read")
    until(lambda: inbox.names() == [bad.name], "it stays, for the disk may give it later")
    assert "COMMITMENT_JOURNAL" in site.codes() and "WORKER_DEFECT" not in site.codes()


def test_requests_leave_room_for_what_makes_room(site: Site, inbox: Inbox) -> None:
    place = site.folder / "hold" / "commitment" / "inbox"
    for number in range(MAX_WAITING // 2):
        (place / f"{number:020d}-{0:016x}.json").touch()
    assert inbox.full(Kind.ACTION) and not inbox.full(Kind.EVENT) and not inbox.full(Kind.TOLD)
    for number in range(MAX_WAITING // 2, MAX_WAITING):
        (place / f"{number:020d}-{0:016x}.json").touch()
    assert inbox.full(Kind.EVENT)


UID = REFERENCES[0][1]


def on_loop(site: Site, work: Callable[[], object]) -> None:
    """Do something as the forwarder does it, and wait until it is done."""
    done = threading.Event()

    def both() -> None:
        work()
        done.set()

    site.forwarder.loop.call(both)
    assert done.wait(60)


def waits_for_commitment(site: Site) -> None:
    """The destination took an instance, and is to be asked for its commitment."""
    desk = site.forwarder.desk
    written = threading.Event()
    on_loop(site, lambda: desk.write(desk.book.sent(PAIR, REFERENCES[0][0], UID, "", True), written.set))
    assert written.wait(60)


def test_a_result_that_cannot_be_acted_on_keeps_no_report_waiting(site: Site, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the file of a transferred original cannot be read."""

    def broken(*_: object) -> None:
        raise OSError(5, "the disk does not give it")

    site.start()
    waits_for_commitment(site)
    desk = site.forwarder.desk
    monkeypatch.setattr(desk, "_release", broken)
    on_loop(site, lambda: desk.write(desk.book.ask(WHERE, lambda: "1.2.77"), lambda: None))
    inbox.put(report("1.2.77"))
    until(lambda: "COMMITMENT_REPORTED" in site.codes(), "the report was taken")
    inbox.put(report("1.2.78"))
    until(lambda: "COMMITMENT_UNASKED" in site.codes(), "the next one is read")
    until(lambda: not inbox.names(), "both are done")


def test_what_could_not_be_asked_is_asked_again_at_once_and_is_no_try(site: Site) -> None:
    """The association ended while the transaction was on its way into the journal: six hours would go by for nothing."""
    goes, ended = threading.Event(), threading.Event()

    def hangs_up(wire: Wire) -> None:
        wire.send(associate_ac(wire.whole()))
        until(lambda: site.forwarder.desk.scribe.busy, "it is being written down")
        wire.send(pdu(ABORT, bytes(4)))
        ended.set()

    site.start()
    waits_for_commitment(site)
    site.forwarder.desk.scribe._writer.submit(lambda: goes.wait(100) and None, None, sync=False)
    with FakePeer(site.port, hangs_up):
        assert ended.wait(60)
        until(lambda: "PEER_ABORTED" in site.codes(), "the association is over")
    goes.set()
    book = site.forwarder.desk.book

    def waits() -> bool:
        instance = book.instances[(*WHERE, UID)]
        return instance.step is Step.WAITS and instance.tries == 0

    until(waits, "it waits to be asked, as if it had not been tried")


def test_a_request_that_is_repeated_again_and_again_leaves_nothing_in_memory(site: Site, inbox: Inbox) -> None:
    site.start()
    teller = site.forwarder.desk.teller
    for number in range(5):
        inbox.put(request("1.2.1", number + 1))
        until(lambda: not inbox.names(), "it was read")
    assert len(site.forwarder.desk.book.requests) == 1
    until(lambda: not teller._after and not teller._workers, "nothing is remembered of the repetitions")


def test_associations_that_end_with_nothing_to_tell_are_forgotten(site: Site) -> None:
    teller = site.forwarder.desk.teller
    for number in range(3 * MAX_TRIED):
        teller.gone(f"{number:020d}-{0:016x}.json")
    assert len(teller._tried) <= MAX_TRIED
