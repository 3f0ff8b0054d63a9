"""Writes a held instance as a DICOM file (PS3.10 7.1): the data set bytes as they are, behind a File Meta Information of ours."""

from __future__ import annotations

import os
import struct

from wardgate.hold.offer import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from wardgate.hold.store import Entry, Store

_LONG = struct.Struct("<HH2sHI")
_SHORT = struct.Struct("<HH2sH")


def meta_information(sop_class: str, sop_instance: str, transfer_syntax: str, calling: str) -> bytes:
    """Return preamble, prefix and group 0002, Explicit VR Little Endian (PS3.10 7.1, Table 7.1-1)."""
    body = _LONG.pack(2, 0x0001, b"OB", 0, 2) + b"\x00\x01"
    for element, text in ((0x0002, sop_class), (0x0003, sop_instance), (0x0010, transfer_syntax), (0x0012, IMPLEMENTATION_CLASS)):
        body += _element(element, b"UI", text, b"\0")
    body += _element(0x0013, b"SH", IMPLEMENTATION_VERSION, b" ")
    if calling:
        body += _element(0x0016, b"AE", calling, b" ")
    return bytes(128) + b"DICM" + _SHORT.pack(2, 0, b"UL", 4) + struct.pack("<I", len(body)) + body


def _element(number: int, vr: bytes, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += padding * (len(value) & 1)
    return _SHORT.pack(2, number, vr, len(value)) + value


def export(store: Store, entry: Entry, folder: str) -> str:
    """Write one file of mode 0600 in `folder` and return its path; it bears its name only when all of it verified.

    Raises `Damaged`, `WrapError`, `KeyServiceError`, `OSError`.
    """
    reader = store.read(entry)
    path = os.path.join(folder, f"{entry.stem}.dcm")
    temporary = path + ".tmp"
    try:
        header = reader.header
        if not store.wrapper.ready(header.key_name):
            store.wrapper.fetch(header.key_name)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(meta_information(header.sop_class, header.sop_instance, header.transfer_syntax, header.calling))
            for data in reader.chunks():
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except Exception:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    finally:
        reader.close()
    return path
