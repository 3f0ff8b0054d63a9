"""What goes wrong with a card, as one exception with a code of the table."""

from __future__ import annotations

from wardgate.codes import Code


class CardError(Exception):
    """A card or reader refused or failed. `status`: SW1-SW2 where the card said it. `tries`: what is left of a PIN, where known."""

    def __init__(self, code: Code, detail: str = "", *, status: int = 0, tries: int | None = None) -> None:
        super().__init__(f"{code} {code.value.sentence}{': ' if detail else ''}{detail}")
        self.code = code
        self.detail = detail
        self.status = status
        self.tries = tries
