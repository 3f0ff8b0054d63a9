"""What two ISCL peers agree on beforehand. Nothing of it is negotiated but the block length (the smaller one counts)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from wardgate.iscl.reconstruction import AUTHENTICATION_KEY, R1, Derivation, Md5Order, Padding, Reconstruction
from wardgate.iscl.terms import (
    BLOCK_BYTES,
    GCM_TAG_BYTES,
    MAX_NAME_BYTES,
    MESSAGE_BYTES,
    SESSION_KEY,
    SLOTS,
    UNIT_BYTES,
    Encryption,
    Mac,
    Method,
    is_extension,
)

MIN_BLOCK_BYTES: Final = 64
MAX_BLOCK_BYTES: Final = 1 << 20
WARN_BLOCKS: Final = 1 << 20  # cipher blocks under one static key


class Timers(NamedTuple):
    """Seconds."""

    line: float = 10
    authentication: float = 30
    block: float = 60
    disconnection: float = 5
    life: float = 3600  # of a connection, looked at between messages


class Settings(NamedTuple):
    """One side's view; `name` and `peer_name` are the authentication data, 1 to 128 bytes."""

    name: bytes
    peer_name: bytes
    slot: int = 1
    method: Method = Method.THREE_PASS_FOUR_WAY
    encryption: Encryption = Encryption.DES_CBC
    mac: Mac = Mac.MD5
    key_id: int = SESSION_KEY
    md5_order: Md5Order = Md5Order.A  # that we send; both are taken
    block_length: int = BLOCK_BYTES
    max_message: int = MESSAGE_BYTES
    hard_blocks: int = 1 << 23  # cipher blocks under one static key, then the connection ends
    timers: Timers = Timers()
    r1: Reconstruction = R1

    @property
    def derived(self) -> bool:
        """Do keys come from HKDF? They do as soon as one algorithm is an extension."""
        return is_extension(self.encryption) or is_extension(self.mac)

    @property
    def wide(self) -> bool:
        """Do challenges and responses have a length in front?"""
        return is_extension(self.method)

    @property
    def weak(self) -> bool:
        """Does anything rest on single DES or MD5?"""
        return not self.wide or self.encryption is Encryption.DES_CBC or self.mac is Mac.RETAIL

    @property
    def malleable_start(self) -> bool:
        """Can the first message of each direction be changed unseen? CBC and CBC-MAC under one key and one (zero) IV give the same
        blocks, so the MAC follows whatever was changed."""
        same_iv = self.encryption is Encryption.DES_CBC and self.mac is Mac.DES_MAC
        return same_iv and self.r1.des_mac_key.value == "message"

    @property
    def keys_for_the_asking(self) -> bool:
        """Can a recorded message be read by who sends its random number as a challenge? The response is E(K, challenge), and with the
        same K the message's key is E(K, random)."""
        own_keys = self.key_id == SESSION_KEY and not self.derived and self.r1.derivation is Derivation.ENCRYPT
        return own_keys and AUTHENTICATION_KEY in (self.r1.master_to_server, self.r1.master_to_client)


def problems(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give (word, what is expected) for all that cannot be."""
    s = settings
    for word, name in (("name", s.name), ("peer_name", s.peer_name)):
        if not 1 <= len(name) <= MAX_NAME_BYTES:
            yield word, f"1 to {MAX_NAME_BYTES} bytes"
    if s.slot not in SLOTS:
        yield "slot", "1 to 8"
    if s.key_id not in SLOTS and s.key_id != SESSION_KEY:
        yield "key_id", "1 to 8, or 16 for a key of its own for each message"
    if s.mac is Mac.NONE:
        yield "mac", "a MAC: integrity is mandatory (PS3.15-2000 B.2)"
    if (s.encryption is Encryption.AES_256_GCM) is not (s.mac is Mac.INTEGRATED):
        yield "mac", '"integrated" with "aes-256-gcm" and with nothing else'
    if s.mac in (Mac.MD5, Mac.DES_MAC) and is_extension(s.encryption):
        yield "mac", "an extension MAC with an extension cipher"
    if s.wide is not s.derived:
        yield "method", "an extension method with extension algorithms, the base method without: their keys differ"
    if s.derived and s.key_id != SESSION_KEY:
        yield "key_id", "16 with extension algorithms"
    masters = (s.r1.master_to_server, s.r1.master_to_client)
    if any(master and master not in SLOTS for master in masters):
        yield "r1", "0 or 1 to 8 as master_to_server and master_to_client"
    if any(masters) and (s.derived or s.key_id != SESSION_KEY or s.r1.derivation is Derivation.CLEAR):
        yield "r1", "no master key but 0 where message keys are not made as E(K, random)"
    if s.r1.shared_register and not s.r1.half_duplex:
        yield "shared_register", "half_duplex beside it: two senders cannot share a register"
    if not MIN_BLOCK_BYTES <= s.block_length <= MAX_BLOCK_BYTES:
        yield "block_length", f"{MIN_BLOCK_BYTES} to {MAX_BLOCK_BYTES} bytes"
    if s.derived and (s.r1.padding is not Padding.COUNT or s.r1.derivation is not Derivation.ENCRYPT):
        yield "r1", "R1's padding and derivation with extension algorithms"


def block_step(settings: Settings, block_length: int) -> int:
    """Return how many bytes of a (padded) message go into one data block."""
    room = block_length - GCM_TAG_BYTES if settings.encryption is Encryption.AES_256_GCM else block_length
    unit = max(8, UNIT_BYTES[settings.encryption])
    return room // unit * unit
