"""What an association held is free when it is over, and what it holds meanwhile is small."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.relaykit import Relay, abort_of, response, store, until
from support.tlskit import make_tls
from support.wire import ABORT, pdu
from wardgate.policy.model import Link, Party
from wardgate.policy.tls import Tls
from wardgate.relay.association import Association
from wardgate.relay.loop import Loop
from wardgate.relay.nobody import NOBODY
from wardgate.relay.threads import Pool


@contextmanager
def no_garbage_collector() -> Iterator[None]:
    """What is freed here is freed because nothing holds it."""
    gc.collect()
    gc.disable()
    found, gc.collect = gc.collect, lambda *_: 0  # type: ignore[assignment]
    try:
        yield
    finally:
        gc.collect = found
        gc.enable()


class Callers(list[tuple[Link, Party]]):
    """A list that can be watched; associations themselves cannot."""


def _the_one(relay: Relay) -> weakref.ref[Callers]:
    """Return what lives as long as the one association."""
    (association,) = relay.gate.associations
    assert isinstance(association, Association)
    association.callers = callers = Callers(association.callers)
    return weakref.ref(callers)


@pytest.mark.parametrize("tls", [None, make_tls()], ids=["plain", "tls"])
def test_an_association_that_was_released_is_free_without_looking_for_garbage(folder: Path, tls: Tls | None) -> None:
    with no_garbage_collector(), Relay(folder, peer_tls=tls) as relay, relay.associate() as pair:
        watched = _the_one(relay)
        assert watched() is not None
        pair.pass_on(*store(1))
        pair.pass_on(response(1), back=True)
        pair.release()
        relay.settled()
        until(lambda: watched() is None, "nothing holds it")


def test_an_association_that_was_aborted_is_free_when_its_legs_have_parted(folder: Path) -> None:
    with no_garbage_collector(), Relay(folder) as relay, relay.associate() as pair:
        watched = _the_one(relay)
        pair.near.send(pdu(ABORT, bytes((0, 0, 0, 0))))
        assert abort_of(pair.far) == (0, 0)
        pair.far.sock.close()
        relay.settled()
        until(lambda: watched() is None, "nothing holds it")


def test_nobody_closes_a_leg_that_still_says_something() -> None:
    class Leg:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    leg = Leg()
    NOBODY.connected(leg)  # type: ignore[arg-type]
    NOBODY.handshake_bytes(leg, b"x")  # type: ignore[arg-type]
    NOBODY.lost(leg, "gone")  # type: ignore[arg-type]
    NOBODY.broken(leg, ValueError())  # type: ignore[arg-type]
    assert leg.closed == 4
    assert NOBODY.command(1, bytearray()) is None


def test_a_thread_that_waits_keeps_nothing_of_the_work_it_did() -> None:
    loop = Loop(lambda error: None)
    pool = Pool(loop)
    thread = threading.Thread(target=loop.run)
    thread.start()

    class Work:
        def __call__(self) -> None: ...

    work = Work()
    watched = weakref.ref(work)
    done = threading.Event()
    pool.submit(work, lambda _result, _error: done.set())
    del work
    assert done.wait(60)
    end = time.monotonic() + 60
    while watched() is not None and time.monotonic() < end:
        time.sleep(0.01)
    loop.call(loop.stop)
    thread.join()
    assert watched() is None
