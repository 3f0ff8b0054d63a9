"""C2SP tlog-cosignature, Ed25519: what a witness signs, its key as a vkey of type 0x04, and how a cosignature is checked. Sans-IO."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final, NamedTuple

from wardgate.custody.note import NoteError, check_name, split_note

COSIGNED: Final = "cosigned"  # file in the log directory: the newest checkpoint that a witness signed, with their lines
_TYPE: Final = b"\x04"  # signed-note, "Signature types"
_LENGTH: Final = 8 + 64  # timestamped_signature: u64, Ed25519 signature
_MAX_TIME: Final = 2**63 - 1


class WitnessKey(NamedTuple):
    """The public key of a witness with the name that it signs under."""

    name: str
    public: bytes  # 32 bytes, RFC 8032

    @property
    def key_id(self) -> bytes:
        """Four bytes: what its signature lines begin with."""
        return sha256(self.name.encode() + b"\n" + _TYPE + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The vkey."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_TYPE + self.public).decode()}"


class Cosignature(NamedTuple):
    """A cosignature that was checked: whose, and when it says it was made (Unix seconds)."""

    witness: WitnessKey
    time_seconds: int


def parse_witness_key(text: str) -> WitnessKey:
    """Return the key of a vkey of type 0x04. Raises `NoteError`."""
    name, _, rest = text.strip().partition("+")
    ident, _, encoded = rest.partition("+")
    try:
        data = b64decode(encoded, validate=True)
    except ValueError:
        data = b""
    if len(data) != 33 or data[:1] != _TYPE:
        raise NoteError("not the vkey of a witness with an Ed25519 key (type 0x04)")
    key = WitnessKey(check_name(name), data[1:])
    if key.key_id.hex() != ident:
        raise NoteError("the key id of the vkey does not belong to its key")
    return key


def message(text: str, time_seconds: int) -> bytes:
    """Return what a witness signs over a checkpoint's `text` (tlog-cosignature, "Ed25519 signed message")."""
    return f"cosignature/v1\ntime {time_seconds}\n{text}".encode()


def cosignature_line(key: WitnessKey, time_seconds: int, signature: bytes) -> str:
    """Return the signature line of `signature`, made over `message(text, time_seconds)`."""
    return signature_line(key.name, key.key_id, time_seconds.to_bytes(8, "big") + signature)


def signature_line(name: str, key_id: bytes, data: bytes) -> str:
    """Return the line of a signed note that `split_note` would take apart into these three."""
    return f"\u2014 {name} {b64encode(key_id + data).decode()}\n"


def check_cosignatures(note: bytes, keys: list[WitnessKey]) -> list[Cosignature]:
    """Return the cosignatures that `note` has of `keys`, each checked; others are passed over. Raises `NoteError` when one is wrong."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    text, lines = split_note(note)
    found = []
    for name, ident, data in lines:
        for key in keys:
            if name != key.name or ident != key.key_id:
                continue
            seconds = int.from_bytes(data[:8], "big")
            if len(data) != _LENGTH or not 0 < seconds <= _MAX_TIME:
                raise NoteError(f"the cosignature of {name} is malformed")
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(data[8:], message(text, seconds))
            except InvalidSignature:
                raise NoteError(f"the cosignature of {name} is wrong") from None
            found.append(Cosignature(key, seconds))
    return found
