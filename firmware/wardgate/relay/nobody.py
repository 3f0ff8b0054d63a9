"""Whom a leg and a walker tell when their association is over: nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wardgate.relay.leg import Leg
    from wardgate.upperlayer.walker import Sink


class Nobody:
    """Follows the protocols `relay.leg.Owner` and `upperlayer.walker.Follower`. A leg that still says something is closed."""

    def connected(self, leg: Leg) -> None:
        leg.close()

    def handshake_bytes(self, leg: Leg, data: bytes) -> None:
        leg.close()

    def lost(self, leg: Leg, reason: str) -> None:
        leg.close()

    def broken(self, leg: Leg, error: Exception) -> None:
        leg.close()

    def passes(self, data: memoryview) -> None: ...

    def control(self, pdu: bytes) -> None: ...

    def command(self, context: int, command: bytearray) -> Sink | None:
        return None

    def data_set(self, context: int, length: int) -> None: ...

    def long_pdu(self, length: int) -> None: ...


NOBODY: Final = Nobody()
