"""The TLS side of a party as the relay uses it: contexts of this generation, sessions, and the judgement of every peer.

`Handshake` runs the handshake of one leg in the pool: a key in a card may take a second to sign, and nobody else may wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Union

from wardgate.codes import Code
from wardgate.policy.keyref import TokenKey
from wardgate.relay.first import FirstHandshake, Turn
from wardgate.relay.leg import Leg
from wardgate.relay.legstate import Pause, Side, State
from wardgate.transport.peer import TlsRole
from wardgate.transport.tls import TlsChannel

if TYPE_CHECKING:
    from wardgate.policy.model import Link, Party
    from wardgate.relay.gate import Gate
    from wardgate.relay.iscl import IsclParty
    from wardgate.relay.loop import Loop
    from wardgate.relay.threads import Pool
    from wardgate.relay.tokens import Out
    from wardgate.transport.channel import Channel
    from wardgate.transport.context import ProfiledContext, TlsContexts
    from wardgate.transport.crl import CrlStore
    from wardgate.transport.peer import PeerChecker, PeerIdentity
    from wardgate.transport.provider import Provider
    from wardgate.transport.sessions import SessionCache

Secured = Union["SecureParty", "IsclParty"]
_OF_ANOTHER: Final = (Code.CERTIFICATE_WRONG_ANCHOR, Code.RESUMED_UNKNOWN)  # what a party says of the certificate of another one


class SecureParty:
    """TLS with one party: `channel` for a new leg, `judge` after each handshake, `remember` for resumption.

    `out` says why it is not served: the token with its key is not there. Then it has no contexts. Each time it goes a new era begins.
    """

    def __init__(
        self,
        link: Link,
        party: Party,
        contexts: Callable[[], TlsContexts],
        checker: PeerChecker,
        crls: CrlStore,
        sessions: SessionCache,
        out: Out | None = None,
    ) -> None:
        """`contexts` makes new ones at each call. Raises what they raise, unless the party is out."""
        assert party.tls is not None
        self.tls = party.tls
        self.party = party
        self.checker = checker
        self.crls = crls
        self.user = f"{link.name}/{party.name}"
        self.out = out
        self.era = 0
        self.building = -1  # the era for which contexts are being built
        self.users = 0  # associations of the forwarder that need it now
        self._first = FirstHandshake()
        self._contexts = contexts
        self._sessions = sessions
        self._lock = threading.Lock()  # handshake threads share the checker's memory
        # Which token a handshake may have to wait for; None: its keys are here.
        tokens = sorted({pair.key.token for pair in party.tls.certificates if isinstance(pair.key, TokenKey)})
        self.token = " ".join(tokens) or None
        self._name = _server_name(party.tls.names)
        self._server: ProfiledContext | None = None
        self._client: ProfiledContext | None = None
        if out is None:
            self._server, self._client = self.build()

    def build(self) -> tuple[ProfiledContext | None, ProfiledContext | None]:
        """Return new contexts, server and client. May read files and ask the key service: not on the loop."""
        contexts = self._contexts()
        return contexts.server() if self.party.listen else None, contexts.client() if self.party.connect else None

    def withdraw(self, out: Out) -> None:
        """Serve no more: the contexts go, with them the keys of all tickets they gave, and every session kept."""
        if self.out is None:
            self._server = self._client = None
            self._sessions.drop_all()
        self.era += 1
        self.out = out

    def restore(self, server: ProfiledContext | None, client: ProfiledContext | None) -> None:
        """Serve again, with contexts that `build` made."""
        self._server, self._client = server, client
        self.out = None

    def server_channel(self, many: bool) -> TlsChannel:
        """Return the channel of a leg that called us; `many`: there are hundreds."""
        assert self._server is not None
        return TlsChannel(self._server, True, many=many)

    def client_channel(self, many: bool) -> tuple[TlsChannel, tuple[bytes, ...]]:
        """Return the channel of a leg that we open, and the chain of the session that it tries to resume; `many`: there are hundreds."""
        assert self._client is not None
        kept = self._sessions.get(self.user, self._client) if self.tls.session_resumption else None
        return TlsChannel(self._client, False, self._name, kept.session if kept else None, many), kept.chain if kept else ()

    def shake(self, loop: Loop, go: Callable[[], None]) -> Turn | None:
        """Call `go`, which begins the handshake of a leg that we open: now, or when another has brought a session to resume."""
        return self._first.ask(loop, self, go)

    def may_get_session(self) -> bool:
        """Is there nothing to resume now, and would the session of another handshake be resumed?"""
        return self.tls.session_resumption and self._client is not None and not self._sessions.fresh(self.user, self._client, time.time())

    def judge(self, channel: Channel, kept_chain: tuple[bytes, ...], role: TlsRole) -> PeerIdentity:
        """Judge the peer's certificate, also when the session was resumed. Raises `PeerRefused`. May parse: not on the loop."""
        assert isinstance(channel, TlsChannel)
        chain = channel.peer_chain
        leaf = chain[0] if chain else channel.peer_leaf
        with self._lock:
            return self.checker.check(leaf, chain or kept_chain, channel.resumed, time.time(), role)

    def remember(self, channel: Channel) -> None:
        """Keep the session of a leg that we opened, for the next association."""
        assert isinstance(channel, TlsChannel)
        if channel.context is not self._client or not self.tls.session_resumption:
            return  # its context is gone: the token was out meanwhile
        if self._sessions.wants(self.user, self._client, channel, time.time()):
            self._sessions.keep(self.user, self._client, channel)

    def forget(self) -> None:
        """Do not resume again: the peer was refused, or broke off."""
        self._sessions.drop(self.user)


def _server_name(names: tuple[str, ...]) -> bytes | None:
    """Return the name to ask for (RFC 6066 3), as on the wire: `ssl` would encode it again for every leg."""
    for name in filter(_is_dns, names):
        try:
            return name.encode("idna")
        except UnicodeError:
            continue  # no host can have it
    return None


def _is_dns(name: str) -> bool:
    return not name.replace(".", "").replace(":", "").isdigit() and ":" not in name and "*" not in name and "/" not in name


Done = Callable[["PeerIdentity | None", "Exception | None"], None]


class Handshake:
    """The handshake of one leg; `done(identity, error)` on the loop. Its steps run in the pool, one at a time."""

    def __init__(self, gate: Gate, leg: Leg, parties: list[Secured], kept_chain: tuple[bytes, ...], done: Done) -> None:
        """`parties`: who this may be, told by port and source address. The certificate must be good for one of them at least."""
        assert leg.channel is not None
        self._gate = gate
        self._leg = leg
        self._channel = leg.channel
        self._parties = parties
        self.passed: dict[Secured, PeerIdentity] = {}  # those that the certificate is good for, as each of them judges it
        self._kept_chain = kept_chain
        self._done = done
        self._role = TlsRole.CLIENT if leg.side is Side.ACCEPTOR else TlsRole.SERVER
        self._pool: Pool = gate.pool
        self._provider: Provider | None = None
        if parties[0].token is not None:  # until it is signed, it waits with those that wait for the same token
            self._pool = gate.pool.lane(parties[0].token)
            if parties[0].party.iscl is None:  # ISCL needs its token as long as it lives, TLS for one signature
                from wardgate.transport import provider

                self._provider = provider.loaded()

    def start(self) -> None:
        """Send the first flight of a client; it signs nothing and waits for nothing."""
        try:
            wire, _done = self._channel.step(None)
        except Exception as error:
            self._done(None, error)
            return
        self._leg.send_wire(wire)

    def feed(self, data: bytes) -> None:
        """Take wire bytes of the peer (empty: it closed)."""
        self._leg.pause(Pause.WORK)
        self._pool.submit(lambda: self._step(data), self._stepped)

    def _step(self, data: bytes) -> tuple[bytes, PeerIdentity | None, Exception | None]:
        if self._leg.state in (State.CLOSED, State.PARTING):
            return b"", None, None  # it went while it waited for a thread: nobody's key signs for it
        provider = self._provider
        before = provider.signatures() if provider is not None else 0
        wire, finished = self._channel.step(data)
        if provider is not None and provider.signatures() != before:
            self._pool, self._provider = self._gate.pool, None  # it is signed; the rest needs no token
        if not finished:
            return wire, None, None
        refused: Exception | None = None
        for party in self._parties:
            try:
                self.passed[party] = party.judge(self._channel, self._kept_chain, self._role)
            except Exception as error:
                if refused is None or getattr(refused, "code", None) in _OF_ANOTHER:  # whose root it is knows what is wrong with it
                    refused = error
        identity = next(iter(self.passed.values()), None)
        return (wire, identity, None) if identity is not None else (b"", None, refused)

    def _stepped(self, result: tuple[bytes, PeerIdentity | None, Exception | None] | None, error: Exception | None) -> None:
        if self._leg.state in (State.CLOSED, State.PARTING):
            return
        if error is not None or result is None:
            alert = getattr(error, "to_send", b"")
            if alert:
                self._leg.send_wire(alert)
            self._done(None, error)
            return
        wire, identity, refused = result
        if refused is not None:
            self._done(None, refused)
            return
        self._leg.hold_wire(wire)
        self._leg.resume(Pause.WORK)
        if identity is None and not wire:
            self._leg.acknowledge()  # the peer has more to say
        if identity is not None:
            self._leg.state = State.OPEN
            self._leg.attach(self._pool)
            self._done(identity, None)
        self._leg.send_held()

    def take_early_data(self) -> None:
        """Feed what came right behind the handshake; it may have been the end."""
        self._leg.go_on()
