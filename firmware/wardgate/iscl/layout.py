"""Where each field of each message body lies: the R1 layouts as a table. Codec and dissector both read it."""

from __future__ import annotations

from enum import Enum
from typing import Final

from wardgate.iscl.terms import MessageId


class Kind(Enum):
    """What a field is."""

    U32 = "u32"
    EIGHT = "8 bytes"  # in the extension methods of authentication: `BYTES`
    BYTES = "u32 length + bytes"
    REST = "all that is left"


Field = tuple[str, Kind]

LAYOUT: Final[dict[MessageId, tuple[Field, ...]]] = {
    MessageId.LINE_REQUEST: (("block_length", Kind.U32), ("version", Kind.U32)),
    MessageId.LINE_RESPONSE: (("status", Kind.U32), ("block_length", Kind.U32)),
    MessageId.AUTH_REQUEST: (("method", Kind.U32), ("key_id", Kind.U32), ("name", Kind.BYTES)),
    MessageId.AUTH_RESPONSE: (("status", Kind.U32), ("name", Kind.BYTES)),
    MessageId.PASS1: (("status", Kind.U32), ("challenge", Kind.EIGHT)),
    MessageId.PASS2: (("status", Kind.U32), ("response", Kind.EIGHT), ("challenge", Kind.EIGHT)),
    MessageId.PASS3: (("status", Kind.U32), ("response", Kind.EIGHT)),
    MessageId.COMPLETION: (("status", Kind.U32),),
    MessageId.TRANSMISSION_REQUEST: (("encryption", Kind.U32), ("key_id", Kind.U32), ("mac", Kind.U32), ("length", Kind.U32)),
    MessageId.TRANSMISSION_RESPONSE: (("status", Kind.U32), ("length", Kind.U32)),
    MessageId.RANDOM_REQUEST: (("random", Kind.EIGHT),),
    MessageId.RANDOM_RESPONSE: (("status", Kind.U32),),
    MessageId.DATA: (("data", Kind.REST),),
    MessageId.MAC: (("mac", Kind.REST),),
    MessageId.THROUGH: (("data", Kind.REST),),
    MessageId.DISCONNECT_REQUEST: (),
    MessageId.DISCONNECT_RESPONSE: (("status", Kind.U32),),
}
# Messages whose Option field means something: a card result, or the order of MD5.
WITH_OPTION: Final = frozenset({MessageId.PASS1, MessageId.PASS2, MessageId.PASS3, MessageId.RANDOM_REQUEST, MessageId.MAC})
PASSES: Final = frozenset({MessageId.PASS1, MessageId.PASS2, MessageId.PASS3})
MAX_FIELD_BYTES: Final = 512  # of a `BYTES` field
