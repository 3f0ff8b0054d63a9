"""A box that holds, between DCMTK's storescu and a PACS made by hand, and what tests ask of its queue."""

from __future__ import annotations

from pathlib import Path

from support.bench import Bench
from support.config import PeerPlan
from support.pacs import Pacs
from support.processes import until
from wardgate.hold.header import PREFIX_BYTES, decode_header, head_size

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


def plan(bench: Bench, delivery: str = "hold") -> None:
    """Make the plan of `bench` hold for a plain PACS."""
    bench.plan.delivery = delivery
    bench.plan.peers = (PeerPlan(transport="plain", hold_transfer_syntaxes=SYNTAXES),)


def files(bench: Bench, pattern: str = "*.held", folder: str = "queue") -> list[Path]:
    """The files of the queue, in order."""
    return sorted((bench.plan.hold_dir / folder).glob(pattern))


def size(path: Path) -> int:
    """Its bytes; 0 when it is gone meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def instance_of(path: Path) -> str:
    """The SOP Instance UID in the head of a queue file."""
    content = path.read_bytes()
    end = PREFIX_BYTES + head_size(content[:PREFIX_BYTES])
    return decode_header(content[PREFIX_BYTES:end]).sop_instance


def waiting(bench: Bench) -> set[str]:
    """The instances that may still be sent."""
    found = set()
    for path in files(bench):
        try:
            found.add(instance_of(path))
        except FileNotFoundError:
            continue
    return found


def wait_empty(bench: Bench, seconds: float = 60) -> None:
    """Wait until nothing is left in the queue, answered or not."""

    def empty() -> bool:
        return not files(bench) and not files(bench, "*.sent-*")

    try:
        until(empty, "the queue is empty", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{bench.box.log[-3000:]}") from None


def pacs(bench: Bench, delay_seconds: float = 0.0) -> Pacs:
    """The PACS of the plan, not listening yet."""
    return Pacs(bench.peer.port, delay_seconds)
