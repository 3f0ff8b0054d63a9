"""Where a private key is: a PEM file (development), or a key in a token, named by an RFC 7512 URI. Pure, and lean to import.

pkcs11:token=ward-ct1;object=tls-ec;type=private
pkcs11:serial=0123456789abcdef;id=%01
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SCHEME: Final = "pkcs11:"
_MAX_CHARACTERS: Final = 512
_SHOWN_CHARACTERS: Final = 120
_TOKEN: Final = frozenset({"token", "serial", "manufacturer", "model"})
_OBJECT: Final = frozenset({"object", "id"})
_KNOWN: Final = _TOKEN | _OBJECT | {"type"}
# RFC 7512 2.3: unreserved characters, pk11-res-avail and the escape of a path attribute.
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:[]@!$'()*+,=&%")


class TokenKey(str):
    """The URI of a private key in a token: checked text."""

    __slots__ = ()

    @property
    def attributes(self) -> dict[str, bytes]:
        """The attributes of the path, unescaped."""
        return _attributes(self)

    @property
    def token(self) -> str:
        """Which token, as text for a person and a key for tables: the attributes of the token alone, in a fixed order."""
        found = self.attributes
        return ";".join(f"{name}={found[name].decode('utf-8', 'replace').rstrip()}" for name in sorted(_TOKEN & found.keys()))


KeyReference = Path | TokenKey


def shown(text: str) -> str:
    """Return `text` as it may be told to a person: without a PIN that somebody put into a URI."""
    if not is_token(text):
        return text
    return f"{SCHEME}... (not shown: a PIN stands in it)" if "pin" in text.lower() else text[:_SHOWN_CHARACTERS]


def is_token(text: str) -> bool:
    """Tell whether `text` means a key in a token."""
    return text.startswith(SCHEME)


def token_key(text: str) -> TokenKey:
    """Return the checked URI. Raises `ValueError` with what is wrong, for a person; a PIN in the URI is never echoed."""
    if not is_token(text) or len(text) > _MAX_CHARACTERS:
        raise ValueError(f'a URI of at most {_MAX_CHARACTERS} characters that begins with "{SCHEME}"')
    if "?" in text:  # RFC 7512 2.4: pin-source, pin-value, module-name, module-path
        raise ValueError("no query: the PIN and the module are the key service's business")
    found = _attributes(text)
    if unknown := sorted(found.keys() - _KNOWN):
        raise ValueError(f"no attribute {unknown[0]!r}; one of {', '.join(sorted(_KNOWN))}")
    if not found.keys() & {"token", "serial"}:
        raise ValueError("token= or serial= must say which token")
    if not found.keys() & _OBJECT:
        raise ValueError("object= or id= must say which key")
    if found.get("type", b"private") != b"private":
        raise ValueError("type=private, or no type")
    return TokenKey(text)


def key_reference(text: str) -> KeyReference:
    """Return what a checked configuration names. Raises `ValueError`."""
    return token_key(text) if is_token(text) else Path(text)


def _attributes(text: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.removeprefix(SCHEME).split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(f"name=value between semicolons, not {part[:20]!r}")
        if name in found:
            raise ValueError(f"{name} only once")
        if not _PLAIN.issuperset(value):
            raise ValueError(f"%-escapes in the value of {name}")
        found[name] = _unescaped(name, value)
    return found


def _unescaped(name: str, value: str) -> bytes:
    first, *rest = value.split("%")
    out = bytearray(first.encode())
    for piece in rest:
        digits = piece[:2]
        if len(digits) != 2 or not all(c in "0123456789abcdefABCDEF" for c in digits):
            raise ValueError(f"two hex digits behind % in the value of {name}")
        out.append(int(digits, 16))
        out += piece[2:].encode()
    return bytes(out)
