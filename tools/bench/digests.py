"""Row 12: compares what was sent, what arrived and what the custody log says, instance by instance."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bench import custody

Digests = Counter[tuple[str, str]]  # (SOP Instance UID, SHA-256 in hex) -> how often


class Wrong(NamedTuple):
    """How many instances were not as sent, at the sink and in the custody log."""

    received: int
    recorded: int


def sent(report: Path) -> Digests:
    """Read the load generator's report: UID, SHA-256, length, times acknowledged."""
    lines = [line.split() for line in report.read_text().splitlines()]
    return Counter({(uid, digest): int(count) for uid, digest, _, count in lines if int(count)})


def received(report: Path) -> Digests:
    """Read the sink's report: UID, SHA-256, length."""
    return Counter((uid, digest) for uid, digest, _ in map(str.split, report.read_text().splitlines()))


def difference(one: Digests, other: Digests) -> int:
    """Return how many instances are in one and not in the other, both ways."""
    return (one - other).total() + (other - one).total()


def compare(sent_report: Path, received_report: Path | None, log: Path | None) -> Wrong:
    """Compare the reports. None: there is nothing to compare with."""
    expected = sent(sent_report)
    return Wrong(
        difference(expected, received(received_report)) if received_report else 0,
        difference(expected, custody.stores(log)) if log else 0,
    )
