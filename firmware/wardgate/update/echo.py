"""C-ECHO (PS3.7 9.1.5) to a peer over its own transport, as the modality of its link: does the hospital side still answer us?

Blocks, at most `seconds` in all. The peer's certificate is judged by the same rules as in the relay.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from wardgate.dimse.build import command_set
from wardgate.dimse.command import NO_DATA_SET, CommandField, parse
from wardgate.hold.offer import user_information
from wardgate.policy.model import Transport
from wardgate.transport.blocking import BlockingChannel, Ended, TooLate
from wardgate.transport.context import TlsContexts
from wardgate.transport.crl import CrlStore
from wardgate.transport.errors import TlsFailure
from wardgate.transport.peer import PeerChecker
from wardgate.transport.sockets import PlainSockets
from wardgate.upperlayer.items import PresentationContextRQ
from wardgate.upperlayer.pdata import PDV, PDataTF
from wardgate.upperlayer.pdu import AssociateAC, AssociateRQ, ReleaseRQ, accepted_contexts, decode

if TYPE_CHECKING:
    from wardgate.policy.model import Config, Link, Party

VERIFICATION: Final = "1.2.840.10008.1.1"  # PS3.4 A.4
IMPLICIT: Final = "1.2.840.10008.1.2"
OWN_TITLE: Final = "WARDGATE"
_MAX_PDU: Final = 65536


class NoEcho(Exception):
    """The peer did not answer as it should; says where it ended."""


def echo(config: Config, link: Link, peer: Party, seconds: float) -> None:
    """Send one C-ECHO and see it succeed. Raises `NoEcho`, and what sockets and TLS raise."""
    assert peer.connect is not None
    # From the box's own address, also in the bridge: there is no caller in whose name `netd` could give a socket.
    sock = PlainSockets().connect(peer.connect)
    channel = BlockingChannel(sock, time.monotonic() + seconds)
    tls = peer.tls
    try:
        channel.connect()
        if peer.transport is Transport.TLS and tls is not None:
            channel.shake(TlsContexts(tls, keys=config.keys), PeerChecker(tls, CrlStore(tls.crls, config.box.run_dir / "crl")))
        _ask(_Pdus(channel), _title(link.modality), _title(peer))
    except (Ended, TooLate) as error:
        raise NoEcho(error.args[0]) from error
    finally:
        channel.close()


def _title(party: Party) -> str:
    return next((title for title in party.ae_titles if "*" not in title), OWN_TITLE)


def _ask(wire: _Pdus, calling: str, called: str) -> None:
    request = AssociateRQ.of(called, calling, (PresentationContextRQ.of(1, VERIFICATION, IMPLICIT),), user_information())
    wire.send(request.encode())
    answer = decode(wire.pdu())
    if not isinstance(answer, AssociateAC):
        raise NoEcho(f"{type(answer).__name__} to the association")
    if 1 not in accepted_contexts(request, answer):
        raise NoEcho("it does not take the Verification SOP Class")
    command = command_set({0x0002: VERIFICATION, 0x0100: int(CommandField.C_ECHO_RQ), 0x0110: 1, 0x0800: NO_DATA_SET})
    wire.send(PDataTF((PDV(1, 3, command),)).encode())
    data = decode(wire.pdu())
    if not isinstance(data, PDataTF) or not data.values:
        raise NoEcho(f"{type(data).__name__} to the C-ECHO-RQ")
    response = parse(bytes(data.values[0].data))
    if response.command_field != CommandField.C_ECHO_RSP or response.status != 0:
        raise NoEcho(f"status {response.status!r}")
    wire.send(ReleaseRQ().encode())


class _Pdus:
    """PDUs of the peer, through TLS where the policy says so."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        self._plain = bytearray()
        self.send = channel.send

    def pdu(self) -> bytes:
        """Return the next PDU. Raises `NoEcho`."""
        while len(self._plain) < 6 or len(self._plain) < 6 + int.from_bytes(self._plain[2:6], "big"):
            if len(self._plain) > _MAX_PDU:
                raise NoEcho("a PDU out of bounds")
            self._plain += self._channel.receive()
        length = 6 + int.from_bytes(self._plain[2:6], "big")
        pdu = bytes(self._plain[:length])
        del self._plain[:length]
        return pdu


__all__ = ["NoEcho", "TlsFailure", "echo"]
