"""One TLS connection without a socket: wire bytes in, wire bytes out.

A channel is used by one thread at a time: first a handshake thread, then the event loop.
"""

from __future__ import annotations

import ssl
from typing import Final

from wardgate.codes import Code
from wardgate.transport import compat
from wardgate.transport.context import outside_profile
from wardgate.transport.errors import TlsFailure, explain

RECORD_BYTES: Final = 16384  # RFC 8446 5.1
_SHORT_BYTES: Final = 65536
_NONE: Final = b""


class TlsChannel:
    """TLS over `MemoryBIO`. After any `TlsFailure` the channel is dead: nothing more is sent but the error's `to_send`."""

    truncated_code = Code.TLS_TRUNCATED
    ended_early_code = Code.TLS_ENDED_IN_HANDSHAKE
    talks = False  # what the protocol says of its own goes with the data, and one close_notify is leave enough
    tls_first = True
    busy = False
    over = True
    __slots__ = ("_cipher", "_context", "_failed", "_full", "_incoming", "_object", "_outgoing", "_piece", "_version", "done", "ended")

    def __init__(
        self,
        context: ssl.SSLContext,
        server_side: bool,
        server_name: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
        many: bool = False,
    ) -> None:
        """Prepare; `server_name` (SNI, clients; bytes: as on the wire) and `session` (to resume, clients, made by the same context) may
        be None.

        `many`: one of hundreds of channels, where 16 KiB of memory for each count more than a fifth of its speed with small objects.
        """
        self._context = context
        self._piece = RECORD_BYTES // 4 if many else RECORD_BYTES
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_name, session)
        self._failed = False
        self._full = False
        self._version = self._cipher = ""
        self.done = False  # the handshake is done
        self.ended = False  # the peer said close_notify: no more data will come

    def step(self, data: bytes | memoryview | None) -> tuple[bytes, bool]:
        """Take wire bytes (None: none yet; empty: the peer closed) and go on with the handshake; return wire bytes to send and "done?".

        Blocks while the key signs. Raises `TlsFailure`. When done, data of the peer may already wait: call `open` with no bytes.
        """
        if data:
            self._incoming.write(data)
        elif data is not None:
            raise self._fail(Code.TLS_ENDED_IN_HANDSHAKE, "end of stream")
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read(), False
        except ssl.SSLError as error:
            raise self._fail(*explain(error, handshake=True)) from error
        cipher = self._object.cipher()
        self._version, self._cipher = self._object.version() or "", cipher[0] if cipher else ""
        if outside_profile(self._context, self._version, self._cipher):
            raise self._fail(Code.SUITE_OUTSIDE_PROFILE, f"{self._version} {self._cipher}")
        self.done = True
        self._full = True  # what came with the last flight has not been looked at
        return self._outgoing.read(), True

    def seal(self, data: bytes | bytearray | memoryview) -> bytes | list[bytes]:
        """Return the wire bytes of `data`, in pieces when it is long: the BIO keeps for ever the room of its fullest moment."""
        size = len(data)
        if size <= RECORD_BYTES:
            if size:
                try:
                    if self._object.write(data) != size:
                        raise self._fail(Code.TLS_FAILED, "a record was cut")  # OpenSSL takes a whole record or none
                except ssl.SSLError as error:
                    raise self._fail(*explain(error, handshake=False)) from error
            return self._outgoing.read()
        step = self._piece if size <= _SHORT_BYTES else 2 * RECORD_BYTES
        view = memoryview(data)
        read = self._outgoing.read
        pieces = []
        for start in range(0, size, step):
            self._write(view[start : start + step])
            pieces.append(read())
        return pieces

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        write = self._object.write
        try:
            sent = write(data)
            size = len(data)
            while sent < size:  # one record a call
                sent += write(memoryview(data)[sent:])
        except ssl.SSLError as error:
            raise self._fail(*explain(error, handshake=False)) from error

    def open(self, wire: bytes | memoryview, into: memoryview) -> int:
        """Take wire bytes, put their data into `into`, return how many bytes. See `pending`, `ended`, `to_send` afterwards.

        Raises `TlsFailure`; TLS 1.3 servers refuse a client's certificate only here, after the client's handshake was done.
        """
        if len(wire) > _SHORT_BYTES:  # in pieces: the BIO keeps for ever the room of its fullest moment
            view, total = memoryview(wire), 0
            for start in range(0, len(view), _SHORT_BYTES):
                total += self.open(view[start : start + _SHORT_BYTES], into[total:])
            return total
        incoming = self._incoming
        if wire:
            incoming.write(wire)
        filled, room = 0, len(into)
        read, buffered = self._object.read, self._object.pending
        try:
            while filled < room:
                count = read(room - filled, into[filled:])
                if not count:
                    self.ended = True
                    break
                filled += count  # type: ignore[operator]
                if not incoming.pending and not buffered():  # asking for more would raise, which costs as much as reading
                    self._full = False
                    return filled
        except ssl.SSLWantReadError:
            self._full = False
            return filled
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise self._fail(*explain(error, handshake=False)) from error
        self._full = not self.ended
        return filled

    @property
    def pending(self) -> bool:
        """Whether `open` with no new bytes may give more data, because `into` was too small or the handshake has just ended."""
        return self._full and (self._incoming.pending > 0 or self._object.pending() > 0)

    @property
    def left(self) -> bool:
        """The peer said close_notify, and what it said before was given out."""
        return self.ended

    def hold(self, on: bool) -> None:
        """Who does not read holds a TLS peer well enough."""

    def to_send(self) -> bytes:
        """Return wire bytes that TLS itself wants sent after `open` (the answer to a key update); mostly empty."""
        return self._outgoing.read() if self._outgoing.pending else _NONE

    def tick(self) -> None:
        """TLS has no deadlines of its own."""

    def dispose(self) -> None:
        """Nothing is held that would not go with the channel."""

    def close(self) -> bytes:
        """Return our close_notify, to be sent on a clean end; empty when the channel failed or never came up."""
        if self._failed or not self.done:
            return _NONE
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # wants the peer's close_notify, which we do not wait for
        return self._outgoing.read()

    @property
    def context(self) -> ssl.SSLContext:
        """The context that it was made by."""
        return self._context

    @property
    def version(self) -> str:
        """Such as `TLSv1.3`; empty before the handshake was done."""
        return self._version

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the suite, such as `TLS_AES_256_GCM_SHA384`; empty before the handshake was done."""
        return self._cipher

    @property
    def resumed(self) -> bool:
        """Whether an earlier session was resumed."""
        return bool(self._object.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session to keep. With TLS 1.3 it can be resumed only after data of the server has been opened."""
        return self._object.session

    @property
    def peer_leaf(self) -> bytes:
        """The certificate of the peer, DER; empty when it sent none."""
        return self._object.getpeercert(True) or _NONE

    @property
    def peer_chain(self) -> list[bytes]:
        """The verified chain, leaf first, anchor last, DER; empty when resumed or when the peer sent no certificate."""
        return compat.verified_chain(self._object)

    def _fail(self, code: Code, detail: str) -> TlsFailure:
        self._failed = True
        return TlsFailure(code, detail, self._outgoing.read())
