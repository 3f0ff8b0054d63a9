"""The list of what a token holds, as LIST answers it."""

from __future__ import annotations

from typing import Any, Final

from wardkeys import der
from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.attributes import number
from wardkeys.cryptoki.session import Session
from wardkeys.cryptoki.slots import Token
from wardkeys.objects import wanted
from wardkeys.uri import Uri

MAX_LISTED: Final = 128  # of one token: an answer is one packet
_KINDS: Final = ("private", "public", "cert", "secret-key")
_NAMES: Final = {c.CKK_RSA: "rsa", c.CKK_EC: "ec", c.CKK_DES3: "des3", c.CKK_AES: "aes", c.CKK_EC_EDWARDS: "ed25519"}
_CURVES: Final = {der.OID_P256: "p-256", der.OID_P384: "p-384"}
_MAX_LABEL: Final = 64


def listing(session: Session, token: Token, uri: Uri) -> list[dict[str, Any]]:
    """Return a description of each object that the URI fits, at most `MAX_LISTED`."""
    found: list[dict[str, Any]] = []
    for kind in _KINDS:
        if uri.type not in (None, kind):
            continue
        for handle in session.find(wanted(uri, kind)):
            if len(found) == MAX_LISTED:
                return found
            found.append(_described(session, token, kind, handle))
    return found


def _described(session: Session, token: Token, kind: str, handle: int) -> dict[str, Any]:
    have = session.attributes(
        handle, (c.CKA_LABEL, c.CKA_ID, c.CKA_KEY_TYPE, c.CKA_EC_PARAMS, c.CKA_MODULUS, c.CKA_EXTRACTABLE, c.CKA_VALUE_LEN)
    )
    label = have.get(c.CKA_LABEL, b"").decode("utf-8", "replace")[:_MAX_LABEL]
    identifier = have.get(c.CKA_ID, b"")[:_MAX_LABEL]
    name = Uri(token=token.label, serial=token.serial, object=label or None, type=kind, id=identifier or None)
    row: dict[str, Any] = {"uri": str(name), "token": token.label, "type": kind, "label": label, "id": identifier.hex()}
    key_type = number(have.get(c.CKA_KEY_TYPE, b""))
    if kind != "cert" and key_type is not None:
        algorithm = _NAMES.get(key_type, hex(key_type))
        if key_type == c.CKK_RSA and have.get(c.CKA_MODULUS):
            algorithm += f"-{len(have[c.CKA_MODULUS].lstrip(bytes(1))) * 8}"
        elif key_type == c.CKK_EC:
            algorithm = _CURVES.get(have.get(c.CKA_EC_PARAMS, b""), algorithm)
        row["algorithm"] = algorithm
    if kind in ("private", "secret-key"):
        row["extractable"] = have.get(c.CKA_EXTRACTABLE) == b"\1"
    return row
