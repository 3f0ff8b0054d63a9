"""Which token a PKCS#11 URI means (RFC 7512 2.3): only the attributes that name a token count here, not those of the key in it."""

from __future__ import annotations

SCHEME = "pkcs11:"
_TOKEN_ATTRIBUTES = ("token", "serial", "model")


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
    found = {}
    for part in uri[len(SCHEME) :].partition("?")[0].split(";"):
        word, _, value = part.partition("=")
        if word in _TOKEN_ATTRIBUTES:
            found[word] = unquote(value)
    return Name(found.get("token", ""), found.get("serial", ""), found.get("model", ""))


def unquote(text: str) -> str:
    """Return `text` with its percent escapes replaced (RFC 3986 2.1); `urllib` would cost the master a megabyte."""
    out = bytearray()
    rest = text.encode("utf-8", "replace")
    while rest:
        head, mark, rest = rest.partition(b"%")
        out += head
        if mark:
            try:
                out.append(int(rest[:2].decode("ascii"), 16))
                rest = rest[2:]
            except ValueError:
                out += mark
    return out.decode("utf-8", "replace")
