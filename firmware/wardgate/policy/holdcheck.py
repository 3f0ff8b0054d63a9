"""What `wardgate check` says of the queue: recovery keys that cannot be used are mistakes; what will bite later is a warning."""

from __future__ import annotations

import os

from wardgate.codes import Code
from wardgate.policy.keyref import TokenKey
from wardgate.policy.mistakes import Mistake
from wardgate.policy.model import Config


def check_hold(config: Config, mistakes: list[Mistake]) -> list[str]:
    """Add a mistake for every recovery key that is none; return warnings."""
    hold = config.hold
    if hold is None:
        return []
    from wardgate.hold.recovery import RecoveryError, read_public

    for index, path in enumerate(hold.recovery):
        try:
            read_public(path)
        except RecoveryError as error:
            mistakes.append(Mistake(f"hold.recovery[{index}]", "a P-256 or P-384 certificate or public key, PEM", str(error), error.code))
    warnings = []
    if isinstance(hold.key, TokenKey) and not hold.recovery:
        warnings.append(_said(Code.HOLD_NO_RECOVERY, "hold.recovery"))
    free = _free(hold.directory)
    if free is not None and free <= hold.keep_free_bytes:
        warnings.append(_said(Code.HOLD_KEEPS_ALL, f"hold.keep_free_bytes: {hold.keep_free_bytes}, free: {free}"))
    return warnings


def _said(code: Code, where: str) -> str:
    return f"{code} {where}: {code.value.sentence} -> {code.value.action}"


def _free(path: str | os.PathLike[str]) -> int | None:
    """Return the bytes free where the queue is, or will be made; None when that cannot be told."""
    try:
        there = path if os.path.exists(path) else os.path.dirname(path)
        info = os.statvfs(there)
    except OSError:
        return None
    return info.f_bavail * info.f_frsize
