"""A real relay worker in this process, without a master: scripted peers at both ends, a custody writer that can be told to fail."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterable
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType

from support import tlskit
from support.command_sets import store_request, store_response
from support.isclsocket import IsclSocket
from support.processes import LOOPBACK, until
from support.wire import (
    ABORT,
    ASSOCIATE_AC,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    Wire,
    associate_ac,
    associate_rq,
    pdu,
    pdv,
    readable,
    status_of,
)
from wardgate.custody import wire
from wardgate.custody.wire import Op, Status
from wardgate.iscl.terms import Role as IsclRole
from wardgate.master.control import encode
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Box as BoxTable
from wardgate.policy.model import (
    Commitment,
    Config,
    Conformance,
    Custody,
    Delivery,
    Direction,
    Durable,
    Hold,
    Iscl,
    Keys,
    Limits,
    Link,
    OnRemoval,
    Party,
    Role,
    StatusRule,
    Transport,
    as_data,
)
from wardgate.policy.tls import Tls
from wardgate.relay.worker import Worker

__all__ = ["P_DATA", "Pair", "Relay", "StandInWriter", "abort_of", "dribble", "message", "pdu", "pdv", "response", "store", "until"]

RELEASE_RQ_PDU = pdu(RELEASE_RQ, bytes(4))
RELEASE_RP_PDU = pdu(RELEASE_RP, bytes(4))
PROVIDER_ABORT = pdu(ABORT, bytes((0, 0, 2, 0)))
_SECONDS = 60.0  # of a machine that does other things as well; it costs time only where something fails


class StandInWriter:
    """Speaks the writer's protocol. Keeps what comes in `items`; answers OK, or what `answers` says for an op, or later when held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.items: list[tuple[Op, bytes, int, bytes]] = []
        self.answers: dict[Op, Status] = {}
        self.held: set[Op] = set()
        self._waiting: list[tuple[socket.socket, Op, int]] = []
        self._seen: set[tuple[Op, bytes, int]] = set()
        self.again = 0  # items that came a second time
        self._lock = threading.Lock()
        self._wake = os.eventfd(0)
        self._listener: socket.socket | None = None
        self._clients: list[socket.socket] = []
        self.start()

    def start(self) -> None:
        """Come (back)."""
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path))
        self._listener.listen(4)
        self._running = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def vanish(self) -> None:
        """Go, as killed: sockets end, nothing held is answered."""
        self._running = False
        os.eventfd_write(self._wake, 1)
        self._thread.join(_SECONDS)
        for sock in (self._listener, *self._clients):
            if sock is not None:
                sock.close()
        self._clients, self._waiting, self._listener = [], [], None
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Go for good."""
        self.vanish()
        os.close(self._wake)

    def hold(self, *ops: Op) -> None:
        """Do not answer these until `release`."""
        self.held |= set(ops)

    def release(self, status: Status = Status.OK) -> None:
        """Answer everything held with `status`, and hold no more."""
        with self._lock:
            self.held.clear()
            waiting, self._waiting = self._waiting, []
            for sock, _op, request in waiting:
                self._say(sock, [(request, status)])

    def release_one(self, at: int, status: Status = Status.OK) -> None:
        """Answer the held item at place `at`; go on holding."""
        with self._lock:
            sock, _op, request = self._waiting.pop(at)
            self._say(sock, [(request, status)])

    def waiting(self) -> int:
        """Return how many items are held."""
        return len(self._waiting)

    def ops(self, op: Op) -> list[tuple[bytes, int, bytes]]:
        """Return (association, seq, payload) of the items of one kind, resent ones once."""
        return [item[1:] for item in list(self.items) if item[0] is op]

    def stores(self) -> list[dict[str, object]]:
        """Return the store records, in the order in which they came."""
        return [json.loads(payload) for _, _, payload in self.ops(Op.STORE)]

    def closes(self) -> list[dict[str, object]]:
        """Return the close records."""
        return [json.loads(payload) for _, _, payload in self.ops(Op.CLOSE)]

    def _serve(self) -> None:
        assert self._listener is not None
        while self._running:
            socks = {sock.fileno(): sock for sock in (self._listener, *self._clients)}
            for fd in readable(self._wake, *socks):
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                elif socks[fd] is self._listener:
                    self._clients.append(self._listener.accept()[0])
                else:
                    self._packet(socks[fd])

    def _packet(self, sock: socket.socket) -> None:
        try:
            packet = sock.recv(wire.MAX_PACKET)
        except OSError:
            packet = b""
        if not packet:
            self._clients.remove(sock)
            sock.close()
            return
        out = []
        with self._lock:
            for number, request, association, seq, payload in wire.decode_items(packet):
                op = Op(number)
                key = (op, association, seq)
                if op in (Op.OPEN, Op.STORE, Op.CLOSE) and key in self._seen:
                    self.again += 1
                else:
                    self._seen.add(key)
                    self.items.append((op, association, seq, payload))
                if op in self.held:
                    self._waiting.append((sock, op, request))
                else:
                    out.append((request, self.answers.get(op, Status.OK)))
            self._say(sock, out)

    def _say(self, sock: socket.socket, answers: list[tuple[int, Status]]) -> None:
        for packet in wire.encode_answers([wire.ANSWER.pack(request, status, 7) for request, status in answers]):
            try:
                sock.send(packet)
            except OSError:
                return


def store(number: int = 1, body: bytes = b"data set!!", context: int = 3, chunk: int = 16000) -> list[bytes]:
    """Return the PDUs of a C-STORE request."""
    pieces = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    last = len(pieces) - 1
    return [pdv(context, 3, store_request(number)), *(pdv(context, 2 * (at == last), piece) for at, piece in enumerate(pieces))]


def response(number: int = 1, status: int = 0, context: int = 3) -> bytes:
    """Return the PDU of a C-STORE response."""
    return pdv(context, 3, store_response(number, status))


def message(*fragments: tuple[int, int, bytes]) -> bytes:
    """Return one P-DATA-TF of several PDVs (context, header, bytes)."""
    return pdu(P_DATA, b"".join(struct.pack(">IBB", len(data) + 2, context, header) + data for context, header, data in fragments))


def dribble(sock: socket.socket, data: bytes, sizes: Iterable[int]) -> None:
    """Send `data` in pieces of these sizes, the rest at once."""
    at = 0
    for size in sizes:
        if at >= len(data):
            return
        sock.sendall(data[at : at + size])
        at += size
    sock.sendall(data[at:])


def abort_of(peer: Wire) -> tuple[int, int] | None:
    """Return source and reason of the A-ABORT that must come next; None when the connection ends without one."""
    kind, body = peer.read()
    assert kind in (0, ABORT), f"PDU type {kind}"
    return (body[2], body[3]) if kind else None


class Relay:
    """A worker with one link: modality CT1 and peer PACS, plain unless `peer_tls`. Use as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        hash_threads: int = 0,
        sop_classes: Iterable[str] = ("*",),
        durable: Durable = Durable.GROUP,
        peer_tls: Tls | None = None,
        modality_tls: Tls | None = None,
        conforms: Iterable[Role] = (),
        peer_iscl: Iscl | None = None,
        modality_iscl: Iscl | None = None,
        called_ae: str = "PACS",
        delivery: Delivery = Delivery.RELAY,
        hold: Hold | None = None,
        hold_transfer_syntaxes: tuple[str, ...] = (),
        commitment: Commitment = Commitment.OFF,
        prepare: Callable[[StandInWriter], None] | None = None,
        on_removal: OnRemoval = OnRemoval.FINISH,
        out: str = "",
        status: StatusRule = StatusRule.PASS,
        **limits: float,
    ) -> None:
        self.writer = StandInWriter(folder / "custody.sock")
        if prepare is not None:
            prepare(self.writer)
        self._called = {role: _listener() for role in Role}
        self._listen = {role: _listener() for role in Role}
        self._refusing: list[socket.socket] = []
        self.port = {role: sock.getsockname()[1] for role, sock in self._listen.items()}
        here, from_here = Endpoint(LOOPBACK, 1), (ip_network(LOOPBACK),)
        at = {role: Endpoint(LOOPBACK, sock.getsockname()[1]) for role, sock in self._called.items()}
        transport = Transport.TLS if peer_tls else Transport.ISCL if peer_iscl else Transport.PLAIN
        self._iscl = {Role.MODALITY: modality_iscl, Role.PEER: peer_iscl}
        modality = Party("modality", Role.MODALITY, ("CT1",), from_here, (here,), at[Role.MODALITY])
        if modality_iscl is not None:
            modality = modality._replace(transport=Transport.ISCL, iscl=modality_iscl)
        if modality_tls is not None:
            modality = modality._replace(transport=Transport.TLS, tls=modality_tls)
        peer = Party("pacs", Role.PEER, (called_ae,), from_here, (here,), at[Role.PEER], transport, peer_tls)
        peer = peer._replace(iscl=peer_iscl, hold_transfer_syntaxes=hold_transfer_syntaxes, commitment=commitment)
        modality, peer = (
            party._replace(sop_instance_status=Conformance.CONFORMS) if party.role in conforms else party for party in (modality, peer)
        )
        link = Link("ct1", True, delivery, frozenset(sop_classes), frozenset(Direction), modality, (peer,), status)
        config = Config(
            BoxTable("ward", folder, 1, hash_threads),
            Custody(folder / "log", "ward.example/custody", folder / "key.pem", durable),
            Limits(**{"record_seconds": 60, **limits}),  # type: ignore[arg-type]
            (link,),
            Keys(on_removal=on_removal),
            hold,
        )
        roles = ((Role.MODALITY, "modality"), (Role.PEER, "pacs"))
        listeners = [[at, f"{LOOPBACK}:{self.port[role]}", [["ct1", name]]] for at, (role, name) in enumerate(roles)]
        given = {"listeners": listeners, "fds": [os.dup(self._listen[role].fileno()) for role, _ in roles], "census": [-1, -1]}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.worker = Worker(theirs, {"generation": 1, "worker": 0, "config": as_data(config), "tokens": _out(out), **given})
        self.gate = self.worker.gate
        self.defect: BaseException | None = None
        self._tokens = 0  # messages about them
        self._tls = {Role.PEER: peer_tls is not None, Role.MODALITY: modality_tls is not None}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:
            self.defect = error
            traceback.print_exc()

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._control.send(encode({"do": "stop"}))
        self._thread.join(_SECONDS)
        self.writer.close()
        for sock in (self._control, *self._called.values(), *self._listen.values(), *self._refusing):
            sock.close()
        if kind is None:
            assert self.defect is None, f"the worker died of {self.defect!r}"
            assert not self._thread.is_alive(), "the worker does not stop"

    def token(self, out: str = "") -> None:
        """Tell the worker, as the master does, that the peer's token is out for the code of this name, or is back; wait until it is so."""
        self._tokens += 1
        self._control.send(encode({"do": "tokens", **_out(out, f"as the test wished, {self._tokens}")}))
        secure = self.gate.secure[("ct1", "pacs")]

        def known() -> bool:
            now = secure.out
            return now is None if not out else now is not None and now.detail.endswith(f" {self._tokens}")

        until(known, f"the worker knows: {out or 'back'}", _SECONDS)
        self.turned()

    @property
    def alive(self) -> bool:
        """Does the loop still run?"""
        return self._thread.is_alive()

    def turned(self) -> None:
        """Wait until the loop's turn is over: all of what it did in it is done, not only what left the box."""
        over = threading.Event()
        self.gate.loop.call(over.set)
        until(lambda: over.wait(0.05) or not self.alive, "the turn is over", _SECONDS)

    def limit(self, **limits: float) -> None:
        """From now on these limits: what has begun keeps its own, and a slow machine has got so far."""
        self.gate.limits = self.gate.limits._replace(**limits)  # type: ignore[arg-type]
        if "record_seconds" in limits:
            self.gate.custodian._record_seconds = limits["record_seconds"]

    def codes(self) -> set[str]:
        """Return the names of the codes of all events so far."""
        from wardgate.codes import Code

        self.turned()
        return {code.name for code in Code if self.gate.codes.get(str(code))}

    def dial(self, role: Role = Role.MODALITY) -> Wire:
        """Connect to the box as a party of this role, under TLS where it is configured."""
        sock = socket.create_connection((LOOPBACK, self.port[role]), _SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls[role]:
            sock = tlskit.peer_context(server=False).wrap_socket(sock)
        return Wire(self._under_iscl(sock, role, IsclRole.CLIENT))

    def accept(self, role: Role = Role.PEER, seconds: float = _SECONDS) -> Wire:
        """Return the connection that the box makes to the party of this role, TLS shaken. Raises `TimeoutError`."""
        self._called[role].settimeout(seconds)
        sock, _ = self._called[role].accept()
        sock.settimeout(_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls[role]:
            sock = tlskit.peer_context(server=True).wrap_socket(sock, server_side=True)
        return Wire(self._under_iscl(sock, role, IsclRole.SERVER))

    def _under_iscl(self, sock: socket.socket, role: Role, side: IsclRole) -> socket.socket:
        table = self._iscl[role]
        return sock if table is None else IsclSocket(sock, table, side)  # type: ignore[return-value]

    def stop_listening(self, role: Role = Role.PEER) -> None:
        """Let the called party refuse connections. Its port stays bound: nobody else gets it meanwhile."""
        place = self._called[role].getsockname()
        self._called[role].close()
        self._refusing.append(sock := socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)

    def associate(self, caller: Role = Role.MODALITY, **words: object) -> Pair:
        """Open an association through the box; both its ends."""
        called = Role.PEER if caller is Role.MODALITY else Role.MODALITY
        titles = ("CT1", "PACS") if caller is Role.MODALITY else ("PACS", "CT1")
        near = self.dial(caller)
        asked = associate_rq(*titles, **words)  # type: ignore[arg-type]
        near.send(asked)
        far = self.accept(called)
        request = far.whole()
        assert request == asked
        answer = associate_ac(request)
        far.send(answer)
        assert near.whole() == answer
        return Pair(near, far)

    def settled(self) -> None:
        """Wait until no association is left and the writer has answered everything."""
        until(lambda: not self.gate.associations, "all associations over", _SECONDS)
        until(lambda: not self.gate.custodian.unanswered, "all records with the writer", _SECONDS)
        self.turned()


class Pair:
    """The caller (`near`) and the called side (`far`) of one association."""

    def __init__(self, near: Wire, far: Wire) -> None:
        self.near = near
        self.far = far

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.near.sock.close()
        self.far.sock.close()

    def pass_on(self, *pdus: bytes, back: bool = False) -> None:
        """Send from one end and see exactly these bytes at the other."""
        source, sink = (self.far, self.near) if back else (self.near, self.far)
        source.send(*pdus)
        for each in pdus:
            assert sink.whole() == each

    def release(self) -> None:
        """Release, asked by the caller."""
        self.pass_on(RELEASE_RQ_PDU)
        self.pass_on(RELEASE_RP_PDU, back=True)
        assert self.far.read()[0] == 0
        self.near.sock.close()


def silent(peer: Wire, seconds: float = 0.3) -> bool:
    """Tell whether nothing at all comes for this long."""
    return not readable(peer.sock.fileno(), seconds=seconds)


def _out(code: str, why: str = "as the test wished") -> dict[str, object]:
    return {"out": {"ct1/pacs": [code, why]} if code else {}}


def _listener() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((LOOPBACK, 0))
    sock.listen(64)
    return sock


def associate(relay: Relay, max_pdu: int = 16384) -> Wire:
    """Return a modality's connection to a box that accepts it itself."""
    near = relay.dial()
    near.send(associate_rq("CT1", "PACS", max_pdu=max_pdu))
    kind, body = near.read()
    assert kind == ASSOCIATE_AC, (kind, body[:8].hex())
    return near


def status(near: Wire) -> int:
    """Return the status of the response that comes next."""
    kind, body = near.read()
    assert kind == P_DATA, "aborted" if kind == ABORT else kind
    return status_of(body)
