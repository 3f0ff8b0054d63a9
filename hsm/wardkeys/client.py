"""The caller's side of the key service: blocking, and lean enough for a worker to import.

`KeyClient` makes a connection for each call, so it survives a fork, a restart of the service, and any number of threads. Who asks often,
or for ISCL, keeps one `Link`.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final, Self

from wardgate.codes import Code
from wardkeys import wire
from wardkeys.errors import KeyServiceError, code_of
from wardkeys.wire import Op

DEFAULT_SECONDS: Final = 15.0  # more than the service's own deadline: its answer says more than ours could


class Link:
    """One connection, one call at a time. Every method raises `KeyServiceError`."""

    def __init__(self, path: str, seconds: float = DEFAULT_SECONDS) -> None:
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise KeyServiceError(Code.KEYS_UNREACHABLE, f"{path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the connection; the service forgets the challenges given to it."""
        self._socket.close()

    def abandon(self) -> None:
        """From another thread: whoever waits for an answer has waited enough."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has its answer, or never was connected

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor, to wait for news of a watcher."""
        return self._socket.fileno()

    def call(self, op: int, *fields: bytes) -> list[bytes]:
        """Send one request and return the fields of its answer."""
        self._number += 1
        try:
            request = wire.encode_request(op, self._number, fields)
        except wire.WireError as error:
            raise KeyServiceError(Code.KEYS_WIRE, str(error)) from error
        try:
            self._socket.send(request)
        except TimeoutError as error:
            raise KeyServiceError(Code.KEYS_TIMEOUT, "the key service does not take the request") from error
        except OSError:
            pass  # turned away: its reason may be there to read
        while True:
            number, answer = self.receive()
            if number == self._number:
                return answer

    def receive(self) -> tuple[int, list[bytes]]:
        """Return (id, fields) of the next message."""
        try:
            packet = self._read()
        except TimeoutError as error:
            raise KeyServiceError(Code.KEYS_TIMEOUT, "the key service did not answer") from error
        except OSError as error:
            raise KeyServiceError(Code.KEYS_UNREACHABLE, f"{error.strerror or error}") from error
        if not packet:
            raise KeyServiceError(Code.KEYS_UNREACHABLE, "it closed the connection")
        try:
            _, number, status, fields = wire.decode_response(packet)
        except wire.WireError as error:
            raise KeyServiceError(Code.KEYS_WIRE, str(error)) from error
        if status:
            raise KeyServiceError(code_of(status), fields[0].decode("utf-8", "replace"))
        return number, fields

    def _read(self) -> bytes:
        try:
            return self._socket.recv(wire.MAX_PACKET)
        except ConnectionResetError:  # told once when the service closed without reading; what it said before is still there
            return self._socket.recv(wire.MAX_PACKET)

    def one(self, op: int, *fields: bytes) -> bytes:
        """Send one request whose answer has one field."""
        answer = self.call(op, *fields)
        if not answer:
            raise KeyServiceError(Code.KEYS_WIRE, "an answer without a field")
        return answer[0]

    def sign(self, uri: str, scheme: str, digest: bytes) -> bytes:
        """Return the signature of `digest` (Ed25519: of the message). ECDSA: DER."""
        return self.one(Op.SIGN, uri.encode(), scheme.encode(), digest)

    def agree(self, uri: str, point: bytes) -> bytes:
        """Return the x coordinate of ECDH between an EC key of the token and `point` (X9.62, uncompressed)."""
        return self.one(Op.AGREE, uri.encode(), point)

    def public(self, uri: str) -> bytes:
        """Return the SubjectPublicKeyInfo, DER. Needs the token only the first time."""
        return self.one(Op.PUBLIC, uri.encode())

    def certificate(self, uri: str) -> bytes:
        """Return the certificate, DER. Needs the token only the first time."""
        return self.one(Op.CERTIFICATE, uri.encode())

    def random(self, uri: str, count: int) -> bytes:
        """Return 1 to 4096 random bytes of the token."""
        return self.one(Op.RANDOM, uri.encode(), count.to_bytes(2, "big"))

    def list(self, uri: str = "pkcs11:") -> list[dict[str, Any]]:
        """Return what the tokens that are there hold, as far as the URI fits."""
        rows: list[dict[str, Any]] = json.loads(self.one(Op.LIST, uri.encode()))["objects"]
        return rows

    def status(self) -> dict[str, Any]:
        """Return `{"tokens": [...]}`."""
        states: dict[str, Any] = json.loads(self.one(Op.STATUS))
        return states


class Watch:
    """Token states, pushed by the service. Has a descriptor to wait on."""

    def __init__(self, path: str, seconds: float = DEFAULT_SECONDS) -> None:
        self._link = Link(path, seconds)
        self.first: dict[str, Any] = json.loads(self._link.one(Op.WATCH))

    def fileno(self) -> int:
        """Return the descriptor; readable when `receive` has something."""
        return self._link.fileno()

    def receive(self) -> dict[str, Any]:
        """Return the states after the next change. Raises `KeyServiceError`, also when the service ended."""
        states: dict[str, Any] = json.loads(self._link.receive()[1][0])
        return states

    def close(self) -> None:
        """Stop watching."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class KeyClient:
    """One key service, by the path of its socket. Every call is a connection of its own; all raise `KeyServiceError`."""

    def __init__(self, path: str, seconds: float = DEFAULT_SECONDS) -> None:
        self._path = path
        self._seconds = seconds

    def link(self) -> Link:
        """Return a connection to keep."""
        return Link(self._path, self._seconds)

    def watch(self) -> Watch:
        """Return the token states and what becomes of them."""
        return Watch(self._path, self._seconds)

    def sign(self, uri: str, scheme: str, digest: bytes) -> bytes:
        """As `Link.sign`."""
        with self.link() as link:
            return link.sign(uri, scheme, digest)

    def agree(self, uri: str, point: bytes) -> bytes:
        """As `Link.agree`."""
        with self.link() as link:
            return link.agree(uri, point)

    def public(self, uri: str) -> bytes:
        """As `Link.public`."""
        with self.link() as link:
            return link.public(uri)

    def certificate(self, uri: str) -> bytes:
        """As `Link.certificate`."""
        with self.link() as link:
            return link.certificate(uri)

    def random(self, uri: str, count: int) -> bytes:
        """As `Link.random`."""
        with self.link() as link:
            return link.random(uri, count)

    def list(self, uri: str = "pkcs11:") -> list[dict[str, Any]]:
        """As `Link.list`."""
        with self.link() as link:
            return link.list(uri)

    def status(self) -> dict[str, Any]:
        """As `Link.status`."""
        with self.link() as link:
            return link.status()
