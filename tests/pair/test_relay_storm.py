"""Associations that end in every way at every moment, both ends of them: each leaves nothing behind. The seeds are fixed.

More of them, every pair of legs with every delivery, and with ends that say nothing, by hand:
`WARDGATE_STORM=1000:1300 pytest tests/pair/test_relay_storm.py`.
"""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path

import pytest

from support.isclsocket import box_table
from support.relaykit import Relay, until
from support.storm import ENDS, SILENCE, Case
from support.tlskit import make_tls
from wardgate.custody.wire import Op, Status
from wardgate.policy.model import Delivery, Hold, Iscl, IsclR1, Role
from wardgate.policy.tls import Tls
from wardgate.relay import ledger
from wardgate.relay.association import Association

EXPLICIT = "1.2.840.10008.1.2.1"
LIMITS = {
    "connect_seconds": 2, "handshake_seconds": 2, "associate_seconds": 2, "idle_seconds": 2, "release_seconds": 2, "record_seconds": 2,
}  # fmt: skip
LEGS = ("plain plain", "plain tls", "tls plain", "plain iscl", "iscl plain", "plain half", "iscl-in-tls plain", "tls iscl", "half tls")
ASKED = os.environ.get("WARDGATE_STORM", "")
SEEDS = range(*map(int, (ASKED or "0:5").split(":")))
OFTEN = [
    *((legs, Delivery.RELAY) for legs in LEGS),
    *((legs, Delivery.HOLD) for legs in ("plain plain", "iscl plain")),
    *((legs, Delivery.RELAY_THEN_HOLD) for legs in ("tls tls",)),
]
EVERY = [(legs, delivery) for legs in LEGS for delivery in Delivery]


def transport(folder: Path, word: str) -> tuple[Tls | None, Iscl | None]:
    """What a word of `LEGS` means."""
    r1 = IsclR1(half_duplex=word == "half")
    return make_tls() if word.endswith("tls") else None, box_table(folder, r1=r1) if word in ("iscl", "half", "iscl-in-tls") else None


def sockets() -> int:
    """How many this process has open."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    return found


@pytest.mark.parametrize(("legs", "delivery"), EVERY if ASKED else OFTEN)
def test_however_an_association_ends_nothing_of_it_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, legs: str, delivery: Delivery
) -> None:
    monkeypatch.setattr(ledger, "RESERVE_RECORDS", 6)  # seven instances need more
    words = dict(zip((Role.MODALITY, Role.PEER), (transport(folder, word) for word in legs.split()), strict=True))
    (folder / "hold.key").write_bytes(os.urandom(32))
    hold = Hold(folder / "hold", folder / "hold.key", True, keep_free_bytes=1 << 20) if delivery is not Delivery.RELAY else None
    with Relay(
        folder, delivery=delivery, hold=hold, hold_transfer_syntaxes=(EXPLICIT,) if hold else (),
        modality_tls=words[Role.MODALITY][0], modality_iscl=words[Role.MODALITY][1],
        peer_tls=words[Role.PEER][0], peer_iscl=words[Role.PEER][1], **LIMITS,
    ) as relay:  # fmt: skip
        until(lambda: relay.gate.custodian.connected, "the writer is there")
        until(lambda: len(relay.writer._clients) == 1, "and knows us")
        gc.collect()  # of tests before this one
        storm = Storm(relay, words, sockets())
        for seed in SEEDS:
            storm.play(seed)
        until(lambda: not left_over(), "no association is held in memory")


class Storm:
    """One case after the other through one worker."""

    def __init__(self, relay: Relay, words: dict[Role, tuple[Tls | None, Iscl | None]], sockets_before: int) -> None:
        self.relay, self.words, self.before = relay, words, sockets_before
        self.refused: set[bytes] = set()  # associations whose open entry the log did not take

    def play(self, seed: int) -> None:
        """Play one and look at what is left of it."""
        relay, gate, writer = self.relay, self.relay.gate, self.relay.writer
        case = Case(relay, seed, Role.PEER if seed % 4 == 3 else Role.MODALITY, self.words, (*ENDS, SILENCE) if ASKED else ENDS)
        chance = case.chance
        if chance.random() < 0.4:
            writer.hold(*chance.sample((Op.OPEN, Op.STORE, Op.CLOSE, Op.RESERVE), chance.choice((1, 1, 2))))
            status = chance.choice((Status.OK, Status.OK, Status.IO_ERROR))
            case.later(chance.choice((0.02, 0.1, 0.3, 2.5 if ASKED else 0.05)), lambda: self.answer(status))
        token = self.words[Role.PEER][0] is not None and chance.random() < 0.1
        if token:
            case.later(chance.random() * 0.05, lambda: relay.token("TOKEN_IS_ABSENT"))
        case.run()
        if token:
            relay.token()
        what = f"seed {seed}: {case}"
        assert relay.alive, what
        assert "WORKER_DEFECT" not in relay.codes(), what
        until(lambda: not gate.custodian.unanswered, f"the writer has answered, {what}")
        until(lambda: not gate.loop.parting, f"nobody parts, {what}")
        until(lambda: sockets() <= self.before, f"no descriptor is left, {what}")
        assert not gate.embryos and not gate.openings._doors, what
        if gate.keeper is not None:
            assert (gate.keeper.space.promised, gate.keeper.beside.coming) == (0, 0), what
        assert gate.census.everybody().all == 0, what
        assert [counters.now for counters in gate.links.values()] == [0], what
        # What was answered ahead of a log that took nothing is given to it again before the close entry.
        until(lambda: self.opened() - self.refused <= set(self.closed()), f"every open entry is closed, {what}")
        assert len(self.closed()) == len(set(self.closed())), what
        assert set(self.closed()) <= self.opened(), what
        records = [(record["association"], record["seq"]) for record in writer.stores()]
        assert len(records) == len(set(records)), what

    def opened(self) -> set[bytes]:
        """Associations whose open entry came."""
        return {association for association, _, _ in self.relay.writer.ops(Op.OPEN)}

    def closed(self) -> list[bytes]:
        """Associations whose close entry came."""
        return [association for association, _, _ in self.relay.writer.ops(Op.CLOSE)]

    def answer(self, status: Status) -> None:
        """The writer answers what it held."""
        writer = self.relay.writer
        if status is not Status.OK and Op.OPEN in writer.held:
            self.refused |= self.opened() - set(self.closed())
        writer.release(status)


def left_over() -> list[object]:
    """Associations that something still holds."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Association)]
