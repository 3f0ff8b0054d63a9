"""The words of `wardgate update`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final, TextIO

from wardgate.codes import Code
from wardgate.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.policy.model import Config
    from wardgate.update.box import Box
    from wardgate.update.judge import Seen

USAGE: Final = """\
usage: wardgate update FILE -c CONFIG [--only-newer]  install a bundle into the other slot; it is on trial from the next start on
       wardgate update before:VERSION|over:VERSION|after:VERSION[:SHA1] -c CONFIG  what RAUC's handlers ask, whoever asked RAUC
       wardgate update server -c CONFIG   tell the update server how its update ended, make the configuration of its client
       wardgate update restart -c CONFIG  wait until the box may start into what a server brought
       wardgate update judge -c CONFIG    at each start: judge a slot on trial, mark it; exit status 3: start again
       wardgate update whole -c CONFIG    check the custody log whole, as after an update
       wardgate update status -c CONFIG   which slot runs, what is on trial, formats of the box's own files
"""
START_AGAIN: Final = 3


def main(words: list[str], out: TextIO, err: TextIO) -> int:
    """Run one command; return its exit status: 0 good, 1 refused or failed, 2 wrongly called, 3 the box has to start again."""
    only_newer = "--only-newer" in words[3:]
    if len(words) != 3 + only_newer or words[1] not in ("-c", "--config"):
        err.write(USAGE)
        return 0 if words == ["help"] else 2
    from wardgate.policy.mistakes import ConfigErrors
    from wardgate.update.box import Box, RaucError
    from wardgate.update.installing import Refused

    what, path = words[0], words[2]
    log = Log("update")
    box = Box(log)
    try:
        if what == "judge":
            return _judge(box, path, log)
        if what == "whole":
            return _whole(box, path, log)
        if what == "status":
            return _status(box, out)
        if what == "server":
            return _server(box, path, log)
        if what == "restart":
            return _restart(path, log)
        if what.startswith(("before:", "over:", "after:")):
            return _handler(box, path, what, log)
        return _install(box, path, what, log, out, only_newer)
    except ConfigErrors as errors:
        err.write(f"{errors}\n")
    except Refused as error:
        log.event(error.code, detail=error)
    except (RaucError, OSError) as error:
        log.event(Code.UPDATE_FAILED, detail=error)
    if what == "judge":  # a slot that was good before is not left because RAUC or the disk fails; one on trial is
        return START_AGAIN if box.is_on_trial() else 0
    return 1


def looking(config: Config, log: Log) -> Callable[[], Seen]:
    """Return what looks at what works, and says what is malformed in the gateway's status: each thing once, as the judge looks often."""
    from wardgate.update import probes

    told: set[str] = set()

    def look() -> Seen:
        seen = probes.look(config)
        for what in (one for one in seen.malformed if one not in told):
            log.event(Code.UPDATE_STATUS_MALFORMED, detail=what)
        told.update(seen.malformed)
        return seen

    return look


def _install(box: Box, path: str, file: str, log: Log, out: TextIO, only_newer: bool) -> int:
    from wardgate.policy import load
    from wardgate.update.installing import install

    config: Config = load(path, check_files=False)
    trial = install(box, config, file, log, looking(config, log), only_newer=only_newer)
    out.write(f"version {trial.new.version} is in slot {trial.new.slot}; start the box again to try it\n")
    return 0


def _handler(box: Box, path: str, what: str, log: Log) -> int:
    from wardgate.policy import load
    from wardgate.update.installing import Refused, after, before
    from wardgate.update.owed import DIGEST
    from wardgate.update.watching import until_over

    config: Config = load(path, check_files=False)
    when, version, fetched = [*what.split(":"), ""][:3]
    if when == "before":
        before(box, config, version, looking(config, log), only_newer=True)
    elif when == "over":
        until_over(box, config, log, version)
    else:
        if fetched and not DIGEST.fullmatch(fetched):
            raise Refused(Code.UPDATE_FAILED, "the handler's digest is none")
        after(box, config, log, version, fetched)
    return 0


def _server(box: Box, path: str, log: Log) -> int:
    from wardgate.policy import load
    from wardgate.update.reporting import begin

    begin(box, load(path, check_files=False), log)
    return 0


def _restart(path: str, log: Log) -> int:
    from wardgate.policy import load
    from wardgate.update import restarting

    config: Config = load(path, check_files=False)
    restarting.wait(config, log, lambda: restarting.running(str(config.box.run_dir)))
    return 0


def _judge(box: Box, path: str, log: Log) -> int:
    from wardgate.policy import load
    from wardgate.policy.mistakes import ConfigErrors
    from wardgate.update.judge import Seen
    from wardgate.update.judging import Result, after_start
    from wardgate.update.probes import migrations

    config: Config | None = None
    try:
        config = load(path, check_files=False)
    except ConfigErrors as errors:
        log.event(Code.UPDATE_CONFIG, detail=errors)
    judged = after_start(box, config, log, looking(config, log) if config is not None else lambda: Seen(migrations(), None))
    if judged is Result.START_AGAIN:
        return START_AGAIN
    if config is not None and box.whole_wanted():
        # In a process that this one leaves behind: it may take hours, and who waits for the judge has a limit. What a restart cuts short is
        # begun again here.
        subprocess.Popen([sys.executable, "-P", "-m", "wardgate", "update", "whole", "-c", path], stdin=subprocess.DEVNULL)
    return 0


def _whole(box: Box, path: str, log: Log) -> int:
    from wardgate.policy import load
    from wardgate.update.whole import check_whole

    if not check_whole(str(load(path, check_files=False).custody.log), log):
        return 1
    box.whole_found()
    return 0


def _status(box: Box, out: TextIO) -> int:
    from wardgate.migration import shown
    from wardgate.migration.areas import Area
    from wardgate.update.installing import running
    from wardgate.update.trial import TrialError

    side = running(box)
    out.write(f"slot {side.slot}, version {side.version}\n")
    out.writelines(f"{shown.line(area)}\n" for area in Area)
    try:
        trial = box.trial()
    except TrialError as error:
        out.write(f"a trial that cannot be read: {error}\n")
        return 1
    if trial is not None:
        out.write(
            f"{trial.phase.value}: version {trial.new.version} in slot {trial.new.slot}, from {trial.old.version} in {trial.old.slot}\n"
        )
        out.write(f"worked before: {' '.join(sorted(trial.worked)) or 'nothing'}\n")
        if trial.missing:
            out.write(f"missing after: {' '.join(trial.missing)}\n")
    if version := box.whole_wanted():
        out.write(f"custody log: still to be checked whole, since version {version}\n")
    return 0
