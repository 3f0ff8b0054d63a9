"""While no session of a peer is known one handshake goes first, and those that come meanwhile wait for the session that it brings.

Twenty associations at once then cost one signature and not twenty: with a card that signs in 0.3 s that is six seconds less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wardgate.relay.loop import Loop
    from wardgate.relay.secure import SecureParty
    from wardgate.transport.channel import Channel

WAIT_SECONDS: Final = 1.0  # for the first; then everybody goes on alone
ALONE_SECONDS: Final = 600.0  # nobody waits for a peer that gave no session, or not in time


class FirstHandshake:
    """Who goes first with one peer, and who waits. Every call is on the loop's thread."""

    __slots__ = ("_alone_until", "_first", "_waiting")

    def __init__(self) -> None:
        self._first: Turn | None = None
        self._waiting: list[Callable[[], None]] = []
        self._alone_until = 0.0

    def ask(self, loop: Loop, secure: SecureParty, go: Callable[[], None]) -> Turn | None:
        """Call `go` at once, or when the first is done. Who goes first gets a turn, which must be over some time."""
        if loop.now < self._alone_until or not secure.may_get_session():
            go()
        elif self._first is not None:
            self._waiting.append(go)
        else:
            first = self._first = Turn(loop, self, secure)
            loop.at(WAIT_SECONDS, first.too_long)
            go()
            return first
        return None

    def done(self, turn: Turn, loop: Loop, alone: bool) -> None:
        """Those that wait for `turn` go on; `alone`: the peer gives no session, or not in time."""
        if turn is not self._first:
            return
        self._first = None
        if alone:
            self._alone_until = loop.now + ALONE_SECONDS
        waiting, self._waiting = self._waiting, []
        for go in waiting:
            loop.soon(go)


class Turn:
    """The handshake that goes first."""

    __slots__ = ("_loop", "_of", "_secure")

    def __init__(self, loop: Loop, of: FirstHandshake, secure: SecureParty) -> None:
        self._loop = loop
        self._of = of
        self._secure = secure

    def over(self, channel: Channel | None) -> None:
        """The peer's first answer was opened, and with it the ticket that came before it (RFC 8446 4.6.1); `None`: there was none."""
        if channel is not None:
            self._secure.remember(channel)
        self._of.done(self, self._loop, alone=channel is not None and self._secure.may_get_session())

    def too_long(self) -> None:
        """`WAIT_SECONDS` have passed."""
        self._of.done(self, self._loop, alone=True)
