"""C2SP signed-note: text signed by named keys, and verifier keys (vkeys): Ed25519 (0x01) and ECDSA P-256 (0x02).

Type 0x02 is ECDSA over SHA-256 of the note text, signature in DER; its key ID is the head of SHA-256 over the
SubjectPublicKeyInfo alone, without the name. Sans-IO: signing is the caller's.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from enum import Enum
from typing import Final, NamedTuple

from wardgate.custody.sha import sha256

MAX_NOTE: Final = 64 * 1024
MAX_SIGNATURES: Final = 100
_SPKI: Final = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: SubjectPublicKeyInfo of Ed25519, then 32 bytes
# RFC 5480: SubjectPublicKeyInfo of a P-256 key (id-ecPublicKey, prime256v1), then the uncompressed point of 65 bytes.
_P256: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_POINT: Final = 65
_DASH: Final = "\u2014 "


class NoteError(Exception):
    """A note, a key or a signature is not as signed-note says, or does not verify."""


class UnknownKey(NoteError):
    """A note has no signature of the key that was asked for."""


class Kind(Enum):
    """Signature type of C2SP signed-note: its identifier byte."""

    ED25519 = b"\x01"
    ECDSA_P256 = b"\x02"

    @property
    def scheme(self) -> str:
        """The name of the signature scheme (`signer.Scheme`)."""
        return "ed25519" if self is Kind.ED25519 else "ecdsa-sha256"


class VerifierKey(NamedTuple):
    """A public key with the name that it signs under."""

    name: str
    public: bytes  # Ed25519: 32 bytes, RFC 8032; ECDSA: SubjectPublicKeyInfo, DER
    kind: Kind = Kind.ED25519

    @property
    def key_id(self) -> bytes:
        """Four bytes: what signature lines begin with."""
        head = self.name.encode() + b"\n" + self.kind.value if self.kind is Kind.ED25519 else b""
        return sha256(head + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The vkey."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(self.kind.value + self.public).decode()}"


def check_name(name: str) -> str:
    """Return `name` if it may name a key. Raises `NoteError`."""
    if not name or "+" in name or any(char.isspace() or ord(char) < 0x20 for char in name):
        raise NoteError(f"{name!r} cannot name a key: it is empty, or has a blank or a plus")
    return name


def key_from_spki(name: str, spki: bytes) -> VerifierKey:
    """Return the key of a SubjectPublicKeyInfo (DER). Raises `NoteError` when it is neither Ed25519 nor P-256."""
    if spki.startswith(_SPKI) and len(spki) == len(_SPKI) + 32:
        return VerifierKey(check_name(name), spki[len(_SPKI) :])
    if spki.startswith(_P256) and len(spki) == len(_P256) + _POINT and spki[len(_P256)] == 4:
        return VerifierKey(check_name(name), spki, Kind.ECDSA_P256)
    raise NoteError("the key is neither an Ed25519 nor an ECDSA P-256 key")


def parse_key(text: str) -> VerifierKey:
    """Return the key of a vkey. Raises `NoteError`."""
    name, _, rest = text.strip().partition("+")
    ident, _, encoded = rest.partition("+")
    data = _base64(encoded)
    if len(data) == 33 and data[:1] == Kind.ED25519.value:
        key = VerifierKey(check_name(name), data[1:])
    elif data[:1] == Kind.ECDSA_P256.value:
        key = key_from_spki(name, data[1:])
    else:
        raise NoteError("not a vkey of an Ed25519 or ECDSA P-256 key; the public key of a log is the one line in LOGDIR/vkey")
    if key.key_id.hex() != ident or key.kind.value != data[:1]:
        raise NoteError("the key id of the vkey does not belong to its key")
    return key


def add_signature(text: str, key: VerifierKey, signature: bytes) -> str:
    """Return the note of `text` (which ends in a newline) and one signature over it."""
    return f"{text}\n{_DASH}{key.name} {b64encode(key.key_id + signature).decode()}\n"


def open_note(note: bytes, key: VerifierKey) -> str:
    """Return the text of a note that `key` signed. Raises `NoteError` otherwise."""
    text, lines = split_note(note)
    signed = False
    for name, ident, signature in lines:
        if name == key.name and ident == key.key_id:
            _verify(key, signature, text.encode())
            signed = True
    if not signed:
        raise UnknownKey(f"no signature of {key.name} with key id {key.key_id.hex()}")
    return text


def _verify(key: VerifierKey, signature: bytes, text: bytes) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        if key.kind is Kind.ED25519:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text)
            return
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public[len(_P256) :])
        point.verify(signature, text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise NoteError(f"the signature of {key.name} is wrong") from None
    except ValueError as error:
        raise NoteError(f"the key of {key.name} is no key: {error}") from error


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
