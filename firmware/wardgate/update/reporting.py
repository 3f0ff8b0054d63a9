"""Before the client of an update server starts: the server is told how its last update ended, then the client gets its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.update import client
from wardgate.update.installing import Refused
from wardgate.update.owed import OwedError
from wardgate.update.server import Server, ServerAway, TokenError, read_token

if TYPE_CHECKING:
    from wardgate.log import Log
    from wardgate.policy.model import Config
    from wardgate.policy.updates import Updates
    from wardgate.update.box import Box


def begin(box: Box, config: Config, log: Log, folder: str = client.FOLDER) -> None:
    """Report and give, or take back where there is no server or a slot waits for its trial. Raises `Refused`, `OSError`."""
    client.take_back(folder)
    updates = config.updates
    # The other slot is written, or this one not judged: the action on the server is open, and the client would install it again.
    if updates is None or box.is_any_trial():
        return
    try:
        token = read_token(updates)
    except TokenError as error:
        raise Refused(Code.UPDATE_TOKEN, str(error)) from error
    try:
        _report(box, Server(updates, token), updates, log)
    except ServerAway as error:
        raise Refused(Code.UPDATE_SERVER_AWAY, str(error)) from error
    try:
        client.give(updates, token, box.board(), box.version(), folder)
    except LookupError as error:
        raise Refused(Code.UPDATE_NO_SLOT, str(error)) from error


def _report(box: Box, server: Server, updates: Updates, log: Log) -> None:
    try:
        owed = box.owed()
    except OwedError as error:
        log.event(Code.UPDATE_OWED_DAMAGED, detail=error)
        owed = None
    if owed is not None:
        action = server.open_action(owed.bundle)
        if action is not None:
            server.close(action, owed)
        asked = "told" if action is not None else "asks no more"
        log.event(Code.UPDATE_SERVER_TOLD, peer=updates.server.text, version=owed.version, ending=owed.ending.value, server=asked)
    box.paid()
