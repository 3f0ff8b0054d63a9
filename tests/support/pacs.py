"""A plain PACS made by hand: keeps what it was told, answers each instance with the status that the test wants, or not at all."""

from __future__ import annotations

import hashlib
import struct
import threading
import time
from collections import Counter

from support.wire import P_DATA, RELEASE_RP, RELEASE_RQ, FakePeer, Wire, associate_ac, command, pdu, pdv


class Pacs:
    """Use as a context manager. `statuses`: instance -> status (default 0); `silent`: instances at which it hangs up."""

    def __init__(self, port: int, delay_seconds: float = 0.0) -> None:
        self.port = port
        self.delay_seconds = delay_seconds
        self.statuses: dict[str, int] = {}
        self.silent: set[str] = set()
        self.refuse_contexts = False
        self.taken: list[tuple[str, str]] = []  # (instance, SHA-256), for which a success was sent
        self.asked: list[str] = []
        self.associations = 0
        self.most = 0  # associations at once
        self._now = 0
        self._lock = threading.Lock()
        self._peer: FakePeer | None = None

    def __enter__(self) -> Pacs:
        self._peer = FakePeer(self.port, self._script)
        return self

    def __exit__(self, *words: object) -> None:
        if self._peer is not None:
            self._peer.__exit__()

    @property
    def counts(self) -> Counter[str]:
        """How often each instance was taken."""
        return Counter(instance for instance, _ in self.taken)

    def _script(self, wire: Wire) -> None:
        kind, body = wire.read()
        if kind != 1:
            return
        with self._lock:
            self.associations += 1
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            answer = associate_ac(pdu(1, body))
            if self.refuse_contexts:
                answer = _refused(answer)
            wire.send(answer)
            self._serve(wire)
        finally:
            with self._lock:
                self._now -= 1

    def _serve(self, wire: Wire) -> None:
        data, request = b"", b""
        while True:
            kind, body = wire.read()
            if kind == RELEASE_RQ:
                wire.send(pdu(RELEASE_RP, bytes(4)))
                return
            if kind != P_DATA:
                return
            at = 0
            while at < len(body):
                length, context, header = struct.unpack_from(">IBB", body, at)
                piece = body[at + 6 : at + 4 + length]
                at += 4 + length
                if header & 1:
                    request, data = piece, b""
                else:
                    data += piece
                    if header & 2 and not self._answer(wire, context, request, data):
                        return

    def _answer(self, wire: Wire, context: int, request: bytes, data: bytes) -> bool:
        fields = _fields(request)
        instance = fields[0x1000].decode().rstrip("\0 ")
        with self._lock:
            self.asked.append(instance)
        if instance in self.silent:
            return False
        time.sleep(self.delay_seconds)
        status = self.statuses.get(instance, 0)
        if status == 0 or status >> 12 == 0xB:
            with self._lock:
                self.taken.append((instance, hashlib.sha256(data).hexdigest()))
        response = command(
            (0x0002, fields[0x0002]), (0x0100, b"\x01\x80"), (0x0120, fields[0x0110]), (0x0800, b"\x01\x01"),
            (0x0900, struct.pack("<H", status)), (0x1000, fields[0x1000]),
        )  # fmt: skip
        wire.send(pdv(context, 3, response))
        return True


def _fields(request: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(request):
        _group, element, length = struct.unpack_from("<HHI", request, at)
        found[element] = request[at + 8 : at + 8 + length]
        at += 8 + length
    return found


def _refused(answer: bytes) -> bytes:
    out, at = bytearray(answer), 74
    while at < len(out):
        kind, length = out[at], struct.unpack_from(">H", out, at + 2)[0]
        if kind == 0x21:
            out[at + 6] = 4  # PS3.8 9.3.3.2: transfer syntaxes not supported
        at += 4 + length
    return bytes(out)
