"""What the card remembers without power, and its form in the state file: JSON, all values in the clear."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

VERSION: Final = 1
FACTORY_PIN: Final = b"123456"
FACTORY_PUK: Final = b"12345678"
FACTORY_ADMIN: Final = bytes(range(1, 9)) * 3  # the 3DES key that PIV cards are commonly delivered with
TRIPLE_DES: Final = 0x03
_MAX_TRIES: Final = 15  # what 63CX can say


class BadState(ValueError):
    """The state file is not one of this card."""


@dataclass(slots=True)
class Secret:
    """PIN or PUK with its tries. `limit` is what `tries` starts from."""

    value: bytes
    limit: int = 3
    tries: int = 3


@dataclass(slots=True)
class PrivateKey:
    """A key pair made on the card: SP 800-78-4 algorithm identifier and PKCS#8."""

    algorithm: int
    pkcs8: bytes


@dataclass(slots=True)
class SymmetricKey:
    """One ISCL key. `limit` 0: EXTERNAL AUTHENTICATE never blocks it."""

    kind: int
    value: bytes
    limit: int = 0
    tries: int = 0


@dataclass(slots=True)
class CardState:
    """Everything that outlives a power cut."""

    serial: bytes
    label: str
    pin: Secret = field(default_factory=lambda: Secret(FACTORY_PIN))
    puk: Secret = field(default_factory=lambda: Secret(FACTORY_PUK))
    admin_algorithm: int = TRIPLE_DES
    admin: bytes = FACTORY_ADMIN
    keys: dict[int, PrivateKey] = field(default_factory=dict)
    objects: dict[int, bytes] = field(default_factory=dict)
    iscl: dict[int, SymmetricKey] = field(default_factory=dict)


def fresh(serial: bytes, label: str, *, pin: bytes = FACTORY_PIN, puk: bytes = FACTORY_PUK, tries: int = 3) -> CardState:
    """Return a card as it leaves the factory. `serial`: 8 bytes. Raises `ValueError`."""
    if len(serial) != 8 or not 1 <= tries <= _MAX_TRIES or not 6 <= len(pin) <= 8 or not pin.isdigit() or len(puk) != 8:
        raise ValueError("serial: 8 bytes, tries: 1 to 15, PIN: 6 to 8 digits, PUK: 8 bytes")
    return CardState(serial, label, Secret(pin, tries, tries), Secret(puk, tries, tries))


def to_bytes(state: CardState) -> bytes:
    """Return the state as the file has it."""
    return json.dumps(
        {
            "version": VERSION,
            "serial": state.serial.hex(),
            "label": state.label,
            "pin": _secret(state.pin),
            "puk": _secret(state.puk),
            "admin": [state.admin_algorithm, state.admin.hex()],
            "keys": {f"{ref:02x}": [key.algorithm, key.pkcs8.hex()] for ref, key in sorted(state.keys.items())},
            "objects": {f"{tag:06x}": value.hex() for tag, value in sorted(state.objects.items())},
            "iscl": {f"{ref:02x}": [key.kind, key.value.hex(), key.limit, key.tries] for ref, key in sorted(state.iscl.items())},
        },
        indent=1,
    ).encode()


def from_bytes(raw: bytes) -> CardState:
    """Return the state in a file's bytes. Raises `BadState`."""
    try:
        found: dict[str, Any] = json.loads(raw)
        if found["version"] != VERSION:
            raise BadState(f"a state of version {found['version']}")
        return CardState(
            bytes.fromhex(found["serial"]),
            str(found["label"]),
            _to_secret(found["pin"]),
            _to_secret(found["puk"]),
            int(found["admin"][0]),
            bytes.fromhex(found["admin"][1]),
            {int(ref, 16): PrivateKey(int(row[0]), bytes.fromhex(row[1])) for ref, row in found["keys"].items()},
            {int(tag, 16): bytes.fromhex(value) for tag, value in found["objects"].items()},
            {int(ref, 16): SymmetricKey(row[0], bytes.fromhex(row[1]), row[2], row[3]) for ref, row in found["iscl"].items()},
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise BadState(f"not a card's state: {error}") from error


def copy(state: CardState) -> CardState:
    """Return a copy that shares nothing with `state`."""
    return from_bytes(to_bytes(state))


def _secret(secret: Secret) -> list[object]:
    return [secret.value.hex(), secret.limit, secret.tries]


def _to_secret(row: list[Any]) -> Secret:
    return Secret(bytes.fromhex(row[0]), int(row[1]), int(row[2]))
