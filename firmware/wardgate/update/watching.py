"""Waits until RAUC has ended an install that asked its handler: RAUC tells no handler that it failed.

After the handler it judges board and least version, and may find no room or a damaged payload, or die. A trial that stayed would be told as
interrupted at the next start. One that was cut off by that start is: nobody is here then to put it aside.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.update.box import Box, RaucError
from wardgate.update.installing import failed
from wardgate.update.trial import Phase, TrialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.log import Log
    from wardgate.policy.model import Config

LIMIT_SECONDS: Final = 2100.0  # more than `wardgate update` gives RAUC; less than the unit gives this
_PAUSE_SECONDS: Final = 2.0


def until_over(box: Box, config: Config, log: Log, named: str, pause: Callable[[float], None] = time.sleep) -> None:
    """Wait for the end of the install of version `named`. Raises `OSError`."""
    try:
        begun = box.trial()
    except TrialError:
        return  # the next start says so
    if begun is None or begun.phase is not Phase.INSTALLING or begun.boot != box.boot() or begun.new.version != named:
        return  # over already, or another's
    deadline = time.monotonic() + LIMIT_SECONDS
    while not box.is_idle():
        if time.monotonic() > deadline:
            log.event(Code.UPDATE_FAILED, detail=f"RAUC did not end the install of {named} in {LIMIT_SECONDS:.0f} s")
            return
        pause(_PAUSE_SECONDS)
    try:
        if box.trial() != begun:
            return  # written, or looked at anew
    except TrialError:
        return
    try:
        why = box.last_error()
    except RaucError as error:
        why = str(error)
    why = why or "RAUC ended without it"
    if failed(box, config, begun, why):
        log.event(Code.UPDATE_REFUSED, slot=begun.new.slot, version=named, detail=why)
