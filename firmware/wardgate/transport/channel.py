"""What carries the bytes of a leg, as the relay sees it: TLS and ISCL have the same face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wardgate.codes import Code


class Channel(Protocol):
    """Wire bytes in and out, one thread at a time. `talks`: it says things of its own while data pass, and takes its leave in turns."""

    @property
    def talks(self) -> bool:
        """Whether `to_send`, `busy`, `over` and `tick` mean anything."""

    @property
    def tls_first(self) -> bool:
        """Whether the first bytes on the wire are TLS."""

    @property
    def ended(self) -> bool:
        """The peer took its leave: no more data will come."""

    @property
    def left(self) -> bool:
        """The peer took its leave; what it said before may not have been given out yet."""

    @property
    def pending(self) -> bool:
        """Whether `open` with no new bytes gives more."""

    @property
    def busy(self) -> bool:
        """Whether data given to `seal` have not become wire bytes yet."""

    @property
    def over(self) -> bool:
        """Whether both took their leave, or nothing more can be said."""

    @property
    def version(self) -> str:
        """Name of the protocol."""

    @property
    def cipher(self) -> str:
        """Name of the suite."""

    @property
    def truncated_code(self) -> Code:
        """The code of a connection that ended without leave."""

    @property
    def ended_early_code(self) -> Code:
        """The code of a connection that ended in the handshake."""

    def step(self, data: bytes | memoryview | None) -> tuple[bytes, bool]:
        """Go on with the handshake; return wire bytes and "done?". Blocks for keys."""

    def seal(self, data: bytes | bytearray | memoryview) -> bytes | list[bytes]:
        """Take data; return wire bytes to send now."""

    def open(self, wire: bytes | memoryview, into: memoryview) -> int:
        """Take wire bytes, put data into `into`, return how many."""

    def to_send(self) -> bytes | bytearray | memoryview:
        """Return wire bytes that the protocol itself wants sent."""

    def close(self) -> bytes | bytearray | memoryview:
        """Take leave; return wire bytes."""

    def hold(self, on: bool) -> None:
        """Nobody takes data for now, or somebody does again. Means something only where the peer must ask before it speaks."""

    def tick(self) -> None:
        """Judge deadlines. Raises when one passed."""

    def dispose(self) -> None:
        """The socket is closed."""
