"""P-DATA-TF and its presentation data values (PS3.8 9.3.5, annex E), for tests and small tools.

The gateway's own data path does not come here: `walker` follows P-DATA-TF without copying it.
"""

from __future__ import annotations

import struct
from typing import Final

from wardgate.codes import Code
from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.limits import Limits
from wardgate.upperlayer.terms import PduType
from wardgate.upperlayer.value import Value

_PDV: Final = struct.Struct(">IBB")
_HEADER: Final = struct.Struct(">BBI")
COMMAND: Final = 1  # message control header, bit 0
LAST: Final = 2  # bit 1


class PDV(Value):
    """One presentation data value: a fragment. `control` is the message control header with its reserved bits."""

    context_id: int
    control: int
    data: bytes

    @property
    def is_command(self) -> bool:
        """Tell a command fragment from a data set fragment."""
        return bool(self.control & COMMAND)

    @property
    def is_last(self) -> bool:
        """Tell whether the fragment ends its command or data set."""
        return bool(self.control & LAST)


class PDataTF(Value):
    """P-DATA-TF (PS3.8 9.3.5)."""

    values: tuple[PDV, ...]
    reserved: int = 0

    def encode(self) -> bytes:
        """Return the PDU."""
        parts = [_PDV.pack(len(value.data) + 2, value.context_id, value.control) + value.data for value in self.values]
        return _HEADER.pack(PduType.P_DATA_TF, self.reserved, sum(map(len, parts))) + b"".join(parts)

    @classmethod
    def decode(cls, data: bytes, limits: Limits) -> PDataTF:
        """Take a whole PDU whose header was checked. Raises `PduError`."""
        values: list[PDV] = []
        at = 6
        while at < len(data):
            left = len(data) - at
            if left < 6:
                raise PduError(at, "PS3.8 9.3.5.1", f"{left} bytes are left where a PDV header of 6 bytes must stand")
            if len(values) >= limits.pdvs:
                raise PduError(at, "PS3.8 9.3.5", f"more than {limits.pdvs} presentation data values", code=Code.PDU_TOO_MANY)
            length, context_id, control = _PDV.unpack_from(data, at)
            if not 2 <= length <= left - 4:
                raise PduError(at, "PS3.8 9.3.5.1", f"the PDV says {length} bytes; 2 to {left - 4} are possible")
            if not context_id & 1:
                raise PduError(at + 4, "PS3.8 9.3.2.2", f"presentation context ID {context_id} is not odd")
            values.append(PDV(context_id, control, data[at + 6 : at + 4 + length]))
            at += 4 + length
        if not values:
            raise PduError(6, "PS3.8 9.3.5", "the P-DATA-TF has no presentation data value")
        return cls(tuple(values), data[1])
