"""Slots and the tokens in them."""

from __future__ import annotations

import ctypes
from typing import Final, NamedTuple

from wardkeys.cryptoki.attributes import text
from wardkeys.cryptoki.constants import CKF_TOKEN_INITIALIZED, CKF_TOKEN_PRESENT
from wardkeys.cryptoki.failures import Ckr
from wardkeys.cryptoki.module import Module
from wardkeys.cryptoki.structures import SlotInfo, TokenInfo

_MAX_SLOTS: Final = 64


class Token(NamedTuple):
    """A token as its module describes it."""

    slot: int
    reader: str
    label: str
    serial: str
    model: str
    manufacturer: str
    flags: int


def tokens(module: Module) -> list[Token]:
    """Return the initialised tokens that are there. Raises `Ckr`. Inside `with module:`."""
    count = ctypes.c_ulong()
    # PKCS#11 2.40 5.5: only a call without a buffer may take up new readers.
    rv = module.f.C_GetSlotList(1, None, ctypes.byref(count))
    if rv:
        raise Ckr("C_GetSlotList", rv)
    count.value = _MAX_SLOTS
    slots = (ctypes.c_ulong * _MAX_SLOTS)()
    rv = module.f.C_GetSlotList(1, slots, ctypes.byref(count))
    if rv:
        raise Ckr("C_GetSlotList", rv)
    # OpenSC may show a card that was put in after its start in two slots of one reader: it is one token all the same.
    found: dict[tuple[str, ...], Token] = {}
    for slot in slots[: count.value]:
        one = token(module, slot)
        if one is not None and one.flags & CKF_TOKEN_INITIALIZED:
            found.setdefault((one.reader, one.label, one.serial, one.model), one)
    return list(found.values())


def token(module: Module, slot: int) -> Token | None:
    """Return the token in a slot, None when there is none that can be read."""
    where = slot_info(module, slot)
    info = TokenInfo()
    if where is None or module.f.C_GetTokenInfo(slot, ctypes.byref(info)):
        return None
    fields = (text(info.label), text(info.serial), text(info.model), text(info.manufacturer))
    return Token(slot, text(where.description), *fields, info.flags)


def slot_info(module: Module, slot: int) -> SlotInfo | None:
    """Return CK_SLOT_INFO of a slot that holds a token, else None."""
    info = SlotInfo()
    if module.f.C_GetSlotInfo(slot, ctypes.byref(info)) or not info.flags & CKF_TOKEN_PRESENT:
        return None
    return info
