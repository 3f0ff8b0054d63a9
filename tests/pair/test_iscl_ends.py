"""How an ISCL leg ends: its leave in the packet that ends the handshake, behind data that nobody takes yet, or while a message is held."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from support.isclsocket import box_table
from support.relaykit import Relay, abort_of, response, silent, store, until
from support.tlskit import make_tls, peer_context
from support.wire import ABORT, P_DATA, echo_rq, pdu, pdv
from wardgate.custody.wire import Op
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.table import Receiving
from wardgate.iscl.terms import Role as IsclRole
from wardgate.policy.model import Iscl, IsclR1, Role
from wardgate.transport.iscl import IsclChannel
from wardgate.transport.isclkeys import opener
from wardgate.transport.isclsettings import settings_of
from wardgate.transport.iscltls import IsclInTls
from wardgate.transport.peer import ANONYMOUS
from wardgate.transport.tls import TlsChannel

USER_ABORT = pdu(ABORT, bytes(4))


def caller_of(table: Iscl, tls: TlsChannel | None = None) -> IsclChannel:
    """The other side of the box's `table`, as a channel without a socket."""
    own = table._replace(name=table.peer_name, peer_name=table.name)
    words = (IsclRole.CLIENT, settings_of(own), LibPrimitives(), opener(own, settings_of(own), "").open())
    return IsclChannel(*words) if tls is None else IsclInTls(*words, tls, lambda: ANONYMOUS)


@pytest.mark.parametrize("nested", [False, True], ids=["iscl", "in-tls"])
def test_a_caller_that_leaves_in_the_packet_that_ends_its_handshake_is_not_kept(folder: Path, nested: bool) -> None:
    """Half a TCP connection: nothing comes behind the leave, not even the end."""
    table = box_table(folder)
    with Relay(folder, peer_iscl=table, peer_tls=make_tls() if nested else None) as relay:
        with socket.create_connection(("127.0.0.1", relay.port[Role.PEER]), 60) as sock:
            tls = TlsChannel(peer_context(server=False), False) if nested else None
            caller = caller_of(table, tls)
            wire, done = caller.step(None)
            while not done:
                sock.sendall(wire)
                wire, done = caller.step(sock.recv(65536))
            sock.sendall(bytes(wire) + bytes(caller.close() if tls is None else tls.close()))
            while sock.recv(65536):  # until the box closes
                pass
            relay.settled()
        assert ("ISCL_CARRIER_ENDED" if nested else "LEG_LOST") in relay.codes()


def test_what_a_peer_said_before_its_leave_counts_although_nobody_could_take_it_yet(folder: Path) -> None:
    with Relay(folder, peer_iscl=box_table(folder)) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1) + USER_ABORT)
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        pair.far.sock.close()
        assert silent(pair.near)
        relay.writer.release()
        assert pair.near.whole() == response(1)
        assert abort_of(pair.near) == (0, 0)
        relay.settled()
        assert "ISCL_TRUNCATED" not in relay.codes()


def test_what_is_said_to_a_peer_that_took_its_leave_is_no_defect_of_ours(folder: Path) -> None:
    with Relay(folder, peer_iscl=box_table(folder)) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        far = pair.far.sock
        with far._turn:  # type: ignore[attr-defined]
            far._say(far.channel.close())  # type: ignore[attr-defined]
            assert far._turn.wait_for(lambda: far.channel.over, 60)  # type: ignore[attr-defined]
        (association,) = relay.gate.associations
        received = association.acceptor.received
        pair.near.send(pdv(1, 3, echo_rq(2)))
        until(lambda: association.acceptor.received > received, "the box has it")
        relay.writer.release()
        assert pair.near.read()[0] == P_DATA
        assert abort_of(pair.near) == (2, 0)
        relay.settled()
        assert "WORKER_DEFECT" not in relay.codes()


def test_an_abort_goes_out_in_half_duplex_also_while_a_message_of_the_peer_is_held(folder: Path) -> None:
    table = box_table(folder, r1=IsclR1(half_duplex=True))
    with Relay(folder, peer_iscl=table) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        sender = threading.Thread(target=lambda: pair.far.send(pdv(1, 3, echo_rq(2))))
        sender.start()
        (association,) = relay.gate.associations
        engine = association.requestor.channel._engine  # type: ignore[union-attr]
        until(lambda: engine.receiving is Receiving.HELD, "its next message is held")
        pair.near.send(USER_ABORT)
        assert abort_of(pair.far) == (0, 0)
        sender.join(60)
        relay.writer.release()
        relay.settled()
