"""Templates of attributes: Python values in, CK_ATTRIBUTE arrays out, and back."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from wardkeys.cryptoki.structures import Attribute


def template(values: Mapping[int, bytes | bool | int]) -> tuple[Any, int]:
    """Return (array, length). bool becomes CK_BBOOL, int CK_ULONG. The array keeps its buffers alive."""
    array: Any = (Attribute * len(values))()
    keep = []
    for place, (kind, value) in zip(array, values.items(), strict=True):
        raw = packed(value)
        buffer = ctypes.create_string_buffer(raw, len(raw))
        keep.append(buffer)
        place.type = kind
        place.value = ctypes.addressof(buffer)
        place.length = len(raw)
    array.keep = keep
    return array, len(values)


def packed(value: bytes | bool | int) -> bytes:
    """Return `value` as PKCS#11 has it in memory."""
    if isinstance(value, bool):
        return bytes((value,))
    if isinstance(value, int):
        return bytes(ctypes.c_ulong(value))
    return value


def number(raw: bytes) -> int | None:
    """Return the CK_ULONG in `raw`, None when it is none."""
    if len(raw) != ctypes.sizeof(ctypes.c_ulong):
        return None
    return ctypes.c_ulong.from_buffer_copy(raw).value


def text(raw: Any) -> str:
    """Return a blank-padded field of an info structure as text."""
    return bytes(raw).split(b"\0")[0].decode("utf-8", "replace").rstrip(" ")
