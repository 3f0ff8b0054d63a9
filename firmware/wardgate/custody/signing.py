"""Can checkpoints be signed? What the master says of the token, and what the last attempt gave. Sans-IO."""

from __future__ import annotations

from typing import Final

from wardgate.custody.logkey import SignerAway

_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 30.0


class Signing:
    """Is out from the first word or failure until a checkpoint has been signed; `code` and `detail` say why."""

    def __init__(self) -> None:
        self.told = False  # the master said that the token is out: no attempt until it says otherwise
        self.code = ""
        self.detail = ""
        self.since = 0.0  # UTC seconds
        self._failures = 0

    @property
    def is_out(self) -> bool:
        """Is the log growing without signatures?"""
        return bool(self.code)

    def tell(self, reason: tuple[str, str] | None, now: float) -> None:
        """The master says that the token cannot be used (code, detail), or that it can again."""
        self.told = reason is not None
        if reason is not None:
            self._stop(*reason, now)
        self._failures = 0

    def failed(self, error: SignerAway, now: float) -> float:
        """An attempt failed for the token's sake; return the seconds to wait before the next one."""
        self._stop(error.code, error.detail, now)
        self._failures += 1
        return float(min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(self._failures - 1, 8)))

    def signed(self) -> bool:
        """A checkpoint was signed; return whether that ends a time without."""
        was_out = self.is_out
        self.code = self.detail = ""
        self.told = False
        self._failures = 0
        return was_out

    def _stop(self, code: str, detail: str, now: float) -> None:
        if not self.is_out:
            self.since = now
        self.code, self.detail = code, detail
