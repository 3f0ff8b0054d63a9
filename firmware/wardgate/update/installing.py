"""`wardgate update FILE`: looks at what works, has RAUC write the other slot, keeps what worked for the judge of the new slot."""

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
    old = running(box)
    try:
        bundle = box.bundle(path)
    except RaucError as error:
        raise Refused(Code.UPDATE_REFUSED, str(error)) from error
    try:
        older = version.is_older(bundle.version, old.version)
    except ValueError as error:
        raise Refused(Code.UPDATE_REFUSED, str(error)) from error
    new = Side(OTHER[old.slot], bundle.version)
    if older:
        box.record(config, "refused", old, new, Code.UPDATE_OLDER)
        raise Refused(Code.UPDATE_OLDER, f"{bundle.version} is before {old.version}")
    if only_newer and (not version.is_older(old.version, bundle.version) or bundle.version == box.rolled_back()):
        raise Refused(Code.UPDATE_NOT_NEWER, f"{bundle.version}; {old.version} runs, rolled back was {box.rolled_back() or 'none'}")
    try:
        kept = box.trial()
    except TrialError:
        kept = None
    if situation(kept, old.slot, box.boot()) is Situation.ON_TRIAL:
        raise Refused(Code.UPDATE_ON_TRIAL, f"slot {old.slot} is not marked good yet")
    seen = look()
    trial = Trial(Phase.INSTALLING, box.boot(), old, new, judge.worked(seen), seen.records or 0)
    box.keep(trial)
    try:
        box.install(path)
    except RaucError as error:
        box.forget()
        box.record(config, "refused", old, new, Code.UPDATE_REFUSED, str(error))
        raise Refused(Code.UPDATE_REFUSED, str(error)) from error
    trial = trial._replace(phase=Phase.INSTALLED)
    box.keep(trial)
    log.event(Code.UPDATE_INSTALLED, slot=new.slot, version=new.version, worked=" ".join(sorted(trial.worked)))
    box.record(config, "installed", old, new, Code.UPDATE_INSTALLED, " ".join(sorted(trial.worked)))
    return trial


def running(box: Box) -> Side:
    """Return the slot and version that run. Raises `Refused`."""
    try:
        return Side(box.slot(), box.version())
    except (LookupError, OSError) as error:
        raise Refused(Code.UPDATE_NO_SLOT, str(error)) from error
