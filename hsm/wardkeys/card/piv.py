"""The PIV application from the host's side (SP 800-73-4 Part 2): any card that has it, not only ours."""

from __future__ import annotations

import os
import zlib
from enum import IntEnum
from typing import Final

from wardgate.codes import Code
from wardkeys.card.channel import Channel, refused
from wardkeys.card.errors import CardError
from wardkeys.card.management import ManagementKey
from wardkeys.card.tlv import find, parse, tlv

AID: Final = bytes.fromhex("A000000308")
CHUID, CAPABILITIES, DISCOVERY = 0x5FC102, 0x5FC107, 0x7E
PIN, PUK = 0x80, 0x81
MAX_CERTIFICATE_BYTES: Final = 16384
_SELECT, _VERIFY, _CHANGE, _UNBLOCK, _GENERATE, _AUTHENTICATE, _GET, _PUT = 0xA4, 0x20, 0x24, 0x2C, 0x47, 0x87, 0xCB, 0xDB
_MANAGEMENT: Final = 0x9B


class Slot(IntEnum):
    """Key references with a certificate (SP 800-73-4 Part 1, table 4b)."""

    AUTHENTICATION = 0x9A
    SIGNATURE = 0x9C
    KEY_MANAGEMENT = 0x9D
    CARD_AUTHENTICATION = 0x9E


class Algorithm(IntEnum):
    """SP 800-78-4 table 6-2; RSA 3072 is of SP 800-78-5."""

    RSA_3072 = 0x05
    RSA_2048 = 0x07
    P256 = 0x11
    P384 = 0x14


CERTIFICATES: Final = {
    Slot.AUTHENTICATION: 0x5FC105,
    Slot.SIGNATURE: 0x5FC10A,
    Slot.KEY_MANAGEMENT: 0x5FC10B,
    Slot.CARD_AUTHENTICATION: 0x5FC101,
}
RSA_BYTES: Final = {Algorithm.RSA_2048: 256, Algorithm.RSA_3072: 384}


class Piv:
    """Commands of the PIV application; `select` comes first. Every method raises `CardError`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def select(self) -> None:
        """Select the application; CARD_NO_APPLICATION where the card has none."""
        _, status = self._channel.exchange(_SELECT, 0x04, 0x00, AID)
        if status != 0x9000:
            raise CardError(Code.CARD_NO_APPLICATION, f"PIV, status {status:04X}", status=status)

    # Data objects

    def read(self, tag: int) -> bytes | None:
        """Return a data object's content, None where it is empty or not there."""
        wanted = tlv(0x5C, tag.to_bytes((tag.bit_length() + 7) // 8, "big"))
        answer, status = self._channel.exchange(_GET, 0x3F, 0xFF, wanted)
        if status == 0x6A82:
            return None
        if status != 0x9000:
            raise refused(status)
        content = find(answer, tag if tag == DISCOVERY else 0x53)
        return content or None

    def write(self, tag: int, content: bytes) -> None:
        """Write a data object, or remove it where `content` is empty. Needs the management key."""
        self._channel.command(_PUT, 0x3F, 0xFF, tlv(0x5C, tag.to_bytes(3, "big")) + tlv(0x53, content), le=None)

    def guid(self) -> bytes:
        """Return the card's GUID, 16 bytes; its last eight in hexadecimal are the token's serial number in OpenSC."""
        content = self.read(CHUID)
        if content is None:
            raise CardError(Code.CARD_EMPTY, "the card has no CHUID")
        return find(content, 0x34)

    def certificate(self, slot: Slot) -> bytes | None:
        """Return the certificate of a slot, DER, None where there is none."""
        content = self.read(CERTIFICATES[slot])
        if content is None:
            return None
        fields = dict(parse(content))
        certificate, flags = fields.get(0x70, b""), fields.get(0x71, b"\0")
        if not certificate:
            return None
        if flags[:1] == b"\x01":
            return _inflate(certificate)
        return certificate

    def put_certificate(self, slot: Slot, der: bytes) -> None:
        """Write the certificate of a slot. Needs the management key."""
        self.write(CERTIFICATES[slot], tlv(0x70, der) + tlv(0x71, b"\0") + tlv(0xFE) if der else b"")

    # PIN and PUK

    def tries(self) -> int | None:
        """Return how many tries of the PIN are left, None where it is verified already or the card does not say."""
        _, status = self._channel.exchange(_VERIFY, 0x00, PIN, le=None)
        if status & 0xFFF0 == 0x63C0:
            return status & 0x0F
        return 0 if status == 0x6983 else None

    def verify(self, pin: bytes) -> None:
        """Verify the PIN. CARD_PIN_WRONG with the tries left, CARD_BLOCKED; never tried twice here."""
        self._channel.command(_VERIFY, 0x00, PIN, _padded(pin), le=None)

    def change(self, which: int, old: bytes, new: bytes) -> None:
        """Change PIN or PUK."""
        self._channel.command(_CHANGE, 0x00, which, _padded(old, which) + _padded(new, which), le=None)

    def unblock(self, puk: bytes, pin: bytes) -> None:
        """Set a new PIN with all its tries by the PUK."""
        self._channel.command(_UNBLOCK, 0x00, PIN, _padded(puk, PUK) + _padded(pin), le=None)

    # Keys

    def generate(self, slot: Slot, algorithm: Algorithm) -> bytes:
        """Make a key pair in a slot; return the public key's data objects (7F49). Needs the management key. The old key is gone."""
        return find(self._channel.command(_GENERATE, 0x00, slot, tlv(0xAC, tlv(0x80, bytes((algorithm,))))), 0x7F49)

    def sign(self, slot: Slot, algorithm: Algorithm, block: bytes) -> bytes:
        """RSA: the private operation on a padded block. EC: ECDSA of a digest, DER. Needs the PIN (9E does not)."""
        template = tlv(0x7C, tlv(0x82), tlv(0x81, block))
        return find(self._channel.command(_AUTHENTICATE, algorithm, slot, template), 0x7C, 0x82)

    # Administration

    def agree(self, slot: Slot, algorithm: Algorithm, point: bytes) -> bytes:
        """Return what the EC key in a slot and an uncompressed point have in common (SP 800-73-4 part 2, 3.2.4). Raises `CardError`."""
        template = tlv(0x7C, tlv(0x82), tlv(0x85, point))
        return find(self._channel.command(_AUTHENTICATE, algorithm, slot, template), 0x7C, 0x82)

    def authenticate(self, key: ManagementKey) -> None:
        """Authenticate card and host to each other by the management key. CARD_ADMIN_REFUSED where one of them does not have it."""
        try:
            answer = self._channel.command(_AUTHENTICATE, key.algorithm, _MANAGEMENT, tlv(0x7C, tlv(0x80)))
            ours = os.urandom(key.block_bytes)
            witness = key.decrypt(find(answer, 0x7C, 0x80))
            answer = self._channel.command(
                _AUTHENTICATE, key.algorithm, _MANAGEMENT, tlv(0x7C, tlv(0x80, witness), tlv(0x81, ours), tlv(0x82))
            )
        except CardError as error:
            if error.status in (0x6982, 0x6A80, 0x6A86, 0x6A88) or error.code is Code.CARD_ANSWER:
                raise CardError(Code.CARD_ADMIN_REFUSED, error.detail, status=error.status) from error
            raise
        if find(answer, 0x7C, 0x82) != key.encrypt(ours):
            raise CardError(Code.CARD_ADMIN_REFUSED, "the card does not have the key")

    def set_management_key(self, key: ManagementKey) -> None:
        """Replace the management key. Not in SP 800-73: the command that cards on the market have; others answer CARD_CANNOT."""
        self._channel.command(0xFF, 0xFF, 0xFF, bytes((key.algorithm, _MANAGEMENT, len(key.value))) + key.value, le=None)

    def reset(self) -> None:
        """Wipe the card: only with PIN and PUK both blocked. Not in SP 800-73 either."""
        self._channel.command(0xFB, 0x00, 0x00, le=None)


def _padded(value: bytes, which: int = PIN) -> bytes:
    if not 6 <= len(value) <= 8 or (which == PIN and not value.isdigit()):
        raise CardError(Code.CARD_INPUT, "a PIN has 6 to 8 digits, a PUK 6 to 8 characters")
    return value.ljust(8, b"\xff")


def _inflate(certificate: bytes) -> bytes:
    opened = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        inflated = opened.decompress(certificate, MAX_CERTIFICATE_BYTES)
    except zlib.error as error:
        raise CardError(Code.CARD_ANSWER, "a compressed certificate that is damaged") from error
    if not opened.eof:
        raise CardError(Code.CARD_ANSWER, "a compressed certificate that is cut short or too large")
    return inflated
