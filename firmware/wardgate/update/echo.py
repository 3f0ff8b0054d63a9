"""C-ECHO (PS3.7 9.1.5) to a peer over its own transport, as the modality of its link: does the hospital side still answer us?

Blocks, at most `seconds` in all. The peer's certificate is judged by the same rules as in the relay.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from wardgate.dimse.build import command_set
from wardgate.dimse.command import NO_DATA_SET, CommandField, parse
from wardgate.hold.offer import user_information
from wardgate.policy.model import Transport
from wardgate.transport.context import TlsContexts
from wardgate.transport.crl import CrlStore
from wardgate.transport.errors import TlsFailure
from wardgate.transport.peer import PeerChecker, TlsRole
from wardgate.transport.sockets import sockets_for
from wardgate.transport.tls import TlsChannel
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
    wire = _Wire(config, peer, time.monotonic() + seconds)
    try:
        wire.shake()
        _ask(wire, _title(link.modality), _title(peer))
    finally:
        wire.close()


def _title(party: Party) -> str:
    return next((title for title in party.ae_titles if "*" not in title), OWN_TITLE)


def _ask(wire: _Wire, calling: str, called: str) -> None:
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


class _Wire:
    """Bytes to and from the peer, through TLS where the policy says so."""

    def __init__(self, config: Config, peer: Party, deadline: float) -> None:
        self._config = config
        self._peer = peer
        self._deadline = deadline
        assert peer.connect is not None
        self._socket: socket.socket = sockets_for(config.plant.ports, str(config.plant.socket)).connect(peer.connect)
        self._channel: TlsChannel | None = None
        self._plain = bytearray()

    def shake(self) -> None:
        """Wait for the connection; do the handshake, judge the certificate."""
        self._wait()
        self._socket.setblocking(True)
        self._wait()
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "no connection")
        tls = self._peer.tls
        if self._peer.transport is not Transport.TLS or tls is None:
            return
        checker = PeerChecker(tls, CrlStore(tls.crls, self._config.box.run_dir / "crl"))
        channel = TlsChannel(TlsContexts(tls, keys=self._config.keys).client(), False)
        data: bytes | None = None
        while True:
            flight, done = channel.step(data)
            if flight:
                self._put(flight)
            if done:
                break
            data = self._take()
        checker.check(channel.peer_leaf, channel.peer_chain, False, time.time(), TlsRole.SERVER)
        self._channel = channel

    def send(self, data: bytes) -> None:
        """Send plain bytes."""
        if self._channel is None:
            self._put(data)
            return
        sealed = self._channel.seal(data)
        self._put(sealed if isinstance(sealed, bytes) else b"".join(sealed))

    def pdu(self) -> bytes:
        """Return the next PDU. Raises `NoEcho`."""
        while len(self._plain) < 6 or len(self._plain) < 6 + int.from_bytes(self._plain[2:6], "big"):
            if len(self._plain) > _MAX_PDU:
                raise NoEcho("a PDU out of bounds")
            self._more()
        length = 6 + int.from_bytes(self._plain[2:6], "big")
        pdu = bytes(self._plain[:length])
        del self._plain[:length]
        return pdu

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _more(self) -> None:
        if self._channel is None:
            self._plain += self._take()
            return
        buffer = memoryview(bytearray(_MAX_PDU))
        wire = b"" if self._channel.pending else self._take()
        size = self._channel.open(wire, buffer)
        self._plain += buffer[:size]
        answer = self._channel.to_send()
        if answer:
            self._put(answer)

    def _put(self, data: bytes) -> None:
        self._wait()
        self._socket.sendall(data)

    def _take(self) -> bytes:
        self._wait()
        data = self._socket.recv(_MAX_PDU)
        if not data:
            raise NoEcho("it closed the connection")
        return data

    def _wait(self) -> None:
        """Give the next call what is left of the time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise NoEcho("it took too long")
        self._socket.settimeout(left)


__all__ = ["NoEcho", "TlsFailure", "echo"]
