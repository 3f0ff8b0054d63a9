"""What happened while the vault was closed, kept on the state partition until the custody log can take it.

One file an event below `STATE/kept`, written durably, at most `MAX_KEPT`; whoever may write there may keep one. Each has an id of its own,
by which the custody writer knows one that is sent twice: an event stands in the log once. They are signed when the log is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from enum import Enum
from typing import Final, NamedTuple

from wardgate.custody.clock import kernel_quality
from wardgate.custody.event import event_record
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.custody.record import Quality, stamp
from wardgate.provision.due import FOLDER, LOST

BOX: Final = "box"  # the type of the record
MAX_KEPT: Final = 512  # the custody writer knows the ids of the last 1024 events and associations
_MAX_FILE: Final = 2048
_MAX_DETAIL: Final = 400
_NAME: Final = re.compile(r"[0-9]{20}-([0-9a-f]{32})\.json")
_CODE: Final = re.compile(r"(WG[0-9]{3})?")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z")


class BoxEvent(Enum):
    """What may be kept."""

    CARD_REMOVED = "card-removed"
    CARD_INSERTED = "card-inserted"
    UPDATE_INSTALLED = "update-installed"
    UPDATE_GOOD = "update-good"
    UPDATE_UNPROVEN = "update-unproven"
    UPDATE_ROLLED_BACK = "update-rolled-back"
    UPDATE_REFUSED = "update-refused"
    UPDATE_INTERRUPTED = "update-interrupted"
    CLOCK_BELOW_FLOOR = "clock-below-floor"
    CLOCK_SET = "clock-set"
    STATE_CHANGED = "state-changed"
    STATE_REFUSED = "state-refused"
    VAULT_MADE = "vault-made"
    VAULT_CLOSED = "vault-closed"
    FILES_PUT_BACK = "files-put-back"  # of a newer release that was left: docs/update.md
    SUPERVISOR_RESET = "supervisor-reset"
    SUPERVISOR_WITHHELD = "supervisor-withheld"  # a silent box was not reset any more
    BOX_OPENED = "box-opened"
    BOX_CLOSED = "box-closed"
    BUTTON_HELD = "button-held"
    EVENTS_LOST = "events-lost"  # the place was full: the detail says how many


class KeptFull(Exception):
    """As many events wait as may; this one is only counted."""


class Kept(NamedTuple):
    """One event that waits. `ident`: 16 bytes of its own; `record`: what the log takes; `happened_ns`: since 1970."""

    path: str
    ident: bytes
    record: bytes
    happened_ns: int
    event: BoxEvent
    code: str
    detail: str


def keep(
    state: str | os.PathLike[str],
    event: BoxEvent,
    code: str = "",
    detail: str = "",
    *,
    time_ns: int | None = None,
    quality: Quality | None = None,
    ident: bytes | None = None,
) -> str:
    """Keep one event; return its file. It is on disk when this returns. Raises `KeptFull`, `OSError`, `ValueError` (no code).

    `ident`: 16 bytes under which the writer may have taken it already.
    """
    folder = os.path.join(state, FOLDER)
    if not _CODE.fullmatch(code):
        raise ValueError(f"no code: {code[:20]!r}")
    moment = time.time_ns() if time_ns is None else time_ns
    fields = {"event": event.value, "happened": stamp(moment), "happened_quality": (quality or kernel_quality()).value}
    fields |= {"code": code, "detail": detail[:_MAX_DETAIL]}
    if len(_names(folder)) >= MAX_KEPT:
        _count_lost(folder)
        raise KeptFull(f"{MAX_KEPT} events wait in {folder}")
    path = os.path.join(folder, f"{max(moment, 0):020d}-{(ident or os.urandom(16)).hex()}.json")
    write_durably(path, json.dumps(fields).encode("ascii"))
    os.chmod(path, 0o644)  # whoever wrote it, the gateway reads it: there is no secret in it
    sync_directory(folder)
    return path


def waiting(state: str | os.PathLike[str], box: str, now_ns: int, quality: Quality) -> list[Kept]:
    """Return what waits, oldest first, as records of now. What cannot be read is recorded as lost, in its place. Raises `OSError`."""
    folder = os.path.join(state, FOLDER)
    found = []
    for name in _names(folder):
        path, ident = os.path.join(folder, name), bytes.fromhex(name[21:53])
        try:
            fields = _fields(read_file(path, _MAX_FILE))
        except (OSError, ValueError, RecursionError) as error:
            fields = {"event": BoxEvent.EVENTS_LOST.value, "happened": stamp(0), "happened_quality": Quality.UNKNOWN.value}
            fields |= {"code": "", "detail": f"one cannot be read: {type(error).__name__}"}
        record = event_record(BOX, now_ns, quality, {"box": box[:96], "id": ident.hex(), **fields})
        found.append(Kept(path, ident, record, int(name[:20]), BoxEvent(fields["event"]), fields["code"], fields["detail"]))
    return found


def has(state: str | os.PathLike[str], event: BoxEvent) -> bool:
    """Does one of this kind wait?"""
    return any(one.event is event for one in waiting(state, "", 0, Quality.UNKNOWN))


def done(event: Kept) -> None:
    """The log has it. Raises `OSError`."""
    os.unlink(event.path)
    sync_directory(os.path.dirname(event.path))


def tell_lost(state: str | os.PathLike[str]) -> None:
    """When events were lost and there is room again, keep one that says how many. Raises `OSError`."""
    folder = os.path.join(state, FOLDER)
    path = os.path.join(folder, LOST)
    try:
        count = int(read_file(path, 32))
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        count = 1
    try:
        keep(state, BoxEvent.EVENTS_LOST, "WG939", f"{count} events found no room")
    except KeptFull:
        return
    os.unlink(path)
    sync_directory(folder)


def _fields(data: bytes) -> dict[str, str]:
    fields = json.loads(data)
    if not isinstance(fields, dict) or list(fields) != ["event", "happened", "happened_quality", "code", "detail"]:
        raise ValueError("not a kept event")
    if not all(isinstance(value, str) for value in fields.values()) or not _TIME.fullmatch(fields["happened"]):
        raise ValueError("not a kept event")
    BoxEvent(fields["event"])
    Quality(fields["happened_quality"])
    if not _CODE.fullmatch(fields["code"]) or len(fields["detail"]) > _MAX_DETAIL:
        raise ValueError("not a kept event")
    return fields


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))[: MAX_KEPT + 1]
    except FileNotFoundError:
        return []


def _count_lost(folder: str) -> None:
    path = os.path.join(folder, LOST)
    try:
        before = int(read_file(path, 32))
    except (OSError, ValueError):
        before = 0
    with contextlib.suppress(OSError):  # another account's: it counts then
        write_durably(path, str(min(before + 1, 10**9)).encode())
        os.chmod(path, 0o644)
