"""The data objects of the PIV application (SP 800-73-4 Part 1, table 3 and appendix A) and those that the card makes itself."""

from __future__ import annotations

import hashlib
from typing import Final

from virtualcard import tlv
from virtualcard.state import CardState

AID: Final = bytes.fromhex("A000000308000010000100")
CHUID, CAPABILITIES, HISTORY, DISCOVERY = 0x5FC102, 0x5FC107, 0x5FC10C, 0x7E
RETIRED_REFERENCES: Final = range(0x82, 0x96)
RETIRED_CERTIFICATES: Final = range(0x5FC10D, 0x5FC121)
CERTIFICATES: Final = {0x9A: 0x5FC105, 0x9C: 0x5FC10A, 0x9D: 0x5FC10B, 0x9E: 0x5FC101} | dict(
    zip(RETIRED_REFERENCES, RETIRED_CERTIFICATES, strict=True)
)
WRITABLE: Final = frozenset(range(0x5FC101, 0x5FC124)) - {0x5FC104}
NEED_PIN: Final = frozenset({0x5FC103, 0x5FC108, 0x5FC109, 0x5FC121})  # fingerprints, face, printed information, iris
MAX_BYTES: Final = 3072

# FASC-N of a card that no agency of the U.S. government issued (agency 9999, system 9999, credential 999999, series 0,
# individual 1, person 0000000000, category 3, organisation 0000, association 1); TIG SCEPACS 2.3, section 2.1.
_FASC_N_DIGITS: Final = "9999=9999=999999=0=1=0000000000300001"


def read(state: CardState, tag: int) -> bytes | None:
    """Return what GET DATA gives for `tag`, None where there is nothing."""
    if tag == DISCOVERY:
        return tlv.encode(DISCOVERY, tlv.encode(0x4F, AID) + tlv.encode(0x5F2F, bytes.fromhex("4000")))  # the card's own PIN only
    if tag in state.objects:
        return tlv.encode(0x53, state.objects[tag])
    made = {CHUID: _chuid, CAPABILITIES: _capabilities, HISTORY: _history}.get(tag)
    value = made(state) if made else b""
    return tlv.encode(0x53, value) if value else None


def guid(state: CardState) -> bytes:
    """Return the card's GUID: its last eight bytes are the serial number, which is what OpenSC shows of it."""
    return hashlib.sha256(b"wardgate virtual card " + state.serial).digest()[:8] + state.serial


def _chuid(state: CardState) -> bytes:
    parts = ((0x30, _fasc_n()), (0x34, guid(state)), (0x35, b"20991231"), (0x3E, b""), (0xFE, b""))
    return b"".join(tlv.encode(tag, value) for tag, value in parts)


def _capabilities(state: CardState) -> bytes:
    """Card Capability Container: a card identifier under our own manufacturer byte, every other field as the standard fixes it."""
    identifier = bytes.fromhex("A000000116FF02") + hashlib.sha256(guid(state)).digest()[:14]
    parts = ((0xF0, identifier), (0xF1, b"\x21"), (0xF2, b"\x21"), (0xF3, b""), (0xF4, b"\x00"), (0xF5, b"\x10"))
    empty = (0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE)
    return b"".join(tlv.encode(tag, value) for tag, value in parts) + b"".join(tlv.encode(tag, b"") for tag in empty)


def _history(state: CardState) -> bytes:
    """Key History: how many retired keys have their certificate on the card; they fill the slots from 82 upwards."""
    count = sum(1 for tag in RETIRED_CERTIFICATES if tag in state.objects)
    return b"".join(tlv.encode(tag, value) for tag, value in ((0xC1, bytes([count])), (0xC2, b"\0"), (0xFE, b""))) if count else b""


def _fasc_n() -> bytes:
    """Return the FASC-N: five bits a character, low bit first, odd parity; start, digits, end, then the check character."""
    digits = [0xB, *(0xD if c == "=" else int(c) for c in _FASC_N_DIGITS), 0xF]
    check = 0
    for digit in digits:
        check ^= digit
    bits = "".join(f"{digit:04b}"[::-1] + str(1 - digit.bit_count() % 2) for digit in [*digits, check])
    return int(bits, 2).to_bytes(25, "big")
