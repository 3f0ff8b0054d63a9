"""What the forwarder does where the destination does not: it takes nothing more, asks to release as well, or is called twice at once."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command_sets import store_response
from support.forwarderkit import Site
from support.processes import LOOPBACK, until
from support.relaykit import RELEASE_RP_PDU, RELEASE_RQ_PDU
from support.tlskit import make_tls
from support.wire import ABORT, P_DATA, Wire, associate_ac, pdu, pdv
from wardgate.custody.wire import Op
from wardgate.hold.calling import Calling
from wardgate.policy.model import Direction


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    made = Site(folder)
    yield made
    made.close()


@contextmanager
def called(site: Site) -> Iterator[Wire]:
    """The destination's end of the association that the forwarder opens, accepted."""
    with socket.create_server((LOOPBACK, site.port)) as listener:
        listener.settimeout(60)
        site.start()
        sock, _ = listener.accept()
        sock.settimeout(60)
        with Wire(sock) as far:
            far.send(associate_ac(far.whole()))
            yield far


def test_a_destination_that_takes_nothing_more_is_not_waited_for_for_ever(site: Site) -> None:
    site.put(1, data=os.urandom(32 << 20))
    site.forwarder.gate.limits = site.forwarder.gate.limits._replace(idle_seconds=1)
    with called(site) as far:
        assert far.read()[0] == P_DATA
        until(lambda: "IDLE" in site.codes(), "its time is over")


def test_a_destination_that_takes_little_at_a_time_is_waited_for(site: Site) -> None:
    site.put(1, data=os.urandom(40 << 20))  # twice what is taken here, and more than the network holds of the rest
    with called(site) as far:
        sending = next(iter(site.forwarder.sendings))
        leg = sending.leg
        assert leg is not None
        until(lambda: leg.full, "it waits")
        for pieces, size in ((1, 4 << 20),) * 4 + ((100, 40_000),):
            for _ in range(pieces):
                far._exactly(size)
            until(lambda: leg.drained, "more has left")
            sending.deadline = 0.0  # its time is over
            until(lambda: sending.deadline > 0, "it has been judged")
            assert "IDLE" not in site.codes()
        far.sock.close()


def test_a_destination_that_speaks_before_it_was_asked_is_heard_when_it_was(site: Site) -> None:
    site.writer.hold(Op.OPEN)
    site.put(1)
    with socket.create_server((LOOPBACK, site.port)) as listener:
        listener.settimeout(60)
        site.start()
        sock, _ = listener.accept()
        with sock:
            sock.sendall(pdu(ABORT, bytes(4)))
            sending = next(iter(site.forwarder.sendings))
            until(lambda: sending._connected, "it waits for its open entry")
            time.sleep(0.2)
            site.writer.release()
            until(lambda: "PEER_ABORTED" in site.codes(), "it is heard")
    assert "WORKER_DEFECT" not in site.codes()


def test_a_destination_that_asks_to_release_when_we_do_is_answered_and_answers(site: Site) -> None:
    """PS3.8 9.2, AR-8 and AR-9: the association requestor answers first."""
    site.put(1)
    with called(site) as far:
        far.read()
        far.read()
        far.send(pdv(1, 3, store_response(1, 0)))
        assert far.whole() == RELEASE_RQ_PDU
        far.send(RELEASE_RQ_PDU)
        assert far.whole() == RELEASE_RP_PDU
        far.send(RELEASE_RP_PDU)
        kind, _ = far.read()
        assert kind == 0, "aborted" if kind == ABORT else kind
    until(lambda: site.writer.closes(), "the close entry")
    assert [close["ended"] for close in site.writer.closes()] == ["released"]


class Mute(Calling):
    """Says nothing."""

    def finished(self) -> None:
        """Nobody is told."""


def test_the_keys_of_a_destination_are_let_go_by_the_last_association_that_needs_them(folder: Path) -> None:
    """A storage commitment association may end while the one that sends instances connects."""
    site = Site(folder, tls=make_tls())
    try:
        (link,) = site.forwarder.config.links
        (party,) = link.peers
        secure = site.forwarder.gate.secure[(link.name, party.name)]
        secure.token = "card"
        with socket.create_server((LOOPBACK, site.port)):
            first, second = (Mute(site.forwarder.gate, link, party, "CT1", "PACS", Direction.TO_HOSPITAL) for _ in range(2))
            first.begin()
            second.begin()
            second.stop()
            assert secure.out is None, "the first has not shaken hands yet"
            first.stop()
            assert secure.out is not None
    finally:
        site.close()
