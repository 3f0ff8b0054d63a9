"""Client sessions to resume: the latest of each party, with the chain seen at its full handshake. One cache a generation."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from typing import NamedTuple

from wardgate.transport.tls import TlsChannel

_BARREN_SECONDS = 30.0


class Kept(NamedTuple):
    """A session and the verified chain (DER, leaf first) of the full handshake that it stems from."""

    session: ssl.SSLSession
    chain: tuple[bytes, ...]
    context: ssl.SSLContext


class SessionCache:
    """The latest session of each key (link and party name), at most `maximum`; the longest unused goes first."""

    def __init__(self, maximum: int = 256) -> None:
        self._maximum = maximum
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._barren: dict[str, float] = {}  # peers that gave no session to resume, and until when they are not asked again

    def get(self, key: str, context: ssl.SSLContext) -> Kept | None:
        """Return what to resume for `key`, if it was made by `context`: sessions never cross a generation."""
        kept = self._kept.get(key)
        if kept is None or kept.context is not context:
            return None
        self._kept.move_to_end(key)
        return kept

    def fresh(self, key: str, context: ssl.SSLContext, now: float) -> bool:
        """Whether there is a session of `context` to resume that is not over at `now` (seconds since 1970)."""
        kept = self._kept.get(key)
        return kept is not None and kept.context is context and now < kept.session.time + _life(kept.session)

    def wants(self, key: str, context: ssl.SSLContext, channel: TlsChannel, now: float) -> bool:
        """Tell whether the session of `channel` is worth keeping: taking one out costs as much as the whole resumption.

        A ticket serves again until half its life is over (RFC 8446 C.4 advises against it for the privacy of clients that roam; a box
        that calls one PACS from one address has none to lose).
        """
        if now < self._barren.get(key, 0.0):
            return False
        kept = self._kept.get(key)
        if kept is None or kept.context is not context or not channel.resumed:
            self._barren[key] = now + _BARREN_SECONDS  # until `keep` finds one that can be resumed
            return True
        return now > kept.session.time + _life(kept.session) / 2

    def keep(self, key: str, context: ssl.SSLContext, channel: TlsChannel) -> None:
        """Keep the session of `channel` (of `context`) when it can be resumed. Call after data of the server was opened."""
        session = channel.session
        if session is None or not (session.has_ticket or session.id):
            return
        chain = tuple(channel.peer_chain)
        if channel.resumed or not chain:
            before = self.get(key, context)
            if before is None:
                return  # the chain of the full handshake is not known here: not worth a refusal later
            chain = before.chain
        self._barren.pop(key, None)
        self._kept[key] = Kept(session, chain, context)
        self._kept.move_to_end(key)
        while len(self._kept) > self._maximum:
            self._kept.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget `key`: its certificate was refused."""
        self._kept.pop(key, None)

    def drop_all(self) -> None:
        """Forget everything: keys, anchors or the token's state changed."""
        self._kept.clear()

    def __len__(self) -> int:
        """How many sessions are kept."""
        return len(self._kept)


def _life(session: ssl.SSLSession) -> int:
    """Return how many seconds from its beginning a session may be resumed."""
    return min(session.timeout, session.ticket_lifetime_hint or session.timeout)
