"""The ISCL side of a party, with the face of `secure.SecureParty`: nothing is resumed and there is no certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.terms import Role
from wardgate.transport.iscl import IsclChannel
from wardgate.transport.isclkeys import opener
from wardgate.transport.isclsettings import settings_of
from wardgate.transport.peer import PeerIdentity

if TYPE_CHECKING:
    from pathlib import Path

    from wardgate.policy.model import Party
    from wardgate.transport.channel import Channel
    from wardgate.transport.peer import TlsRole


class _NoCrls:
    """Nothing to complain of."""

    problems: dict[Path, Exception] = {}  # noqa: RUF012 - never written


class _NameOnly:
    """The authentication data name the party; AE titles are policy's business."""

    def check_ae(self, identity: PeerIdentity, party: Party, title: str) -> None:
        """Every title of the party is good."""


class IsclParty:
    """Makes channels and says who was authenticated. Raises what `isclkeys.opener` raises."""

    def __init__(self, party: Party, key_socket: str) -> None:
        assert party.iscl is not None
        self.party = party
        self.crls = _NoCrls()
        self.checker = _NameOnly()
        self._settings = settings_of(party.iscl)
        self._primitives = LibPrimitives()
        self._opener = opener(party.iscl, self._settings, key_socket)
        self.token = self._opener.lane
        self._identity = PeerIdentity("", (party.iscl.peer_name,), "", float("inf"))

    def _channel(self, role: Role) -> IsclChannel:
        return IsclChannel(role, self._settings, self._primitives, self._opener.open())

    def server_channel(self) -> IsclChannel:
        """Return the channel of a leg that called us: we speak first."""
        return self._channel(Role.SERVER)

    def client_channel(self) -> tuple[IsclChannel, tuple[bytes, ...]]:
        """Return the channel of a leg that we open."""
        return self._channel(Role.CLIENT), ()

    def judge(self, channel: Channel, kept_chain: tuple[bytes, ...], role: TlsRole) -> PeerIdentity:
        """The engine judged already."""
        return self._identity

    def remember(self, channel: Channel) -> None:
        """Nothing is resumed."""

    def forget(self) -> None:
        """Nothing is resumed."""
