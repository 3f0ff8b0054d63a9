"""What an update server has still to be told: how the update that it brought ended. Kept on the state partition until it knows. Sans-IO."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Final, NamedTuple

MAX_BYTES: Final = 4096
MAX_DETAIL: Final = 400
DIGEST: Final = re.compile(r"[0-9a-f]{40}")
_VERSION: Final = re.compile(r"[0-9.]{1,64}")


class Ending(Enum):
    """How an update ended."""

    GOOD = "good"
    ROLLED_BACK = "rolled back"


class Owed(NamedTuple):
    """One ending. `bundle`: the SHA-1 by which hawkBit names what it brought, hex; it identifies and proves nothing."""

    bundle: str
    version: str
    ending: Ending
    detail: str = ""


class OwedError(ValueError):
    """The file does not say what is owed."""


def write(owed: Owed) -> bytes:
    """Return it as a file."""
    table = {"v": 1, **owed._asdict(), "ending": owed.ending.value, "detail": owed.detail[:MAX_DETAIL]}
    return json.dumps(table).encode("ascii") + b"\n"


def read(data: bytes) -> Owed:
    """Return what is owed. Raises `OwedError`."""
    try:
        table = json.loads(data[:MAX_BYTES].decode("ascii"))
        if not isinstance(table, dict) or table.get("v") != 1:
            raise OwedError("not of version 1")
        texts = [table[word] for word in ("bundle", "version", "detail")]
        if not all(isinstance(text, str) for text in texts):
            raise OwedError("words that are no text")
        bundle, version, detail = texts
        if not (DIGEST.fullmatch(bundle) and _VERSION.fullmatch(version) and len(detail) <= MAX_DETAIL):
            raise OwedError("words that cannot be")
        return Owed(bundle, version, Ending(table["ending"]), detail)
    except (KeyError, ValueError, RecursionError) as error:
        raise error if isinstance(error, OwedError) else OwedError(str(error)) from error
