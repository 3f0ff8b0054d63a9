"""A box that holds, between DCMTK's storescu and a PACS made by hand, and what tests ask of its queue."""

from __future__ import annotations

from pathlib import Path

from support.bench import Bench
from support.config import PeerPlan
from support.pacs import Pacs
from support.processes import until
from wardgate.hold.header import PREFIX_BYTES, decode_header, head_size
from wardgate.hold.mark import MARK_BYTES
from wardgate.hold.scan import SegmentView, segments
from wardgate.hold.seal import Damaged
from wardgate.hold.state import State
from wardgate.hold.store import Entry, Store
from wardgate.hold.wrap import WrapError

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


def plan(bench: Bench, delivery: str = "hold") -> None:
    """Make the plan of `bench` hold for a plain PACS."""
    bench.plan.delivery = delivery
    bench.plan.peers = (PeerPlan(transport="plain", hold_transfer_syntaxes=SYNTAXES),)


class NoKey:
    """Stands where a key would: what tests ask of a queue lies in clear."""

    name = "none"

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        raise WrapError("no key")

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        raise WrapError("no key")

    def ready(self, name: str) -> bool:
        return False

    def fetch(self, name: str) -> None:
        raise WrapError("no key")

    def prepare(self) -> None:
        pass

    def forget(self) -> None:
        pass


def entries(folder: Path, *states: State) -> list[Entry]:
    """What is in the queue in one of `states` (none: what waits), in order."""
    store = Store(folder, NoKey())
    every = (*store.entries(), *store.quarantined())
    store.counters.close()
    return sorted(entry for entry in every if entry.state in (states or (State.WAITING,)))


def files(bench: Bench, *states: State) -> list[Entry]:
    """The same, of a bench's queue."""
    return entries(bench.plan.hold_dir, *states)


def unfinished(folder: Path) -> bool:
    """Does a segment go on behind its last whole instance?"""
    for name in segments(str(folder / "queue")):
        view = SegmentView(str(folder / "queue" / name))
        try:
            view.look()
            with open(view.path, "rb") as file:
                file.seek(view.end)
                if file.read().strip(b"\0"):  # small instances have zeros laid behind them
                    return True
        except FileNotFoundError:
            continue
    return False


def sealed(entry: Entry) -> bytes:
    """The bytes of an instance as they lie in its segment, without the mark."""
    with open(entry.place.path, "rb") as file:
        file.seek(entry.place.offset + MARK_BYTES)
        return file.read(entry.place.length - MARK_BYTES)


def flip(entry: Entry, at: int) -> None:
    """Change a bit of an instance's bytes; `at` counts behind the mark, or from the end when it is negative."""
    where = entry.place.offset + (MARK_BYTES + at if at >= 0 else entry.place.length + at)
    with open(entry.place.path, "r+b") as file:
        file.seek(where)
        byte = file.read(1)[0]
        file.seek(where)
        file.write(bytes((byte ^ 1,)))


def instance_of(entry: Entry) -> str:
    """The SOP Instance UID in its head."""
    content = sealed(entry)
    end = PREFIX_BYTES + head_size(content[:PREFIX_BYTES])
    return decode_header(content[PREFIX_BYTES:end]).sop_instance


def waiting(bench: Bench) -> set[str]:
    """The instances that may still be sent."""
    found = set()
    for entry in files(bench):
        try:
            found.add(instance_of(entry))
        except (FileNotFoundError, Damaged):  # it went meanwhile
            continue
    return found


def wait_empty(bench: Bench, seconds: float = 120) -> None:
    """Wait until nothing is left in the queue, answered or not."""

    def empty() -> bool:
        return not files(bench, State.WAITING, State.ANSWERED, State.AWAITING)

    try:
        until(empty, "the queue is empty", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{bench.box.log[-3000:]}") from None


def pacs(bench: Bench, delay_seconds: float = 0.0) -> Pacs:
    """The PACS of the plan, not listening yet."""
    return Pacs(bench.peer.port, delay_seconds)
