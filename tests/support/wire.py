"""DICOM upper layer bytes made and read by hand, for peers that misbehave on purpose. Shares no code with the product."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from types import TracebackType

from support.datasets import CT_IMAGE, EXPLICIT_LITTLE, IMPLICIT_LITTLE, VERIFICATION, Sample, data_set
from support.processes import LOOPBACK, READY_SECONDS

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
CONTEXTS = ((1, VERIFICATION, (IMPLICIT_LITTLE,)), (3, CT_IMAGE, (EXPLICIT_LITTLE,)))

Context = tuple[int, str, tuple[str, ...]]


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Return one PDU (PS3.8 9.3.1); `length` other than that of the body is a lie."""
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def item(kind: int, body: bytes) -> bytes:
    """Return one item of a variable field (PS3.8 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_rq(calling: str, called: str, contexts: Iterable[Context] = CONTEXTS, max_pdu: int = 16384) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, abstract, syntaxes in contexts:
        inner = bytes((number % 256, 0, 0, 0)) + item(0x30, abstract.encode()) + b"".join(item(0x40, one.encode()) for one in syntaxes)
        body += item(0x20, inner)
    user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"1.2.826.0.1.3680043.10.1453.1") + item(0x55, b"HANDMADE")
    return pdu(ASSOCIATE_RQ, body + item(0x50, user))


def associate_ac(request: bytes) -> bytes:
    """Return the A-ASSOCIATE-AC that takes the first transfer syntax of every context of `request` (a whole PDU, PS3.8 9.3.3)."""
    body, at = request[6:74] + item(0x10, b"1.2.840.10008.3.1.1.1"), 74
    while at < len(request):
        kind, length = request[at], struct.unpack_from(">H", request, at + 2)[0]
        if kind == 0x20:
            inner = request[at + 4 : at + 4 + length]
            abstract = struct.unpack_from(">H", inner, 6)[0]
            first = 8 + abstract
            syntax = inner[first : first + 4 + struct.unpack_from(">H", inner, first + 2)[0]]
            body += item(0x21, inner[:1] + b"\0\0\0" + syntax)
        at += 4 + length
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.826.0.1.3680043.10.1453.2")
    return pdu(ASSOCIATE_AC, body + item(0x50, user))


def pdv(context: int, header: int, data: bytes) -> bytes:
    """Return a P-DATA-TF with one PDV; `header`: bit 0 command, bit 1 last (PS3.8 E.2)."""
    return pdu(P_DATA, struct.pack(">IBB", len(data) + 2, context, header) + data)


def command(*elements: tuple[int, bytes]) -> bytes:
    """Return a command set (PS3.7 6.3.1) of (element, value)."""
    rest = b"".join(struct.pack("<HHI", 0, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(rest)) + rest


def _uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def echo_rq(message: int = 1) -> bytes:
    """Return a C-ECHO-RQ (PS3.7 9.3.5.1)."""
    return command((0x0002, _uid(VERIFICATION)), (0x0100, b"\x30\0"), (0x0110, struct.pack("<H", message)), (0x0800, b"\x01\x01"))


def echo_rsp(message: int = 1) -> bytes:
    """Return a C-ECHO-RSP, status 0000."""
    fields = ((0x0100, b"\x30\x80"), (0x0120, struct.pack("<H", message)), (0x0800, b"\x01\x01"), (0x0900, b"\0\0"))
    return command((0x0002, _uid(VERIFICATION)), *fields)


def store_rq(one: Sample, message: int = 1) -> bytes:
    """Return a C-STORE-RQ (PS3.7 9.3.1.1)."""
    fields = ((0x0100, b"\x01\0"), (0x0110, struct.pack("<H", message)), (0x0700, b"\0\0"), (0x0800, b"\0\0"))
    return command((0x0002, _uid(one.sop_class)), *fields, (0x1000, _uid(one.sop_instance)))


def store_rsp(one: Sample, status: int, message: int = 1) -> bytes:
    """Return a C-STORE-RSP (PS3.7 9.3.1.2)."""
    fields = ((0x0100, b"\x01\x80"), (0x0120, struct.pack("<H", message)), (0x0800, b"\x01\x01"), (0x0900, struct.pack("<H", status)))
    return command((0x0002, _uid(one.sop_class)), *fields, (0x1000, _uid(one.sop_instance)))


def status_of(body: bytes) -> int:
    """Return the Status of a response in one P-DATA-TF body."""
    at = body.index(b"\x00\x00\x00\x09\x02\x00\x00\x00")
    return int(struct.unpack_from("<H", body, at + 8)[0])


def store_pdus(one: Sample, context: int = 3, message: int = 1, chunk: int = 16000) -> list[bytes]:
    """Return the P-DATA-TFs of a whole C-STORE request: the command, then the data set in pieces of `chunk` bytes."""
    body = data_set(one.path.read_bytes())
    pieces = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    last = len(pieces) - 1
    return [pdv(context, 3, store_rq(one, message)), *(pdv(context, 2 * (number == last), piece) for number, piece in enumerate(pieces))]


def readable(*descriptors: int, seconds: float | None = None) -> list[int]:
    """Return which of these can be read, once one of them can or `seconds` are over. `select` would end at descriptor 1024."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)]


class Wire:
    """One connection, plain or TLS, read PDU by PDU. Use as a context manager."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.sock.close()

    def send(self, *parts: bytes) -> None:
        """Send all of `parts`."""
        for part in parts:
            self.sock.sendall(part)

    def read(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; (0, b"") when the other side has ended."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        return head[0], self._exactly(struct.unpack(">I", head[2:])[0])

    def whole(self) -> bytes:
        """Return the next PDU with its header."""
        kind, body = self.read()
        return pdu(kind, body)

    def ended(self) -> bool:
        """Tell whether the other side ends it now; whatever it still sends is read and dropped."""
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def reset(self) -> None:
        """Vanish: the next thing the other side sees is a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def associate(self, calling: str = "CT1", called: str = "PACS", contexts: Iterable[Context] = CONTEXTS) -> None:
        """Open an association. Raises `AssertionError` when it is not accepted."""
        self.send(associate_rq(calling, called, contexts))
        kind, body = self.read()
        assert kind == ASSOCIATE_AC, f"PDU type {kind}: {body[:16].hex()}"

    def echo(self, message: int = 1) -> None:
        """C-ECHO on context 1. Raises `AssertionError` without a successful answer."""
        self.send(pdv(1, 3, echo_rq(message)))
        kind, body = self.read()
        assert kind == P_DATA and status_of(body) == 0, f"PDU type {kind}: {body[:16].hex()}"

    def release(self) -> None:
        """Release the association."""
        self.send(pdu(RELEASE_RQ, bytes(4)))
        kind, _ = self.read()
        assert kind == RELEASE_RP, kind

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                piece = self.sock.recv(min(count - len(found), 1 << 20))
            except (ConnectionError, ssl.SSLError):
                piece = b""
            if not piece:
                break
            found += piece
        return found


def dial(port: int, tls: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None, seconds: float = READY_SECONDS) -> Wire:
    """Connect to the loopback address."""
    sock = socket.create_connection((LOOPBACK, port), seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Wire(tls.wrap_socket(sock, session=session) if tls else sock)


class FakePeer:
    """A peer that runs `script(wire)` on each connection, in a thread of its own. `tls`: a server context, or none."""

    def __init__(self, port: int, script: Callable[[Wire], None], tls: ssl.SSLContext | None = None, raw: bool = False) -> None:
        self._script, self._tls, self._raw = script, tls, raw
        self._socket = socket.create_server((LOOPBACK, port))
        self.errors: list[BaseException] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> FakePeer:
        return self

    def __exit__(self, *_: object) -> None:
        # A blocked accept holds the socket open: shut it down first.
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        sock.settimeout(READY_SECONDS)
        try:
            wire = Wire(self._tls.wrap_socket(sock, server_side=True) if self._tls and not self._raw else sock)
            with wire:
                self._script(wire)
        except OSError:
            pass  # the other side went away: that is what these tests are about
        except BaseException as error:
            self.errors.append(error)
