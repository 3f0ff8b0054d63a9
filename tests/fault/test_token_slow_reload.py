"""A reload while a slow card signs: nobody who waits for it loses the association, and nothing of the old workers stays."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import datasets, peers
from support.keyservice import KeyService
from support.processes import LOOPBACK, until
from support.slowtoken import SlowToken
from support.tokenbench import LABEL, TokenBench, in_token
from support.wire import ASSOCIATE_AC, RELEASE_RP, RELEASE_RQ, Wire, associate_rq, pdu
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "openssl"), reason="needs DCMTK and openssl")

SLOW_MS = 1000
CALLERS = 4


class SlowBench(TokenBench):
    """A box whose token signs slowly when it is told to, and a PACS that keeps no sessions: each association wants a signature."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        super().__init__(folder, pki)
        self.service.stop()
        self.slow = SlowToken(folder, self.hsm)
        self.service = KeyService(folder, self.slow.env)
        self.service.add_token(LABEL, self.slow.module)
        self.service.start()
        self.service.until_state(LABEL, "present")
        in_token(self.plan, self.service)
        self.pacs()
        self.modality()


@pytest.fixture
def box(folder: Path, pki: Pki) -> Iterator[SlowBench]:
    """One, not started yet."""
    made = SlowBench(folder, pki)
    yield made
    made.close()


def call(box: TokenBench, answers: list[int], problems: list[Exception]) -> None:
    """An association of the modality, released as soon as it is accepted."""
    try:
        with socket.create_connection((LOOPBACK, box.plan.listen), 60) as sock:
            wire = Wire(sock)
            wire.send(associate_rq("CT1", "PACS"))
            kind, _ = wire.read()
            if kind == ASSOCIATE_AC:
                wire.send(pdu(RELEASE_RQ, bytes(4)))
                assert wire.read()[0] == RELEASE_RP
            answers.append(kind)
    except Exception as error:
        problems.append(error)


def test_a_reload_while_a_slow_card_signs_loses_nobody_and_leaves_nothing(box: SlowBench) -> None:
    box.start()
    slow = box.slow
    before = set(box.box.workers())
    slow.say(str(SLOW_MS))
    answers: list[int] = []
    problems: list[Exception] = []
    callers = [threading.Thread(target=call, args=(box, answers, problems)) for _ in range(CALLERS)]
    signed = slow.signatures
    for caller in callers[:2]:
        caller.start()
    until(lambda: slow.signatures > signed, "the card signs")
    os.kill(box.box.master, signal.SIGHUP)
    for caller in callers[2:]:  # while one generation gives way to the next
        time.sleep(0.5)
        caller.start()
    for caller in callers:
        caller.join(90)
    assert not problems and answers == [ASSOCIATE_AC] * CALLERS, (problems, answers, box.box.log[-3000:])
    until(lambda: box.box.workers() and not before & set(box.box.workers()), "the old workers have ended")
    assert "WG204" in box.box.codes()
    slow.say("0")
    series = datasets.generate(box.folder / "series", 2, 16)
    assert box.send(series).returncode == 0
    box.assert_delivered(series)
    until(lambda: _is_quiet(box.box.status().stdout), "no association, no open entry, one generation")
    box.assert_log_verifies()


def _is_quiet(status: str) -> bool:
    return ", now 0," in status and "open entries 0," in status and "generation 1" not in status
