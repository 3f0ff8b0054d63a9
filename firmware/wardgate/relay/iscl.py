"""The ISCL side of a party, with the face of `secure.SecureParty`: nothing is resumed and there is no certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.terms import Role
from wardgate.transport.iscl import IsclChannel
from wardgate.transport.isclkeys import opener
from wardgate.transport.isclsettings import settings_of
from wardgate.transport.peer import PeerIdentity

if TYPE_CHECKING:
    from pathlib import Path

    from wardgate.policy.model import Link, Party
    from wardgate.relay.tokens import Out
    from wardgate.transport.channel import Channel
    from wardgate.transport.errors import CrlError
    from wardgate.transport.peer import TlsRole


class _NoCrls:
    """Nothing to complain of."""

    problems: ClassVar[dict[Path, CrlError]] = {}


class _NameOnly:
    """The authentication data name the party; AE titles are policy's business."""

    def check_ae(self, identity: PeerIdentity, party: Party, title: str) -> None:
        """Every title of the party is good."""


class IsclParty:
    """Makes channels and says who was authenticated. Raises what `isclkeys.opener` raises."""

    def __init__(self, link: Link, party: Party, key_socket: str, out: Out | None = None) -> None:
        assert party.iscl is not None
        self.party = party
        self.user = f"{link.name}/{party.name}"
        self.out = out
        self.era = 0
        self.building = -1
        self.crls = _NoCrls()
        self.checker = _NameOnly()
        self._settings = settings_of(party.iscl)
        self._primitives = LibPrimitives()
        self._opener = opener(party.iscl, self._settings, key_socket)
        self.token = self._opener.lane
        self._identity = PeerIdentity("", (party.iscl.peer_name,), "", float("inf"))

    def _channel(self, role: Role) -> IsclChannel:
        return IsclChannel(role, self._settings, self._primitives, self._opener.open())

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
