"""Every guess of reconstruction profile R1 as one value, so that a trace of a real peer can be matched without new code.

None of it is ISCL V1.00, whose text is not public. The defaults are those of R1.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from wardgate.iscl.terms import Way

AUTHENTICATION_KEY: Final = 0  # as master key: that of the slot named at authentication


class ByteOrder(Enum):
    """Of every 32-bit integer."""

    BIG = ">"
    LITTLE = "<"


class OptionPlace(Enum):
    """Where card results and the MD5 order travel: header field Option, or a 32-bit integer behind the body."""

    HEADER = "header"
    BODY = "body"


class Padding(Enum):
    """How data and MAC are filled up to whole cipher blocks."""

    COUNT = "count"  # 1 to 8 bytes, each holding the count
    ISO_METHOD_2 = "iso-method-2"  # 80, then zeros (ISO/IEC 9797-1 padding method 2)
    ZERO = "zero"  # zeros, none when it fits


class Md5Order(Enum):
    """PS3.15-2000 B.2: encrypt the digest, or digest an encrypted random number along with the message."""

    A = "encrypt-digest"
    B = "encrypt-random"


class OrderSign(Enum):
    """How a receiver learns which MD5 order was used."""

    OPTION = "option"  # bit 0 of Option in the MAC notification
    TRY_BOTH = "try-both"


class DesMacKey(Enum):
    """Which key makes the DES-MAC. `VARIANT` (each byte XOR F0) closes the hole that `MESSAGE` has together with DES-CBC."""

    MESSAGE = "message"
    VARIANT = "variant"


class Derivation(Enum):
    """What becomes of the random number of key ID 0x10."""

    ENCRYPT = "encrypt"  # odd parity of E(K, RND)
    CLEAR = "clear"  # the random number itself: the key travels in clear, laboratory only


class MessageUnit(Enum):
    """What one ISCL message holds."""

    PDU = "pdu"  # one PDU of the DICOM upper layer
    WRITE = "write"  # whatever the sender had at once


class Reconstruction(NamedTuple):
    """R1. Peers must agree on all of it beforehand: nothing here is negotiated."""

    byte_order: ByteOrder = ByteOrder.BIG
    swap_64bit: bool = False  # challenges, responses and random numbers byte by byte in reverse
    strict_zero: bool = False  # Indicator, Time stamp, Error number and Reserved must be 0
    option_place: OptionPlace = OptionPlace.HEADER
    version: int = 0x00000100
    padding: Padding = Padding.COUNT
    chain_mac: bool = True  # the register runs on over the MAC
    chain_messages: bool = True  # and over messages; else it starts at zero with each
    shared_register: bool = False  # one register for both directions; with `half_duplex` only
    half_duplex: bool = False
    order_sign: OrderSign = OrderSign.OPTION
    order_b_as_message: bool = True  # the digest of order B is encrypted when the message is
    des_mac_key: DesMacKey = DesMacKey.MESSAGE
    derivation: Derivation = Derivation.ENCRYPT
    master_to_server: int = AUTHENTICATION_KEY  # K of E(K, RND), client to server: else the encryption slot, 1 to 8
    master_to_client: int = AUTHENTICATION_KEY
    message_unit: MessageUnit = MessageUnit.PDU

    def master(self, way: Way) -> int:
        """Return which key makes the keys of messages that go `way`: `AUTHENTICATION_KEY`, or an encryption slot."""
        return self.master_to_server if way is Way.TO_SERVER else self.master_to_client


R1 = Reconstruction()
