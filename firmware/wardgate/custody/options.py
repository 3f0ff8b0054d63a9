"""The custody writer's command line, parsed by hand: the process is measured by its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from wardgate.custody.note import NoteError, check_name
from wardgate.token.naming import is_uri

MAX_UNSIGNED = 10_000_000
_MAX_UIDS = 16

USAGE = (
    "python -m wardgate.custody.writer --log DIR --socket PATH --origin NAME --key FILE|URI [--keys-socket PATH]"
    " [--durable group|none] [--checkpoint-seconds N] [--checkpoint-records N] [--unsigned-records N] [--reclaim-seconds N]"
    " [--control-fd N | --control PATH] [--uids N,N...] [--queue DIR] [--fresh]"
)


class UsageError(Exception):
    """The command line is wrong."""


class Options(NamedTuple):
    """What the writer was told."""

    log: str
    socket: str
    origin: str
    key: str
    durable: str = "group"
    checkpoint_seconds: float = 60.0
    checkpoint_records: int = 4096
    reclaim_seconds: float = 15.0
    control_fd: int = -1
    control: str = ""  # socket that the master calls, when the writer is not its child
    uids: tuple[int, ...] = ()  # accounts that may speak to it, beside its own and root
    fresh: bool = False
    keys_socket: str = ""
    unsigned_records: int = 100_000
    queue: str = ""  # of instances in hold, which may carry records that are not here


_NUMBERS: dict[str, Callable[[str], object]] = {
    **{"checkpoint_seconds": float, "checkpoint_records": int, "unsigned_records": int},
    **{"reclaim_seconds": float, "control_fd": int, "uids": lambda text: tuple(map(int, text.split(",")))},
}


def parse_options(arguments: Sequence[str]) -> Options:
    """Return the options. Raises `UsageError`."""
    found: dict[str, object] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, _, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in Options._fields or name in found:
            raise UsageError(f"{word!r} is not an option, or stands twice\n{USAGE}")
        if name == "fresh":
            found[name] = True
            continue
        if not value:
            if not rest:
                raise UsageError(f"{word} needs a value\n{USAGE}")
            value = rest.pop(0)
        try:
            found[name] = _NUMBERS[name](value) if name in _NUMBERS else value
        except ValueError:
            raise UsageError(f"{word}: {value!r} is no number\n{USAGE}") from None
    missing = [name for name in ("log", "socket", "origin", "key") if name not in found]
    if missing:
        raise UsageError(f"--{' --'.join(missing)} missing\n{USAGE}")
    if found.get("durable", "group") not in ("group", "none"):
        raise UsageError("--durable is group or none")
    options = Options(**found)  # type: ignore[arg-type]
    if not 0 < options.checkpoint_seconds <= 86400 or not 0 < options.checkpoint_records <= 1_000_000:
        raise UsageError("--checkpoint-seconds is 0 to 86400, --checkpoint-records 1 to 1000000")
    if not 0 < options.unsigned_records <= MAX_UNSIGNED:
        raise UsageError(f"--unsigned-records is 1 to {MAX_UNSIGNED}")
    if options.control and options.control_fd >= 0:
        raise UsageError("--control-fd or --control, not both")
    if len(options.uids) > _MAX_UIDS or any(uid < 0 for uid in options.uids):
        raise UsageError(f"--uids are at most {_MAX_UIDS} numbers from 0 up")
    if is_uri(options.key) and not options.keys_socket:
        raise UsageError("--keys-socket must be given with a key in a token")
    try:
        check_name(options.origin)
    except NoteError as error:
        raise UsageError(f"--origin: {error}") from error
    return options
