"""Is the new slot good? Everything that worked before the install must work again within a time. Sans-IO.

| before  | now        | within the time | after it |
|---------|------------|-----------------|----------|
| worked  | works      | nothing missing | nothing missing |
| worked  | fails      | wait            | bad      |
| worked  | contradicts| bad             | bad      |
| did not | anything   | not asked       | not asked |

The gateway's own answer is asked for also where the vault was closed at the install, so that nobody was served, and is open now. Where it
is not asked for and does not come, the slot is unproven: nothing is worse than it was, and nothing shows that the release works. A custody
log that could be read must be no shorter. A migration that failed is bad whatever worked before: what else is missing follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

SERVICE: Final = "service"
CUSTODY: Final = "custody"
VAULT: Final = "vault"
MIGRATION: Final = "migration"  # only where it failed


class Outcome(Enum):
    """What came of one check."""

    WORKS = "works"
    FAILS = "fails"  # it may work in a moment
    CONTRADICTS = "contradicts"  # waiting mends nothing: what is on the disk is not what was signed


class Verdict(Enum):
    """What is to be done with the slot."""

    GOOD = "good"
    WAIT = "wait"
    BAD = "bad"
    UNPROVEN = "unproven"  # what worked before works; nobody was served before, and nobody is now


class Seen(NamedTuple):
    """What was looked at: each check by name; the number of records in the custody log, None when it cannot be read. `malformed`: what the
    gateway's status does not say as it should; its checks count as failed."""

    checks: Mapping[str, Outcome]
    records: int | None
    malformed: tuple[str, ...] = ()


class Judgement(NamedTuple):
    """The verdict, and what is missing."""

    verdict: Verdict
    missing: tuple[str, ...]


def worked(seen: Seen) -> frozenset[str]:
    """Return the names of what works: the baseline of an install."""
    return frozenset(name for name, outcome in seen.checks.items() if outcome is Outcome.WORKS)


def judge(baseline: frozenset[str], records: int, seen: Seen, waited_seconds: float, patience_seconds: float) -> Judgement:
    """Return what the new slot deserves. `records`: how long the custody log was at the install."""
    if seen.checks.get(MIGRATION, Outcome.WORKS) is not Outcome.WORKS:
        return Judgement(Verdict.BAD, (MIGRATION,))
    serves = seen.checks.get(SERVICE) is Outcome.WORKS
    opened = VAULT not in baseline and seen.checks.get(VAULT) is Outcome.WORKS
    wanted = baseline | {SERVICE} if opened else baseline
    missing = sorted(name for name in wanted if seen.checks.get(name, Outcome.FAILS) is not Outcome.WORKS)
    hopeless = any(seen.checks.get(name) is Outcome.CONTRADICTS for name in wanted)
    if CUSTODY in baseline and seen.records is not None and seen.records < records:
        missing = [*missing, "custody-records"]
        hopeless = True
    if not missing and serves:
        return Judgement(Verdict.GOOD, ())
    if hopeless or waited_seconds >= patience_seconds:
        return Judgement(Verdict.BAD if missing else Verdict.UNPROVEN, tuple(missing))
    return Judgement(Verdict.WAIT, tuple(missing))
