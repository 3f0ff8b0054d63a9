"""The data set of a DICOM file: the bytes after the file meta group (PS3.10 7.1), hashed as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

_PREAMBLE: Final = 128
_CHUNK: Final = 1024 * 1024


class DicomFileError(Exception):
    """The file is not a DICOM file as PS3.10 7.1 has it."""


class Meta(NamedTuple):
    """What the file meta group says."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str


def read_meta(path: Path) -> Meta:
    """Return the UIDs of the file meta group; "" where it has none. Raises `DicomFileError`, `OSError`."""
    with path.open("rb") as file:
        return _skip_meta(file, str(path))


def data_set_digest(path: Path, algorithm: str) -> str:
    """Return the digest, hex, of the data set bytes. Raises `DicomFileError`, `OSError`."""
    if algorithm not in ("sha256", "sha384", "sha512"):
        raise DicomFileError(f"digest {algorithm!r} is not known")
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        _skip_meta(file, str(path))
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _skip_meta(file: BinaryIO, name: str) -> Meta:
    """Put the file's position behind the last element of group 0002 (explicit VR little endian, PS3.10 7.1)."""
    head = file.read(_PREAMBLE + 4)
    if head[_PREAMBLE:] != b"DICM":
        raise DicomFileError(f"{name}: no DICM after the preamble")
    found: dict[int, str] = {}
    while True:
        start = file.tell()
        element = file.read(8)
        if len(element) < 8 or element[:2] != b"\x02\x00":
            file.seek(start)
            return Meta(found.get(0x02, ""), found.get(0x03, ""), found.get(0x10, ""))
        if element[4:6] in (b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF", b"UC", b"UR"):  # PS3.5 7.1.2: 32-bit length
            length = int.from_bytes(file.read(4), "little")
        else:
            length = int.from_bytes(element[6:8], "little")
        if length > _CHUNK:
            raise DicomFileError(f"{name}: element of {length} bytes in the file meta group")
        value = file.read(length)
        if element[4:6] == b"UI":
            found[int.from_bytes(element[2:4], "little")] = value.rstrip(b"\0 ").decode("ascii", "replace")
