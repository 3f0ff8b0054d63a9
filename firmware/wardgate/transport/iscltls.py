"""ISCL inside TLS, for a site that must keep ISCL from end to end: the ISCL channel whose bytes a TLS channel of a named profile carries.

First TLS shakes hands and the peer's certificate is judged; only then does ISCL say its first byte. Neither layer believes the other: both
have to hold, and each fails with codes of its own. Either role of TLS goes with the same role of ISCL, client with client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.iscl.errors import Condition, IsclError
from wardgate.iscl.room import ROOM
from wardgate.iscl.table import State
from wardgate.transport.iscl import VERSION, IsclChannel

if TYPE_CHECKING:
    from wardgate.iscl.primitives import Primitives
    from wardgate.iscl.settings import Settings
    from wardgate.iscl.terms import Role
    from wardgate.transport.isclkeys import Token
    from wardgate.transport.peer import PeerIdentity
    from wardgate.transport.tls import TlsChannel

_READ_BYTES: Final = 16384  # at least, of what TLS gives: one record
_NOTHING: Final = memoryview(bytearray())


class CarrierEnded(IsclError):
    """TLS said close_notify while ISCL had not taken its leave: somebody cut what only looks like a clean end."""

    def __init__(self) -> None:
        super().__init__(Condition.TRANSMISSION_FAILED, "TLS ended, ISCL did not")
        self.code = Code.ISCL_CARRIER_ENDED


class IsclInTls(IsclChannel):
    """After any `IsclError` or `TlsFailure` the channel is dead. What an `IsclError` still has to say is in `to_send` as TLS records."""

    tls_first = True

    def __init__(
        self, role: Role, settings: Settings, primitives: Primitives, token: Token, tls: TlsChannel, judge: Callable[[], PeerIdentity]
    ) -> None:
        """`judge` judges the certificate when TLS has shaken hands; it raises what ends the connection."""
        super().__init__(role, settings, primitives, token)
        self.tls = tls
        self.identity: PeerIdentity | None = None
        self._judge = judge
        self._left = False  # our close_notify is said
        self._suite = self.cipher

    def step(self, data: bytes | memoryview | None) -> tuple[bytes, bool]:
        """Take wire bytes (None: begin; empty: the peer closed); return wire bytes and whether both layers are up.

        Raises `TlsFailure`, what `judge` raises, `IsclError`.
        """
        if self.identity is None:
            wire, up = self.tls.step(data)
            if not up:
                return wire, False
            self.identity = self._judge()
            self.version = f"{VERSION} in {self.tls.version} {self.tls.cipher}:"
            said, _ = super().step(None)
            return b"".join((wire, *self._sealed([said]), self._inner(b""))), self.done
        if not data:
            return super().step(b"")
        return self._inner(data), self.done

    def _inner(self, wire: bytes | memoryview) -> bytes:
        """Give the ISCL handshake what TLS has for it; return what is said to that, and what TLS says itself."""
        answer: list[bytes] = []
        for plain in self._opened(wire):
            try:
                said, _ = super().step(plain)
            except IsclError as error:
                raise self._under_tls(error) from error
            answer += self._sealed([said])
        self._carried()
        return b"".join((*answer, self.tls.to_send()))

    def _carried(self) -> None:
        """Raise `CarrierEnded` when TLS has ended and ISCL goes on."""
        if self.tls.ended and self._engine.state is not State.CLOSED:
            self._engine.lost()
            raise CarrierEnded

    def _opened(self, wire: bytes | memoryview) -> list[memoryview]:
        """Return what TLS has, in pieces that nobody writes over."""
        pieces = []
        while True:
            into = ROOM.take(max(len(wire), _READ_BYTES))
            size = self.tls.open(wire, into)
            wire = b""
            if size:
                pieces.append(into[:size])
            if not self.tls.pending:
                break
        return pieces

    def _sealed(self, pieces: list[bytes]) -> list[bytes]:
        records: list[bytes] = []
        for piece in pieces:
            sealed = self.tls.seal(piece) if piece else b""
            records += sealed if isinstance(sealed, list) else [sealed]
        return records

    def _under_tls(self, error: IsclError) -> IsclError:
        """A NAK of ISCL goes out under TLS like everything else; after an integrity failure there is none."""
        if error.to_send:
            error.to_send = b"".join(self._sealed([error.to_send]))
        return error

    # --- event loop

    def open(self, wire: bytes | memoryview, into: memoryview) -> int:
        """As `IsclChannel.open`. Raises `TlsFailure` too, and `CarrierEnded`."""
        try:
            if wire:
                for plain in self._opened(wire):
                    super().open(plain, _NOTHING)
                self._carried()
            return super().open(b"", into)
        except IsclError as error:
            raise self._under_tls(error) from error

    def to_send(self) -> bytes | bytearray | memoryview:
        """Return wire bytes that are due: of ISCL under TLS, of TLS itself, at the end its close_notify."""
        records = self._output()
        if self._engine.ended and self._engine.state is State.CLOSED and not self._left:
            self._left = True
            records.append(self.tls.close())
        return b"".join((*records, self.tls.to_send()))

    @property
    def ended_early_code(self) -> Code:  # type: ignore[override]
        """Which layer was at work."""
        return self.tls.ended_early_code if self.identity is None else IsclChannel.ended_early_code

    def _output(self) -> list[bytes]:
        return self._sealed(super()._output())
