"""What the box answers as Storage SCP (PS3.4 B.2, PS3.7 9.1.1, 9.1.5): a command set in, a verdict out. Sans-IO."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from wardgate.dimse.build import response
from wardgate.dimse.command import Command, CommandField, parse
from wardgate.hold.header import MAX_COMMAND

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700  # PS3.4 B.2.3: refused, out of resources
CANNOT_UNDERSTAND: Final = 0xC000  # PS3.4 B.2.3
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122  # PS3.7 C.5.6
UNRECOGNIZED_OPERATION: Final = 0x0211  # PS3.7 C.5.21
_ECHO_RQ: Final = int(CommandField.C_ECHO_RQ)
_STORE_RQ: Final = int(CommandField.C_STORE_RQ)


class What(Enum):
    """What is to be done with a command."""

    STORE = "store"  # keep the data set, then answer
    ANSWER = "answer"  # `reply` says it; a data set that comes is thrown away
    REFUSE = "refuse"  # as ANSWER, and it is worth a line in the log
    NOTHING = "nothing"  # a C-CANCEL, or a response that nothing waits for


class Verdict(NamedTuple):
    """What to do. `reply`: the command set of the response, empty for STORE and NOTHING."""

    what: What
    command: Command
    reply: bytes = b""


def judge(abstract_syntax: str, raw: bytes | bytearray) -> Verdict:
    """Judge a whole command set on a context of `abstract_syntax`. Raises `CommandError`."""
    command = parse(raw)
    if command.is_response or command.is_cancel:
        return Verdict(What.NOTHING, command)
    if command.command_field == _ECHO_RQ:
        return Verdict(What.ANSWER, command, response(command, SUCCESS))
    if command.command_field != _STORE_RQ:
        return Verdict(What.REFUSE, command, response(command, UNRECOGNIZED_OPERATION))
    if command.sop_class != abstract_syntax:  # PS3.7 9.3.1: the class of the request is that of the context
        return Verdict(What.REFUSE, command, response(command, SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the context"))
    if len(raw) > MAX_COMMAND:
        return Verdict(What.REFUSE, command, response(command, CANNOT_UNDERSTAND, "command set too long to hold"))
    return Verdict(What.STORE, command)


def stored(command: Command) -> bytes:
    """Return the response that says: kept, and its record too."""
    return response(command, SUCCESS)


def no_room(command: Command, comment: str) -> bytes:
    """Return the response that says: not kept, try again later."""
    return response(command, OUT_OF_RESOURCES, comment)
