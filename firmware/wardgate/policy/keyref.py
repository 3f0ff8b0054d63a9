"""Where a private key is: a PEM file (development), or a key in a token, named by an RFC 7512 URI. Pure, and lean to import.

pkcs11:token=ward-ct1;object=tls-ec;type=private
pkcs11:serial=0123456789abcdef;id=%01

The grammar is the key service's own (`wardkeys.uri`), imported once there is such a URI; here is only what the gateway asks beyond it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from wardgate.token.naming import SCHEME, is_uri, name_in

if TYPE_CHECKING:
    from wardkeys.uri import Uri

_MAX_CHARACTERS: Final = 512
_SHOWN_CHARACTERS: Final = 120


class TokenKey(str):
    """The URI of a private key in a token: checked text."""

    __slots__ = ()

    @property
    def uri(self) -> Uri:
        """What it asks for."""
        from wardkeys.uri import parse

        return parse(self)

    @property
    def token(self) -> str:
        """Which token, as text for a person and a key for tables."""
        return name_in(self).key


KeyReference = Path | TokenKey


def shown(text: str) -> str:
    """Return `text` as it may be told to a person: without a PIN that somebody put into a URI."""
    if not is_uri(text):
        return text
    return f"{SCHEME}... (not shown: a PIN stands in it)" if "pin" in text.lower() else text[:_SHOWN_CHARACTERS]


def token_key(text: str) -> TokenKey:
    """Return the checked URI. Raises `ValueError` with what is wrong, for a person; no value of the URI is echoed."""
    from wardkeys.uri import parse

    if not is_uri(text) or len(text) > _MAX_CHARACTERS:
        raise ValueError(f'a URI of at most {_MAX_CHARACTERS} characters that begins with "{SCHEME}"')
    found = parse(text)
    if not found.token and not found.serial:
        raise ValueError("token= or serial= must say which token")
    if not found.object and not found.id:
        raise ValueError("object= or id= must say which key")
    if found.type not in (None, "private"):
        raise ValueError("type=private, or no type")
    return TokenKey(text)


def key_reference(text: str) -> KeyReference:
    """Return what a checked configuration names. Raises `ValueError`."""
    return token_key(text) if is_uri(text) else Path(text)
