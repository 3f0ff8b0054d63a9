"""The TLS contexts and ISCL sides of the parties that the forwarder calls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.policy.keyref import TokenKey
from wardgate.policy.model import Config, Transport
from wardgate.relay.secure import SecureParty
from wardgate.relay.tokens import Out

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.relay.gate import Gate


def secure_parties(config: Config, gate: Gate) -> None:
    """Give `gate` what it needs to call each party of `config`, as a worker does. Raises what transport raises."""
    for link in config.links:
        for peer in link.parties:
            if peer.transport is Transport.ISCL and peer.connect:
                from wardgate.relay.iscl import IsclParty

                gate.secure[(link.name, peer.name)] = IsclParty(link, peer, str(config.keys.socket), None, gate.teller(link, peer))
    wanted = [(link, party) for link in config.links for party in link.parties if party.tls is not None and party.connect]
    if not wanted:
        return
    from wardgate.provision.floor import read_floor
    from wardgate.transport.context import TlsContexts
    from wardgate.transport.crl import CrlStore
    from wardgate.transport.peer import PeerChecker
    from wardgate.transport.sessions import SessionCache

    sessions = SessionCache()
    for link, peer in wanted:
        assert peer.tls is not None
        caller = peer._replace(listen=())
        crls = CrlStore(peer.tls.crls, config.box.run_dir / "crl")
        contexts = partial(TlsContexts, peer.tls, [], config.keys)
        # With a key in a token the contexts are made for each association: the forwarder starts without the token, and nothing that
        # would do without it is kept.
        tokens = any(isinstance(pair.key, TokenKey) for pair in peer.tls.certificates)
        out = Out(Code.TOKEN_IS_ABSENT, "not asked yet") if tokens else None
        checker = PeerChecker(peer.tls, crls, read_floor(config.box.state).seconds)
        make: Callable[..., SecureParty] = SecureParty
        if peer.iscl is not None:
            from wardgate.relay.iscl import IsclInTlsParty

            make = partial(IsclInTlsParty, key_socket=str(config.keys.socket), tell=gate.teller(link, peer))
        secure = make(link, caller, contexts, checker, crls, sessions, out)
        gate.secure[(link.name, peer.name)] = secure
