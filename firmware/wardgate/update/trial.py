"""The slot on trial: what is kept on the state partition from the install until the new slot is good, or the old one is back. Sans-IO."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any, Final, NamedTuple

MAX_BYTES: Final = 65536
MAX_CHECKS: Final = 256
MAX_BAD: Final = 1000
MAX_MISSING: Final = 64  # written; with MAX_CHECKS names of the longest kind the file is within MAX_BYTES
_WORD: Final = re.compile(r"[A-Za-z0-9_.:/+-]{1,160}")
_SLOT: Final = re.compile(r"[AB]")
_VERSION: Final = re.compile(r"[A-Za-z0-9.+~-]{1,64}")
_FETCHED: Final = re.compile(r"([0-9a-f]{40})?")


class Phase(Enum):
    """How far an update came."""

    INSTALLING = "installing"  # the other slot is being written
    INSTALLED = "installed"  # the loader prefers it
    FAILED = "failed"  # it was started and judged bad
    UNPROVEN = "unproven"  # it was started; nobody was served before it, and nobody is


class Situation(Enum):
    """What a box that has started, or is asked, makes of the trial that it finds."""

    NONE = "none"
    NOT_STARTED = "not started"  # the box has not been restarted since
    ON_TRIAL = "on trial"  # this is the new slot
    UNPROVEN = "unproven"  # this is the new slot, marked good; it is judged again at each start
    INTERRUPTED = "interrupted"  # the box went off while the other slot was written
    ROLLED_BACK = "rolled back"  # the new slot was installed, and this is the old one


class Side(NamedTuple):
    """A slot and the version in it."""

    slot: str
    version: str


class Trial(NamedTuple):
    """One update. `boot`: the kernel's id of the start in which it was installed; `worked`: what worked before, by name;
    `records`: how long the custody log was then; `missing`: what the judge missed; `fetched`: see `owed.Owed.bundle`; `bad`: how
    often the new slot was judged bad."""

    phase: Phase
    boot: str
    old: Side
    new: Side
    worked: frozenset[str]
    records: int = 0
    missing: tuple[str, ...] = ()
    fetched: str = ""
    bad: int = 0


class TrialError(ValueError):
    """The file is not a trial."""


def situation(trial: Trial | None, slot: str, boot: str) -> Situation:
    """Return what the trial means to a box that runs from `slot` since the start `boot`."""
    if trial is None:
        return Situation.NONE
    if slot == trial.new.slot:
        return Situation.UNPROVEN if trial.phase is Phase.UNPROVEN else Situation.ON_TRIAL
    if boot == trial.boot:
        return Situation.NOT_STARTED
    return Situation.INTERRUPTED if trial.phase is Phase.INSTALLING else Situation.ROLLED_BACK


def write(trial: Trial) -> bytes:
    """Return the trial as a file that `read` takes: of more than MAX_CHECKS checks the box's own and its tokens, then peers by name.

    A box with so many peers is judged by these; a file that could not be read again would let no update end.
    """
    worked = sorted(sorted(trial.worked, key=lambda name: (name.startswith("peer:"), name))[:MAX_CHECKS])
    table = {
        "v": 1,
        "phase": trial.phase.value,
        "boot": trial.boot,
        "old": list(trial.old),
        "new": list(trial.new),
        "worked": worked,
        "records": trial.records,
        "missing": list(trial.missing[:MAX_MISSING]),
        "fetched": trial.fetched,
        "bad": trial.bad,
    }
    return json.dumps(table, indent=1).encode("ascii") + b"\n"


def read(data: bytes) -> Trial:
    """Return the trial in a file. Raises `TrialError`."""
    try:
        table = json.loads(data[:MAX_BYTES].decode("ascii"))
        if not isinstance(table, dict) or table.get("v") != 1 or type(table.get("records")) is not int or table["records"] < 0:
            raise TrialError("not a trial of version 1")
        bad = table.get("bad", 0)  # releases before 0.3 wrote none, and skip it
        if type(bad) is not int or not 0 <= bad <= MAX_BAD:
            raise TrialError("a count that cannot be")
        return Trial(
            Phase(table["phase"]),
            _text(_WORD, table["boot"]),
            _side(table["old"]),
            _side(table["new"]),
            frozenset(_words(table["worked"])),
            table["records"],
            tuple(_words(table["missing"])),
            _text(_FETCHED, table.get("fetched", "")),  # releases before 0.2 wrote none
            bad,
        )
    except (KeyError, ValueError, RecursionError) as error:
        raise error if isinstance(error, TrialError) else TrialError(f"not a trial: {error}") from error


def _side(value: Any) -> Side:
    if not isinstance(value, list) or len(value) != 2:
        raise TrialError("a slot and its version")
    return Side(_text(_SLOT, value[0]), _text(_VERSION, value[1]))


def _words(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_CHECKS:
        raise TrialError(f"a list of at most {MAX_CHECKS} names")
    return [_text(_WORD, word) for word in value]


def _text(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise TrialError("a word that is none")
    return value
