"""An update: looks at what works, has RAUC write the other slot, keeps what worked for the judge of the new slot.

`install` is `wardgate update FILE`. `before` and `after` are what RAUC's handlers ask for whenever it installs, also when the client of an
update server told it to: what `install` has done already they leave alone. RAUC tells no handler that an install failed: `failed` is for
who waits for its end (`install`, `watching`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.update import judge, version
from wardgate.update.box import Box, RaucError
from wardgate.update.trial import Phase, Side, Situation, Trial, TrialError, situation

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.log import Log
    from wardgate.policy.model import Config
    from wardgate.update.judge import Seen

OTHER: Final = {"A": "B", "B": "A"}


class Refused(Exception):
    """No update now. `code` says why."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def install(box: Box, config: Config, path: str, log: Log, look: Callable[[], Seen], *, only_newer: bool = False) -> Trial:
    """Install the bundle at `path` into the other slot. Raises `Refused`, `OSError`.

    `only_newer`: what a stick brings that stays in must not be installed again at each start, nor what was rolled back.
    """
    try:
        bundle = box.bundle(path)
    except RaucError as error:
        raise Refused(Code.UPDATE_REFUSED, str(error)) from error
    trial = before(box, config, bundle.version, look, only_newer=only_newer)
    try:
        box.install(path)
    except RaucError as error:
        failed(box, config, trial, str(error))
        raise Refused(Code.UPDATE_REFUSED, str(error)) from error
    return after(box, config, log, bundle.version)


def before(box: Box, config: Config, named: str, look: Callable[[], Seen], *, only_newer: bool) -> Trial:
    """Judge whether version `named` may be installed now; keep and return what works. Raises `Refused`, `OSError`."""
    old = running(box)
    new = Side(OTHER[old.slot], named)
    try:
        older, newer = version.is_older(named, old.version), version.is_older(old.version, named)
    except ValueError as error:
        raise Refused(Code.UPDATE_REFUSED, str(error)) from error
    if older:
        box.record(config, "refused", old, new, Code.UPDATE_OLDER)
        raise Refused(Code.UPDATE_OLDER, f"{named} is before {old.version}")
    try:
        kept = box.trial()
    except TrialError:
        kept = None
    if kept is not None and kept.phase is Phase.INSTALLING and kept.boot == box.boot() and (kept.old, kept.new) == (old, new):
        return kept  # looked at in this start, for this version: `wardgate update` asks RAUC, whose handler asks again
    if only_newer and (not newer or named == box.rolled_back()):
        raise Refused(Code.UPDATE_NOT_NEWER, f"{named}; {old.version} runs, rolled back was {box.rolled_back() or 'none'}")
    if situation(kept, old.slot, box.boot()) is Situation.ON_TRIAL:
        raise Refused(Code.UPDATE_ON_TRIAL, f"slot {old.slot} is not marked good yet")
    seen = look()
    trial = Trial(Phase.INSTALLING, box.boot(), old, new, judge.worked(seen), seen.records or 0)
    box.keep(trial)
    return trial


def failed(box: Box, config: Config, trial: Trial, why: str) -> bool:
    """RAUC ended without the slot: the trial is none, the refusal is recorded, once; True for who did it. Raises `OSError`."""
    if not box.put_aside():
        return False
    box.record(config, "refused", trial.old, trial.new, Code.UPDATE_REFUSED, why)
    return True


def after(box: Box, config: Config, log: Log, named: str, fetched: str = "") -> Trial:
    """The other slot is written, with version `named`: tell and record it, once. Raises `Refused` when nothing was begun, `OSError`.

    `fetched`: SHA-1 of the bundle when a server brought it: the server is told how it ends.
    """
    try:
        trial = box.trial()
        if trial is None and box.take_back():  # given up while RAUC wrote: it is on trial all the same
            trial = box.trial()
    except TrialError as error:
        raise Refused(Code.UPDATE_TRIAL_DAMAGED, str(error)) from error
    if trial is None or trial.boot != box.boot():
        raise Refused(Code.UPDATE_FAILED, "a slot was written, and nothing was begun")
    if trial.phase is not Phase.INSTALLING:
        return trial
    # Of another version where somebody asked for that one meanwhile, and was turned away by RAUC.
    trial = trial._replace(phase=Phase.INSTALLED, fetched=fetched, new=Side(trial.new.slot, named))
    box.keep(trial)
    log.event(Code.UPDATE_INSTALLED, slot=trial.new.slot, version=trial.new.version, worked=" ".join(sorted(trial.worked)))
    box.record(config, "installed", trial.old, trial.new, Code.UPDATE_INSTALLED, " ".join(sorted(trial.worked)))
    return trial


def running(box: Box) -> Side:
    """Return the slot and version that run. Raises `Refused`."""
    try:
        return Side(box.slot(), box.version())
    except (LookupError, OSError) as error:
        raise Refused(Code.UPDATE_NO_SLOT, str(error)) from error
