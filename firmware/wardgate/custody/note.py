"""C2SP signed-note: text signed by named keys, and verifier keys (vkeys). Ed25519 only. Sans-IO: signing is the caller's."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final, NamedTuple

MAX_NOTE: Final = 64 * 1024
MAX_SIGNATURES: Final = 100
_ED25519: Final = b"\x01"
_SPKI: Final = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: SubjectPublicKeyInfo of Ed25519, then 32 bytes
_DASH: Final = "\u2014 "


class NoteError(Exception):
    """A note, a key or a signature is not as signed-note says, or does not verify."""


class UnknownKey(NoteError):
    """A note has no signature of the key that was asked for."""


class VerifierKey(NamedTuple):
    """A public key with the name that it signs under."""

    name: str
    public: bytes  # 32 bytes, RFC 8032

    @property
    def key_id(self) -> bytes:
        """Four bytes: what signature lines begin with."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The vkey."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.public).decode()}"


def check_name(name: str) -> str:
    """Return `name` if it may name a key. Raises `NoteError`."""
    if not name or "+" in name or any(char.isspace() or ord(char) < 0x20 for char in name):
        raise NoteError(f"{name!r} cannot name a key: it is empty, or has a blank or a plus")
    return name


def key_from_spki(name: str, spki: bytes) -> VerifierKey:
    """Return the key of a SubjectPublicKeyInfo (DER). Raises `NoteError` when it is not Ed25519."""
    if not spki.startswith(_SPKI) or len(spki) != len(_SPKI) + 32:
        raise NoteError("the key is not an Ed25519 key")
    return VerifierKey(check_name(name), spki[len(_SPKI) :])


def parse_key(text: str) -> VerifierKey:
    """Return the key of a vkey. Raises `NoteError`."""
    name, _, rest = text.strip().partition("+")
    ident, _, encoded = rest.partition("+")
    data = _base64(encoded)
    if len(data) != 33 or data[:1] != _ED25519:
        raise NoteError("not a vkey of an Ed25519 key; the public key of a log is the one line in LOGDIR/vkey")
    key = VerifierKey(check_name(name), data[1:])
    if key.key_id.hex() != ident:
        raise NoteError("the key id of the vkey does not belong to its key")
    return key


def add_signature(text: str, key: VerifierKey, signature: bytes) -> str:
    """Return the note of `text` (which ends in a newline) and one signature over it."""
    return f"{text}\n{_DASH}{key.name} {b64encode(key.key_id + signature).decode()}\n"


def open_note(note: bytes, key: VerifierKey) -> str:
    """Return the text of a note that `key` signed. Raises `NoteError` otherwise."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    text, lines = split_note(note)
    public = Ed25519PublicKey.from_public_bytes(key.public)
    signed = False
    for name, ident, signature in lines:
        if name == key.name and ident == key.key_id:
            try:
                public.verify(signature, text.encode())
            except InvalidSignature:
                raise NoteError(f"the signature of {name} is wrong") from None
            signed = True
    if not signed:
        raise UnknownKey(f"no signature of {key.name} with key id {key.key_id.hex()}")
    return text


def split_note(note: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Return the text and the (name, key id, signature) lines, none of them verified. Raises `NoteError`."""
    if len(note) > MAX_NOTE:
        raise NoteError(f"note of {len(note)} bytes, at most {MAX_NOTE}")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("the note is not UTF-8") from error
    if any(ord(char) < 0x20 and char != "\n" for char in whole):
        raise NoteError("the note has a control character")
    at = whole.rfind("\n\n")
    if at < 0 or not whole.endswith("\n"):
        raise NoteError("the note has no blank line before its signatures")
    lines = whole[at + 2 : -1].split("\n")
    if not 0 < len(lines) <= MAX_SIGNATURES:
        raise NoteError(f"note with {len(lines)} signatures")
    found = []
    for line in lines:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        data = _base64(encoded)
        if not line.startswith(_DASH) or len(data) < 5:
            raise NoteError("a signature line is not one")
        found.append((check_name(name), data[:4], data[4:]))
    return whole[: at + 1], found


def _base64(text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError as error:
        raise NoteError("not base64") from error
    if b64encode(data).decode() != text:
        raise NoteError("not base64 as RFC 4648 writes it")
    return data
