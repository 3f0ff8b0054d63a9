"""What a peer that vanishes does: how far it comes (`PHASES`, in the order of an association), and how it ends (`ENDS`)."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from support import wire
from support.bench import Bench
from support.datasets import Sample
from support.ondisk import records
from support.wire import Wire

Phase = Callable[[Wire, Sample, str, str], None]  # calling and called AE title at the end


def nothing(client: Wire, one: Sample, calling: str, called: str) -> None:
    """Connected, no byte sent; under TLS the handshake is done."""


def in_request(client: Wire, one: Sample, calling: str, called: str) -> None:
    """In the A-ASSOCIATE-RQ."""
    client.send(wire.associate_rq(calling, called)[:50])


def after_request(client: Wire, one: Sample, calling: str, called: str) -> None:
    """The A-ASSOCIATE-RQ is sent, its answer not read."""
    client.send(wire.associate_rq(calling, called))


def established(client: Wire, one: Sample, calling: str, called: str) -> None:
    """The association is accepted."""
    client.associate(calling, called)


def in_pdu(client: Wire, one: Sample, calling: str, called: str) -> None:
    """In the first P-DATA-TF of a data set."""
    client.associate(calling, called)
    parts = wire.store_pdus(one)
    client.send(parts[0], parts[1][:1000])


def in_command(client: Wire, one: Sample, calling: str, called: str) -> None:
    """In a command set of two fragments."""
    client.associate(calling, called)
    client.send(wire.pdv(3, 1, wire.store_rq(one)[:20]))


def before_response(client: Wire, one: Sample, calling: str, called: str) -> None:
    """A whole C-STORE request is sent, its response not read."""
    client.associate(calling, called)
    client.send(*wire.store_pdus(one))


def in_release(client: Wire, one: Sample, calling: str, called: str) -> None:
    """The release is asked for, its answer not read."""
    client.associate(calling, called)
    client.send(wire.pdu(wire.RELEASE_RQ, bytes(4)))


PHASES: tuple[Phase, ...] = (nothing, in_request, after_request, established, in_pdu, in_command, before_response, in_release)


def half_close(client: Wire) -> None:
    """End our direction of TCP; under TLS without a word of TLS."""
    client.sock.shutdown(socket.SHUT_WR)


def close_notify(client: Wire) -> None:
    """End our direction of TLS and leave TCP as it is."""
    assert isinstance(client.sock, ssl.SSLSocket)
    patience = client.sock.gettimeout()
    client.sock.setblocking(False)
    with contextlib.suppress(OSError):  # the other side's close_notify is not waited for
        client.sock.unwrap()
    client.sock.settimeout(patience)


ENDS: dict[str, Callable[[Wire], object]] = {
    "closes": lambda client: client.sock.close(),
    "resets": lambda client: client.reset(),
    "half-closes": half_close,
}
TLS_ENDS = {**ENDS, "says close_notify": close_notify}


def first_flight(context: ssl.SSLContext, heard: bytes = b"") -> bytes:
    """Return the first bytes that TLS sends under `context`: a ClientHello, or what a server answers to the one that it `heard`."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(heard)
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_side=bool(heard)).do_handshake()
    return outgoing.read()


def all_closed(bench: Bench) -> bool:
    """Tell whether each association that the log opened is closed in it."""
    found: list[dict[str, Any]] = records(bench.plan.log_dir)
    opened = {record["association"] for record in found if record["type"] == "open"}
    return opened == {record["association"] for record in found if record["type"] == "close"}
