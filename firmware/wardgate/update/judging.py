"""What the box does with a trial when it has started: judge the new slot and mark it, or say what became of it when the old one is back."""

from __future__ import annotations

import time
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.update.box import Box, RaucError
from wardgate.update.grubenv import TRIES
from wardgate.update.installing import running
from wardgate.update.judge import SERVICE, Verdict, judge
from wardgate.update.owed import Ending, Owed
from wardgate.update.trial import Phase, Side, Situation, Trial, TrialError, situation

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.log import Log
    from wardgate.policy.model import Config
    from wardgate.update.judge import Seen

_PAUSE_SECONDS: Final = 3.0
_BAD_AT_MOST: Final = TRIES  # as often it may come again because it could not be marked (`grubenv`, U-Boot's environment)
UNREADABLE: Final = "unknown"  # the start of a trial that cannot be read


class Result(Enum):
    """What follows for the box."""

    STAYS = "stays"
    NEWLY_GOOD = "newly good"
    START_AGAIN = "start again"  # into the other slot


def after_start(box: Box, config: Config | None, log: Log, look: Callable[[], Seen]) -> Result:
    """Judge or conclude. Raises `Refused`, `RaucError`, `OSError`.

    `config`: None when the new version cannot read it; then nothing can work.
    """
    side = running(box)
    try:
        trial = _kept(box, side)
    except TrialError as error:
        log.event(Code.UPDATE_TRIAL_DAMAGED, detail=error)
        trial = Trial(Phase.INSTALLED, UNREADABLE, side, side, frozenset({SERVICE}))
    match situation(trial, side.slot, box.boot()):
        case Situation.NONE:
            box.mark(good=True)
        case Situation.NOT_STARTED:
            pass
        case Situation.ON_TRIAL | Situation.UNPROVEN:
            assert trial is not None
            # RAUC may have left the slot to the version before, when it refused the one that was to be written over it.
            return _judge(box, config, log, look, trial._replace(new=side))
        case Situation.INTERRUPTED | Situation.ROLLED_BACK as which:
            assert trial is not None
            box.mark(good=True)
            _conclude(box, config, log, trial, which)
    return Result.STAYS


def _kept(box: Box, side: Side) -> Trial | None:
    """Return the trial that is kept. What was put aside is over at the next start, unless that is a start of the slot that it was for."""
    trial = box.trial()
    if trial is not None:
        return trial
    aside = box.aside()
    if aside is None or aside.boot == box.boot():
        return None
    if aside.new.slot == side.slot and box.take_back():
        return aside
    box.drop_aside()
    return None


def _judge(box: Box, config: Config | None, log: Log, look: Callable[[], Seen], trial: Trial) -> Result:
    patience_seconds = float(config.box.trial_seconds) if config is not None else 0.0
    # What it cannot read it cannot serve by.
    wanted = trial.worked if config is not None else trial.worked | {SERVICE}
    began = time.monotonic()
    while True:
        seen = look()
        waited = time.monotonic() - began
        judgement = judge(wanted, trial.records, seen, waited, patience_seconds)
        if judgement.verdict is not Verdict.WAIT:
            break
        time.sleep(_PAUSE_SECONDS)
    if judgement.verdict is Verdict.GOOD:
        box.mark(good=True)
        log.event(Code.UPDATE_GOOD, slot=trial.new.slot, version=trial.new.version, seconds=int(waited))
        _record(box, config, "good", trial, Code.UPDATE_GOOD)
        _end(box, log, trial)
        return Result.NEWLY_GOOD
    if judgement.verdict is Verdict.UNPROVEN:
        return _leave_open(box, config, log, trial)
    missing = " ".join(judgement.missing)
    if trial.bad >= _BAD_AT_MOST:
        return _no_way_back(box, config, log, trial, missing)
    log.event(Code.UPDATE_BAD, slot=trial.new.slot, version=trial.new.version, missing=missing)
    _tried(
        log, lambda: box.keep(trial._replace(phase=Phase.FAILED, missing=judgement.missing, bad=trial.bad + 1))
    )  # without room it is left all the same
    try:
        box.mark(good=False)
    except RaucError as error:  # the loader's tries run out by themselves
        log.event(Code.UPDATE_NOT_MARKED, detail=error)
    return Result.START_AGAIN


def _no_way_back(box: Box, config: Config | None, log: Log, trial: Trial, missing: str) -> Result:
    """The loader had every try, and brings this slot again: the other one does not start. Better without what is missing than a box that
    starts again for ever, serves nobody and lets no stick or server mend it."""
    box.mark(good=True)
    log.event(Code.UPDATE_NO_WAY_BACK, slot=trial.new.slot, version=trial.new.version, missing=missing)
    _record(box, config, "unproven", trial, Code.UPDATE_NO_WAY_BACK, f"missing: {missing}")
    _tried(log, lambda: _owe(box, trial, Ending.ROLLED_BACK, f"stays, as slot {trial.old.slot} does not start; missing: {missing}"))
    _tried(log, box.forget)
    return Result.STAYS


def _leave_open(box: Box, config: Config | None, log: Log, trial: Trial) -> Result:
    """The loader's tries must not run out while nobody opens the vault; the trial is kept, and judged again at the next start."""
    box.mark(good=True)
    log.event(Code.UPDATE_UNPROVEN, slot=trial.new.slot, version=trial.new.version)
    if trial.phase is not Phase.UNPROVEN:
        _record(box, config, "unproven", trial, Code.UPDATE_UNPROVEN)
        _tried(log, lambda: box.keep(trial._replace(phase=Phase.UNPROVEN)))
    return Result.STAYS


def _conclude(box: Box, config: Config | None, log: Log, trial: Trial, which: Situation) -> None:
    if which is Situation.INTERRUPTED:
        code, event, detail = Code.UPDATE_INTERRUPTED, "interrupted", ""
    else:
        code, event = Code.UPDATE_ROLLED_BACK, "rolled-back"
        detail = "missing: " + " ".join(trial.missing) if trial.missing else "the new slot did not start, or did not come so far"
        if put_back := box.put_back():
            detail = f"files put back: {put_back}; {detail}"
    log.event(code, slot=trial.new.slot, version=trial.new.version, detail=detail)
    # Before the trial is forgotten: a power cut in between would leave no record of it.
    _record(box, config, event, trial, code, detail)
    if which is Situation.ROLLED_BACK:
        # Without room for these the trial stays: what was rolled back must not be installed again by who only brings what is newer.
        box.remember_rolled_back(trial.new.version)
        _owe(box, trial, Ending.ROLLED_BACK, detail)
    box.forget()


def _end(box: Box, log: Log, trial: Trial) -> None:
    """Forget the trial of a slot that is marked good, when what outlives it is on the disk. A disk that takes nothing is told and sends no
    box back: the loader's tries began anew with the mark, so it would start again for ever."""
    left = [keep for keep in (lambda: box.want_whole(trial.new.version), lambda: _owe(box, trial, Ending.GOOD)) if not _tried(log, keep)]
    _tried(log, box.forget)
    for keep in left:
        _tried(log, keep)  # the trial that is gone has given its room back


def _tried(log: Log, keep: Callable[[], None]) -> bool:
    try:
        keep()
    except OSError as error:
        log.event(Code.UPDATE_FAILED, detail=error)
        return False
    return True


def _record(box: Box, config: Config | None, event: str, trial: Trial, code: Code, detail: str = "") -> None:
    """Record an end, once: who is cut off before the trial is forgotten comes here again, with the same id."""
    if config is not None:
        words = (event, trial.boot, *trial.old, *trial.new)
        # Trials that could not be read look all alike.
        ident = sha256("\n".join(words).encode("ascii", "replace")).digest()[:16] if trial.boot != UNREADABLE else None
        box.record(config, event, trial.old, trial.new, code, detail, ident)


def _owe(box: Box, trial: Trial, ending: Ending, detail: str = "") -> None:
    """Who brought it is told at the next start of the client, which may not begin before (`reporting`)."""
    if trial.fetched:
        box.owe(Owed(trial.fetched, trial.new.version, ending, detail))
