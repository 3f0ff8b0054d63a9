"""PKCS#11 URIs (RFC 7512): parsed, matched, written. They name tokens and objects; they never carry a PIN or a module here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

SCHEME: Final = "pkcs11:"
MAX_URI: Final = 1024
TYPES: Final = ("private", "public", "cert", "secret-key", "data")

_TOKEN: Final = ("token", "manufacturer", "serial", "model")
_OBJECT: Final = ("object", "type", "id")
_ELSEWHERE: Final = {
    "library-manufacturer": "the library is chosen in keys.toml",
    "library-version": "the library is chosen in keys.toml",
    "library-description": "the library is chosen in keys.toml",
    "slot-manufacturer": "tokens are named, not slots",
    "slot-description": "tokens are named, not slots",
    "slot-id": "tokens are named, not slots",
    # RFC 7512 2.4
    "pin-source": "PINs are known to the key service alone",
    "pin-value": "PINs are known to the key service alone",
    "module-name": "modules are chosen in keys.toml",
    "module-path": "modules are chosen in keys.toml",
}
# RFC 7512 2.3: pk11-res-avail and unreserved; "&" only in the path, "/" and "?" only in the query.
_CHARACTERS: Final = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*")
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:[]@!$'()*+,=&")


class UriError(ValueError):
    """A URI that is not taken: not of RFC 7512, or with an attribute that has no place here. Never quotes a value."""


class Uri(NamedTuple):
    """A URI's attributes; None stands for *any*. `id` is bytes, the others text."""

    token: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    object: str | None = None
    type: str | None = None
    id: bytes | None = None

    def fits_token(self, label: str, serial: str, model: str, manufacturer: str) -> bool:
        """Does the token with these properties have everything that the URI asks of a token?"""
        asked = (self.token, self.serial, self.model, self.manufacturer)
        return all(want is None or want == have for want, have in zip(asked, (label, serial, model, manufacturer), strict=True))

    def __str__(self) -> str:
        """Write it: token attributes first, percent-encoding where RFC 7512 asks for it."""
        parts = []
        for name in _TOKEN + _OBJECT:
            value = getattr(self, name)
            if isinstance(value, bytes):
                parts.append(f"{name}={''.join(f'%{byte:02X}' for byte in value)}")
            elif value is not None:
                parts.append(f"{name}={_escaped(value)}")
        return SCHEME + ";".join(parts)


def parse(text: str) -> Uri:
    """Return the attributes of a URI. Raises `UriError`, which says what is wrong without quoting values."""
    if len(text) > MAX_URI:
        raise UriError(f"longer than {MAX_URI} characters")
    if text[: len(SCHEME)].lower() != SCHEME:
        raise UriError(f"does not begin with {SCHEME}")
    path, mark, query = text[len(SCHEME) :].partition("?")
    if mark:
        _refuse_query(query)
    found: dict[str, str | bytes] = {}
    for part in path.split(";") if path else ():
        name, equals, raw = part.partition("=")
        if not equals:
            raise UriError("an attribute without a value")
        if name in _ELSEWHERE:
            raise UriError(f"{name} is not taken: {_ELSEWHERE[name]}")
        if name not in _TOKEN and name not in _OBJECT:
            raise UriError("an attribute that is not known here")
        if name in found:  # RFC 7512 2.3: an attribute must not appear twice
            raise UriError(f"{name} appears twice")
        value = _unescaped(name, raw)
        found[name] = value if name == "id" else _text(name, value)
    if found.get("type", "private") not in TYPES:
        raise UriError(f"type is one of {', '.join(TYPES)}")
    return _made(found)


def _made(found: Mapping[str, str | bytes]) -> Uri:
    return Uri(**found)  # type: ignore[arg-type]  # id is bytes and the others text, by the loop above


def _refuse_query(query: str) -> None:
    for part in query.split("&"):
        name = part.partition("=")[0]
        raise UriError(f"{name} is not taken: {_ELSEWHERE[name]}" if name in _ELSEWHERE else "query attributes are not taken")


def _unescaped(name: str, raw: str) -> bytes:
    if _CHARACTERS.fullmatch(raw) is None:
        raise UriError(f"{name} holds a character that must be written as %xx")
    pieces = raw.split("%")
    return pieces[0].encode() + b"".join(bytes.fromhex(piece[:2]) + piece[2:].encode() for piece in pieces[1:])


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise UriError(f"{name} is not UTF-8") from None


def _escaped(value: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in value.encode("utf-8"))
