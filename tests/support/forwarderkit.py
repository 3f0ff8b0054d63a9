"""A real forwarder in this process, without a master: a queue, a custody writer that can be told to fail, a port for a PACS."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from ipaddress import ip_network
from pathlib import Path

from support.processes import LOOPBACK, free_port, until
from support.relaykit import StandInWriter
from wardgate.codes import Code
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope
from wardgate.dimse.build import command_set
from wardgate.hold.forwarder import Forwarder
from wardgate.hold.header import Header
from wardgate.hold.store import Store
from wardgate.hold.syncer import THREADS
from wardgate.hold.wrap import FileWrapper
from wardgate.master.control import encode
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Box, Commitment, Config, Custody, Delivery, Direction, Hold, Limits, Link, Party, Role, Transport, as_data
from wardgate.policy.tls import Tls

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"

_SCOPE = Scope("ward", "ct1", "to-hospital", bytes(range(16)), Leg("CT1", "192.0.2.10:4242"), Leg("PACS", "hold"))


class Site:
    """A queue, its forwarder with a custody writer that stands in, and a PACS."""

    def __init__(self, folder: Path, commitment: Commitment = Commitment.OFF, tls: Tls | None = None) -> None:
        self.folder = folder
        (folder / "hold.key").write_bytes(os.urandom(32))
        self.writer = StandInWriter(folder / "custody.sock")
        self.port = free_port()
        hold = Hold(folder / "hold", folder / "hold.key", True, keep_free_bytes=1 << 20, retry_seconds=1)
        here = (ip_network(LOOPBACK),)
        modality = Party("modality", Role.MODALITY, ("CT1",), here)
        peer = Party("pacs", Role.PEER, ("PACS",), here, (), Endpoint(LOOPBACK, self.port), commitment=commitment)
        if tls is not None:
            peer = peer._replace(transport=Transport.TLS, tls=tls)
        link = Link("ct1", True, Delivery.HOLD, frozenset("*"), frozenset(Direction), modality, (peer,))
        custody = Custody(folder / "log", "ward.example/custody", folder / "key.pem")
        config = Config(Box("ward", folder, 1, 0), custody, Limits(record_seconds=60), (link,), hold=hold)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.forwarder = Forwarder(theirs, {"config": as_data(config)})
        self._goes = threading.Event()
        self._thread = threading.Thread(target=self.forwarder.run, daemon=True)

    def put(self, number: int, carries: bool = False, data: bytes = b"data") -> str:
        """Have a worker hold an instance, which carries its record or not; return its UID."""
        instance = f"1.2.3.{number}"
        store = Store(self.folder / "hold", FileWrapper(self.folder / "hold.key"))
        command = command_set({0x0002: CT, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 0, 0x1000: instance}).hex()
        names = ("ward", "ct1", "pacs", "CT1", "PACS", CT, EXPLICIT, CT, instance)
        body = store.begin(Header(*names, command, _SCOPE.association.hex(), time.time_ns(), "", ""))
        if carries:
            ends = (0, Outcome.STATUS, Flow.ACCEPTOR)
            body.carry(_SCOPE.store(time.time_ns(), Quality.UNKNOWN, number, CT, instance, EXPLICIT, len(data), [], *ends))
        body.write(memoryview(data), True)
        store.finish(body, hashlib.sha256(data).hexdigest())
        store.keep(body)
        store.put_away()
        return instance

    def start(self, slow: bool = False) -> None:
        """Begin; `slow`: all threads of the disk are at work on something that does not end before `go_on`."""
        for _ in range(THREADS if slow else 0):
            self.forwarder.syncer.submit(lambda: self._goes.wait(100) and None, None, sync=False)
        self._thread.start()

    def codes(self) -> set[str]:
        """Return the names of the codes of all events so far."""
        over = threading.Event()
        if self._thread.is_alive():  # what left in a turn may be told of in the rest of it
            self.forwarder.loop.call(over.set)
            until(lambda: over.wait(0.05) or not self._thread.is_alive(), "the turn is over")
        return {code.name for code in Code if self.forwarder.gate.codes.get(str(code))}

    def look(self) -> None:
        """Have the forwarder look into the directory once more."""
        looked = self.forwarder.look_again()
        until(lambda: self.forwarder.looks >= looked, "it has looked")

    def go_on(self) -> None:
        """The disk answers."""
        self._goes.set()

    def close(self) -> None:
        """End everything."""
        self.go_on()
        if self._thread.ident is not None:
            self._control.send(encode({"do": "stop"}))
            self._thread.join(60)
        assert not self._thread.is_alive()
        for syncer in (
            self.forwarder.syncer,
            self.forwarder._teacher,
            self.forwarder.desk.scribe._writer,
        ):  # a process of its own would end with its threads
            syncer.close(60)
        self.writer.close()
        self._control.close()
