"""The ISCL side of a party, with the face of `secure.SecureParty`: nothing is resumed and there is no certificate.

`IsclInTlsParty`: the same inside TLS, where the certificate is that of TLS and judged by its rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.terms import Role
from wardgate.relay.secure import SecureParty
from wardgate.transport.iscl import IsclChannel
from wardgate.transport.isclkeys import opener
from wardgate.transport.isclsettings import settings_of
from wardgate.transport.iscltls import IsclInTls
from wardgate.transport.peer import PeerIdentity, TlsRole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wardgate.codes import Code
    from wardgate.policy.model import Link, Party
    from wardgate.relay.loop import Loop
    from wardgate.relay.tokens import Out
    from wardgate.transport.channel import Channel
    from wardgate.transport.errors import CrlError
    from wardgate.transport.tls import TlsChannel


AnyIscl = TypeVar("AnyIscl", bound=IsclChannel)


class _NoCrls:
    """Nothing to complain of."""

    problems: ClassVar[dict[Path, CrlError]] = {}


class _NameOnly:
    """The authentication data name the party; AE titles are policy's business."""

    def check_ae(self, identity: PeerIdentity, party: Party, title: str) -> None:
        """Every title of the party is good."""


class IsclParty:
    """Makes channels and says who was authenticated. Raises what `isclkeys.opener` raises."""

    def __init__(
        self, link: Link, party: Party, key_socket: str, out: Out | None = None, tell: Callable[[Code], None] | None = None
    ) -> None:
        """`tell` hears what a channel noticed that ended nothing."""
        assert party.iscl is not None
        self._tell = tell
        self.party = party
        self.user = f"{link.name}/{party.name}"
        self.out = out
        self.era = 0
        self.building = -1
        self.users = 0
        self.crls = _NoCrls()
        self.checker = _NameOnly()
        self._settings = settings_of(party.iscl)
        self._primitives = LibPrimitives()
        self._opener = opener(party.iscl, self._settings, key_socket)
        self.token = self._opener.lane
        self._identity = PeerIdentity("", (party.iscl.peer_name,), "", float("inf"))

    def _channel(self, role: Role) -> IsclChannel:
        return self._heard(IsclChannel(role, self._settings, self._primitives, self._opener.open()))

    def _heard(self, channel: AnyIscl) -> AnyIscl:
        if self._tell is not None:
            channel.tell = self._tell
        return channel

    def inside(self, role: Role, tls: TlsChannel, judge: Callable[[], PeerIdentity]) -> IsclInTls:
        """Return the channel inside `tls`."""
        return self._heard(IsclInTls(role, self._settings, self._primitives, self._opener.open(), tls, judge))

    def build(self) -> tuple[None, None]:
        """Nothing has to be made when the token comes back."""
        return None, None

    def withdraw(self, out: Out) -> None:
        """Serve no more: the token is out."""
        self.era += 1
        self.out = out

    def restore(self, server: object, client: object) -> None:
        """Serve again."""
        self.out = None

    def server_channel(self, many: bool) -> IsclChannel:
        """Return the channel of a leg that called us: we speak first."""
        return self._channel(Role.SERVER)

    def shake(self, loop: Loop, go: Callable[[], None]) -> None:
        """Call `go`: there are no sessions to wait for."""
        go()

    def client_channel(self, many: bool) -> tuple[IsclChannel, tuple[bytes, ...]]:
        """Return the channel of a leg that we open."""
        return self._channel(Role.CLIENT), ()

    def judge(self, channel: Channel, kept_chain: tuple[bytes, ...], role: TlsRole) -> PeerIdentity:
        """The engine judged already."""
        return self._identity

    def remember(self, channel: Channel) -> None:
        """Nothing is resumed."""

    def forget(self) -> None:
        """Nothing is resumed."""


class IsclInTlsParty(SecureParty):
    """TLS with one party, and ISCL inside it. It needs every token that either layer names."""

    def __init__(self, link: Link, party: Party, *rest: Any, key_socket: str, tell: Callable[[Code], None] | None = None) -> None:
        """As `SecureParty`. Raises what `IsclParty` raises too."""
        super().__init__(link, party, *rest)
        self._iscl = IsclParty(link, party, key_socket, None, tell)
        self.token = " ".join(sorted({one for one in (self.token, self._iscl.token) if one})) or None

    def server_channel(self, many: bool) -> IsclInTls:  # type: ignore[override]  # the same face
        """Return the channel of a leg that called us."""
        tls = super().server_channel(many)
        return self._iscl.inside(Role.SERVER, tls, lambda: SecureParty.judge(self, tls, (), TlsRole.CLIENT))

    def client_channel(self, many: bool) -> tuple[IsclInTls, tuple[bytes, ...]]:  # type: ignore[override]
        """Return the channel of a leg that we open, and the chain of the TLS session that it tries to resume."""
        tls, chain = super().client_channel(many)
        return self._iscl.inside(Role.CLIENT, tls, lambda: SecureParty.judge(self, tls, chain, TlsRole.SERVER)), chain

    def judge(self, channel: Channel, kept_chain: tuple[bytes, ...], role: TlsRole) -> PeerIdentity:
        """Judged already, before ISCL said a byte."""
        assert isinstance(channel, IsclInTls) and channel.identity is not None
        return channel.identity

    def remember(self, channel: Channel) -> None:
        """Keep the TLS session; ISCL has none."""
        assert isinstance(channel, IsclInTls)
        super().remember(channel.tls)
