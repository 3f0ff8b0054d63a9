"""`wardgate state ...`: verify the state partition, keep an event for the log, show the named states. Units run it too."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.provision import floor, kept, standing, state
from wardgate.provision.due import FOLDER
from wardgate.provision.kept import BoxEvent, KeptFull


def main(words: Sequence[str]) -> int:
    """Run one; return its exit status: 0 good, 1 refused, 2 wrongly called."""
    parser = argparse.ArgumentParser(prog="wardgate state", description="the state partition of this box")
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="hold the state against its signature; the unit wardgate-state runs it at start")
    verify.add_argument("--anchors", default=state.ANCHORS, help="vkeys that may sign, one a line (in the read-only root)")
    verify.add_argument("--quiet", action="store_true", help="say it to the log only")
    commands.add_parser("show", help="the named states that hold now")
    keep = commands.add_parser("keep", help="keep an event for the custody log until it can take it")
    keep.add_argument("event", choices=[event.value for event in BoxEvent])
    keep.add_argument("--code", default="", help="WGnnn")
    keep.add_argument("--detail", default="")
    keep.add_argument("--once", action="store_true", help="not when one of its kind waits already")
    for each in commands.choices.values():
        each.add_argument("--state", default=state.STATE, help="where the state partition is mounted")
    try:
        options = parser.parse_args(words)
    except SystemExit as end:
        return int(end.code or 0)
    if options.command == "verify":
        return _verify(options.state, options.anchors, options.quiet)
    if options.command == "show":
        found = standing.look(standing.Places(state=options.state))
        sys.stdout.writelines(f"{one.line}\n" for one in found)
        return 1 if found else 0
    event = BoxEvent(options.event)
    if options.once and kept.has(options.state, event):
        return 0
    return _keep(options.state, event, options.code, options.detail)


def _verify(root: str, anchors: str, quiet: bool) -> int:
    log = Log("state")
    _look_at_clock(root, log)
    try:
        keys = state.read_anchors(anchors)
        if not keys:
            log.event(Code.STATE_NO_ANCHOR, detail=anchors)
            standing.say("state", True, f"{Code.STATE_NO_ANCHOR} {Code.STATE_NO_ANCHOR.value.sentence}", signed=False)
            return 0
        before = floor.seen_number(root)
        manifest = state.verify(root, keys, before)
    except state.StateRefused as refused:
        log.event(refused.code, detail=refused.detail)
        standing.say("state", False, str(refused))
        _remember(root, log, BoxEvent.STATE_REFUSED, refused.code, refused.detail)
        return 1
    try:
        floor.keep_signed(root, manifest.signed, manifest.number)
    except OSError as error:
        log.event(Code.STATE_NUMBER_NOT_KEPT, detail=error)
    if manifest.number != before:
        _remember(root, log, BoxEvent.STATE_CHANGED, Code.STATE_HOLDS, f"number {manifest.number}, before {before}")
    log.event(Code.STATE_HOLDS, number=manifest.number, files=len(manifest.files))
    standing.say("state", True, number=manifest.number, signed=True)
    if not quiet:
        sys.stdout.write(f"state {manifest.number}: {len(manifest.files)} files as signed\n")
    return 0


def _look_at_clock(root: str, log: Log) -> None:
    found, now = floor.read_floor(root), time.time()
    if found.is_above(now):
        log.event(Code.CLOCK_BELOW_FLOOR, detail=floor.shown(found, now))
        _remember(root, log, BoxEvent.CLOCK_BELOW_FLOOR, Code.CLOCK_BELOW_FLOOR, floor.shown(found, now))


def _remember(root: str, log: Log, event: BoxEvent, code: Code, detail: str) -> None:
    """For the custody log; a box without the folder (no image) keeps nothing."""
    if not os.path.isdir(os.path.join(root, FOLDER)):
        return
    try:
        kept.keep(root, event, str(code), detail)
    except (KeptFull, OSError) as error:
        log.event(Code.KEPT_NO_ROOM, detail=error)


def _keep(root: str, event: BoxEvent, code: str, detail: str) -> int:
    try:
        kept.keep(root, event, code, detail)
    except (KeptFull, OSError, ValueError) as error:
        sys.stderr.write(f"{Code.KEPT_NO_ROOM} {Code.KEPT_NO_ROOM.value.sentence}: {error}\n")
        return 1
    return 0
