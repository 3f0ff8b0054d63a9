"""The words and numbers of ISCL that an implementer published, and our extension numbers (vendor range, top bit set)."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final

HEADER_BYTES: Final = 32
BLOCK_BYTES: Final = 8160  # default communication block length, header not counted
MESSAGE_BYTES: Final = 1 << 20  # default maximum message length
MAX_NAME_BYTES: Final = 128  # authentication data, 1 to 128 bytes a side
SLOTS: Final = range(1, 9)  # key pair IDs
SESSION_KEY: Final = 0x10  # key ID: a key of its own for each message
ACK: Final = 0
NAK: Final = 0xFFFFFFFF
EXTENSION: Final = 0x80000000  # numbers with this bit are ours


class Role(Enum):
    """The TCP acceptor is the server; it speaks first."""

    SERVER = "server"
    CLIENT = "client"


class Way(Enum):
    """Which way something goes; each slot has a key for either way."""

    TO_SERVER = "client to server"
    TO_CLIENT = "server to client"


class MessageId(IntEnum):
    """Low half: 1 request, 2 notification, 3 response."""

    LINE_REQUEST = 0x00110001
    LINE_RESPONSE = 0x00110003
    AUTH_REQUEST = 0x00120001
    AUTH_RESPONSE = 0x00120003
    PASS1 = 0x00130002
    PASS2 = 0x00140002
    PASS3 = 0x00150002
    COMPLETION = 0x00160002
    TRANSMISSION_REQUEST = 0x00200001
    TRANSMISSION_RESPONSE = 0x00200003
    DATA = 0x00200002
    RANDOM_REQUEST = 0x00210001
    RANDOM_RESPONSE = 0x00210003
    MAC = 0x00230002
    THROUGH = 0x00260002
    DISCONNECT_REQUEST = 0x00FF0001
    DISCONNECT_RESPONSE = 0x00FF0003


class Method(IntEnum):
    """Authentication methods."""

    THREE_PASS_FOUR_WAY = 0x00000000
    ISO_9798_2_AES = 0x80000001  # extension: full tokens of ISO/IEC 9798-2, AES-CBC
    ISO_9798_4_CMAC = 0x80000002  # extension: check function AES-CMAC


class Encryption(IntEnum):
    """Encryption methods."""

    NONE = 0x00000000
    DES_CBC = 0x00001212
    TRIPLE_DES_CBC = 0x80000001  # extensions
    AES_128_CBC = 0x80000002
    AES_256_CBC = 0x80000003
    AES_256_GCM = 0x80000004


class Mac(IntEnum):
    """MAC methods. `NONE` is a number of the protocol; this engine never takes it (PS3.15-2000 B.2: integrity is mandatory)."""

    NONE = 0x00000000
    MD5 = 0x00001441
    DES_MAC = 0x00004001
    INTEGRATED = 0x80000100  # extensions
    RETAIL = 0x80000101
    AES_CMAC = 0x80000102
    HMAC_SHA256 = 0x80000103


KEY_BYTES: Final = {
    Encryption.NONE: 0,
    Encryption.DES_CBC: 8,
    Encryption.TRIPLE_DES_CBC: 24,
    Encryption.AES_128_CBC: 16,
    Encryption.AES_256_CBC: 32,
    Encryption.AES_256_GCM: 32,
}
UNIT_BYTES: Final = {  # of the cipher
    Encryption.NONE: 1,
    Encryption.DES_CBC: 8,
    Encryption.TRIPLE_DES_CBC: 8,
    Encryption.AES_128_CBC: 16,
    Encryption.AES_256_CBC: 16,
    Encryption.AES_256_GCM: 1,
}
MAC_KEY_BYTES: Final = {Mac.MD5: 8, Mac.DES_MAC: 8, Mac.INTEGRATED: 0, Mac.RETAIL: 16, Mac.AES_CMAC: 16, Mac.HMAC_SHA256: 32}
MAC_BYTES: Final = {Mac.MD5: 16, Mac.DES_MAC: 8, Mac.INTEGRATED: 0, Mac.RETAIL: 8, Mac.AES_CMAC: 16, Mac.HMAC_SHA256: 32}
GCM_TAG_BYTES: Final = 16


def is_extension(number: int) -> bool:
    """Tell whether a method is one of ours, for two configured peers only."""
    return bool(number & EXTENSION)
