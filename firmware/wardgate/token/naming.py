"""Which token a PKCS#11 URI means (RFC 7512 2.3): only the attributes that name a token count here, not those of the key in it."""

from __future__ import annotations

SCHEME = "pkcs11:"


def is_uri(text: str) -> bool:
    """Is this a key in a token, and not a path?"""
    return text.startswith(SCHEME)


class Name:
    """Label, serial and model that a URI asks for; "" where it does not ask."""

    __slots__ = ("label", "model", "serial")

    def __init__(self, label: str = "", serial: str = "", model: str = "") -> None:
        self.label = label
        self.serial = serial
        self.model = model

    @property
    def key(self) -> str:
        """The same for all keys of one token; also what people read."""
        words = (self.label, f"serial {self.serial}" if self.serial else "", f"model {self.model}" if self.model else "")
        return ", ".join(word for word in words if word) or "any token"

    def fits(self, label: str, serial: str, model: str) -> bool:
        """Does a token of this label, serial and model answer to the name? Padding blanks do not count (PKCS#11 CK_TOKEN_INFO)."""
        pairs = ((self.label, label), (self.serial, serial), (self.model, model))
        return all(not wanted or wanted == found.rstrip(" ") for wanted, found in pairs)


def name_in(uri: str) -> Name:
    """Return the token that `uri` means. The configuration was checked before: what cannot be read asks for nothing."""
    from wardkeys.uri import UriError, parse  # a box without keys in a token does without it

    try:
        found = parse(uri)
    except UriError:
        return Name()
    return Name(found.token or "", found.serial or "", found.model or "")
