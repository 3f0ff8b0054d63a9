"""What goes wrong with keys, as one exception with a code of the table. A leaf: callers of the service import it too."""

from __future__ import annotations

from wardgate.codes import Code


class KeyServiceError(Exception):
    """A key could not be used. `code` says what happened and what to do, `detail` adds what is known about this case."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(f"{code} {code.value.sentence}{': ' if detail else ''}{detail}")
        self.code = code
        self.detail = detail


def code_of(number: int) -> Code:
    """Return the code of a status number; a number that this version does not know becomes `KEYS_WIRE`."""
    return Code.numbered(number) or Code.KEYS_WIRE
