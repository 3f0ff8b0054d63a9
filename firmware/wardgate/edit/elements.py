"""Headers of data elements (PS3.5 7.1, 7.5): what the `dataset` edit must know of an encoding to walk a data set, and no more."""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final, NamedTuple

from wardgate.codes import Code

UNDEFINED: Final = 0xFFFFFFFF  # PS3.5 7.1.1: the length of a sequence, an item or encapsulated pixel data that ends with a delimiter
DELIMITERS: Final = 0xFFFE  # PS3.5 7.5: group of items and delimiters
ITEM: Final = 0xE000
ITEM_END: Final = 0xE00D
SEQUENCE_END: Final = 0xE0DD
# PS3.5 7.1.2: VRs with a length of 32 bits behind two reserved bytes, and those with one of 16 bits.
LONG_VRS: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
SHORT_VRS: Final = frozenset(
    (
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI",
        b"UL", b"US",
    )
)  # fmt: skip


class Encoding(Enum):
    """How the elements of a data set are written (PS3.5 annex A)."""

    IMPLICIT_LITTLE = "implicit VR little endian"
    EXPLICIT_LITTLE = "explicit VR little endian"
    EXPLICIT_BIG = "explicit VR big endian"


class DatasetError(Exception):
    """A data set that cannot be edited, with the `code` that says why. The text carries no content of the data set."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class Order(NamedTuple):
    """The byte order of a data set."""

    tag: struct.Struct
    u16: struct.Struct
    u32: struct.Struct


LITTLE: Final = Order(struct.Struct("<HH"), struct.Struct("<H"), struct.Struct("<I"))
BIG: Final = Order(struct.Struct(">HH"), struct.Struct(">H"), struct.Struct(">I"))

_PLAIN: Final = {
    "1.2.840.10008.1.2": Encoding.IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.1": Encoding.EXPLICIT_LITTLE,
    "1.2.840.10008.1.2.1.98": Encoding.EXPLICIT_LITTLE,  # encapsulated uncompressed
    "1.2.840.10008.1.2.2": Encoding.EXPLICIT_BIG,
    "1.2.840.10008.1.2.5": Encoding.EXPLICIT_LITTLE,  # RLE
    "1.2.840.10008.1.2.8.1": Encoding.EXPLICIT_LITTLE,  # frames deflated, the data set is not
}
_ENCAPSULATED: Final = "1.2.840.10008.1.2.4."  # PS3.5 A.4: explicit VR little endian, but for:
_DEFLATED: Final = frozenset(("1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"))  # JPIP, deflated


def encoding_of(transfer_syntax: str) -> Encoding | None:
    """Return how a data set in this transfer syntax is written; `None`: deflated, private or not known, so it cannot be walked."""
    known = _PLAIN.get(transfer_syntax)
    if known is None and transfer_syntax.startswith(_ENCAPSULATED) and transfer_syntax not in _DEFLATED:
        return Encoding.EXPLICIT_LITTLE
    return known
