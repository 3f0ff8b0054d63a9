"""A contact that bounces."""

STILL = 50  # milliseconds that a level must stand


class Switch:
    """`level` is the one that stood last, None before any did."""

    def __init__(self) -> None:
        self.level: bool | None = None
        self._seen: bool | None = None
        self._since = 0

    def look(self, level: bool, now: int) -> bool:
        """Take the level that is read; tell whether `level` has changed."""
        if level != self._seen:
            self._seen, self._since = level, now
        if level == self.level or now - self._since < STILL:
            return False
        self.level = level
        return True
