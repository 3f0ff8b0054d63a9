"""What a return value of PKCS#11 means for a token: `Ckr` raised by every call that fails, and the kinds it falls into."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from wardgate.codes import Code


class Rv(IntEnum):
    """Return values (PKCS#11 2.40, pkcs11t.h) that we name; others are shown as a number."""

    OK = 0x000
    HOST_MEMORY = 0x002
    SLOT_ID_INVALID = 0x003
    GENERAL_ERROR = 0x005
    FUNCTION_FAILED = 0x006
    ARGUMENTS_BAD = 0x007
    ATTRIBUTE_SENSITIVE = 0x011
    ATTRIBUTE_TYPE_INVALID = 0x012
    ATTRIBUTE_VALUE_INVALID = 0x013
    DATA_INVALID = 0x020
    DATA_LEN_RANGE = 0x021
    DEVICE_ERROR = 0x030
    DEVICE_MEMORY = 0x031
    DEVICE_REMOVED = 0x032
    ENCRYPTED_DATA_LEN_RANGE = 0x041
    FUNCTION_CANCELED = 0x050
    FUNCTION_NOT_SUPPORTED = 0x054
    KEY_HANDLE_INVALID = 0x060
    KEY_SIZE_RANGE = 0x062
    KEY_TYPE_INCONSISTENT = 0x063
    KEY_FUNCTION_NOT_PERMITTED = 0x068
    MECHANISM_INVALID = 0x070
    MECHANISM_PARAM_INVALID = 0x071
    OBJECT_HANDLE_INVALID = 0x082
    OPERATION_ACTIVE = 0x090
    OPERATION_NOT_INITIALIZED = 0x091
    PIN_INCORRECT = 0x0A0
    PIN_INVALID = 0x0A1
    PIN_LEN_RANGE = 0x0A2
    PIN_EXPIRED = 0x0A3
    PIN_LOCKED = 0x0A4
    SESSION_CLOSED = 0x0B0
    SESSION_COUNT = 0x0B1
    SESSION_HANDLE_INVALID = 0x0B3
    TOKEN_NOT_PRESENT = 0x0E0
    TOKEN_NOT_RECOGNIZED = 0x0E1
    USER_ALREADY_LOGGED_IN = 0x100
    USER_NOT_LOGGED_IN = 0x101
    USER_PIN_NOT_INITIALIZED = 0x102
    BUFFER_TOO_SMALL = 0x150
    CRYPTOKI_NOT_INITIALIZED = 0x190
    CRYPTOKI_ALREADY_INITIALIZED = 0x191


_NAMES: Final = {int(rv): "CKR_" + rv.name for rv in Rv}

# The token may be out, or was out and is back, or the module lost its thread: look again before judging.
DOUBTFUL: Final = frozenset(
    {
        Rv.DEVICE_REMOVED,
        Rv.TOKEN_NOT_PRESENT,
        Rv.TOKEN_NOT_RECOGNIZED,
        Rv.SLOT_ID_INVALID,
        Rv.SESSION_CLOSED,
        Rv.SESSION_HANDLE_INVALID,
        Rv.SESSION_COUNT,
        Rv.USER_NOT_LOGGED_IN,
        Rv.CRYPTOKI_NOT_INITIALIZED,
        Rv.DEVICE_ERROR,
        Rv.DEVICE_MEMORY,
        Rv.GENERAL_ERROR,
        Rv.FUNCTION_FAILED,
        Rv.FUNCTION_CANCELED,
        Rv.HOST_MEMORY,
        Rv.OPERATION_ACTIVE,
        Rv.OPERATION_NOT_INITIALIZED,
    }
)
GONE: Final = frozenset({Rv.DEVICE_REMOVED, Rv.TOKEN_NOT_PRESENT, Rv.TOKEN_NOT_RECOGNIZED})
STALE_OBJECT: Final = frozenset({Rv.KEY_HANDLE_INVALID, Rv.OBJECT_HANDLE_INVALID})
WRONG_PIN: Final = frozenset({Rv.PIN_INCORRECT, Rv.PIN_INVALID, Rv.PIN_LEN_RANGE, Rv.PIN_EXPIRED, Rv.USER_PIN_NOT_INITIALIZED})


class Ckr(Exception):
    """A PKCS#11 call did not return CKR_OK."""

    def __init__(self, call: str, rv: int) -> None:
        super().__init__(f"{call}: {_NAMES.get(rv, hex(rv))}")
        self.rv = rv

    @property
    def code(self) -> Code:
        """The code of our table for a request that failed so."""
        if self.rv in GONE:
            return Code.KEYS_TOKEN_ABSENT
        if self.rv == Rv.PIN_LOCKED:
            return Code.KEYS_TOKEN_BLOCKED
        if self.rv in WRONG_PIN:
            return Code.KEYS_PIN_REFUSED
        if self.rv in DOUBTFUL:
            return Code.KEYS_TOKEN_FAILED
        if self.rv in STALE_OBJECT:
            return Code.KEYS_NO_KEY
        return Code.KEYS_TOKEN_REFUSED


class ModuleUnusable(Exception):
    """A PKCS#11 module cannot be loaded or does not give its functions."""
