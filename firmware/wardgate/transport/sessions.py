"""Client sessions to resume: the latest of each party, with the chain seen at its full handshake. One cache a generation."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from typing import NamedTuple

from wardgate.transport.tls import TlsChannel


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

    def get(self, key: str, context: ssl.SSLContext) -> Kept | None:
        """Return what to resume for `key`, if it was made by `context`: sessions never cross a generation."""
        kept = self._kept.get(key)
        if kept is None or kept.context is not context:
            return None
        self._kept.move_to_end(key)
        return kept

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
