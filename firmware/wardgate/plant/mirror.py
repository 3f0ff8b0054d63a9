"""Shows the loss of link of one port on the other, so that a modality or a switch behind a dead cable knows. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from wardgate.policy.plant import Side

GRACE_SECONDS: Final = 5.0  # a port that was put up takes its time to agree with its other end


class Act(NamedTuple):
    """Put the port of `side` up or down, because of the other one."""

    side: Side
    up: bool


class Mirror:
    """At most one port is held down, and only the other one's link is then believed."""

    def __init__(self, now: float) -> None:
        self.held: Side | None = None
        self._judge_from = now + GRACE_SECONDS

    def step(self, modality: bool, hospital: bool, now: float) -> Act | None:
        """Return what to do, given which port has a link."""
        links = {Side.MODALITY: modality, Side.HOSPITAL: hospital}
        if self.held is not None:
            if not links[other(self.held)]:
                return None
            side, self.held = self.held, None
            self._judge_from = now + GRACE_SECONDS
            return Act(side, True)
        if now < self._judge_from or modality == hospital:
            return None
        self.held = Side.HOSPITAL if hospital else Side.MODALITY
        return Act(self.held, False)


def other(side: Side) -> Side:
    """Return the other port."""
    return Side.HOSPITAL if side is Side.MODALITY else Side.MODALITY
