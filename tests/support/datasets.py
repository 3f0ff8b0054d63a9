"""DICOM files for tests and the demo: generated series, and the packaged real ones; data set bytes and their digests."""

from __future__ import annotations

import hashlib
import struct
import time
from dataclasses import dataclass
from pathlib import Path

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"

_ROOT = "1.2.826.0.1.3680043.10.1453"  # our own test instances; any root does, they never leave this machine
_LONG_VR = (b"OB", b"OW", b"UN", b"SQ", b"UT")


@dataclass(frozen=True, slots=True)
class Sample:
    """One file: where it is, what it is, and the SHA-256 (hex) of its data set bytes."""

    path: Path
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    length: int
    sha256: str


def data_set(content: bytes) -> bytes:
    """Return the data set bytes of a Part 10 file: what follows the file meta information (PS3.10 7.1)."""
    if content[128:132] != b"DICM" or content[132:136] != b"\x02\x00\x00\x00":
        raise ValueError("not a DICOM file with a group length in its file meta information")
    return content[144 + int(struct.unpack_from("<I", content, 140)[0]) :]


def meta(content: bytes) -> dict[int, str]:
    """Return the short text elements of the file meta information by element number (PS3.10 7.1)."""
    end = 144 + int(struct.unpack_from("<I", content, 140)[0])
    at, found = 144, {}
    while at < end:
        element, vr = struct.unpack_from("<H", content, at + 2)[0], content[at + 4 : at + 6]
        if vr in _LONG_VR:
            length, at = struct.unpack_from("<I", content, at + 8)[0], at + 12
        else:
            length, at = struct.unpack_from("<H", content, at + 6)[0], at + 8
            found[element] = content[at : at + length].decode("ascii", "replace").rstrip("\0 ")
        at += length
    return found


def sample(path: Path) -> Sample:
    """Read one Part 10 file."""
    content = path.read_bytes()
    body, head = data_set(content), meta(content)
    return Sample(path, head[0x0002], head[0x0003], head[0x0010], len(body), hashlib.sha256(body).hexdigest())


def samples(folder: Path) -> dict[str, Sample]:
    """Read every file of `folder` that is not empty (an SCP may have only begun it), by SOP Instance UID.

    An SCP that is under way may have written half of what a file begins with, or remove it: then all of them are read again.
    """
    deadline = time.monotonic() + 60
    while True:
        try:
            found = [sample(path) for path in sorted(folder.iterdir()) if path.is_file() and path.stat().st_size]
        except (FileNotFoundError, ValueError, KeyError, struct.error):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return {one.sop_instance: one for one in found}


def generate(folder: Path, count: int, rows: int = 512, study: int = 1, modality: str = "CT", implicit: bool = False) -> list[Sample]:
    """Write a series of `count` images of `rows` x `rows` x 2 bytes, each different, and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    sop_class = MR_IMAGE if modality == "MR" else CT_IMAGE
    syntax = IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE
    made = []
    for number in range(1, count + 1):
        instance = f"{_ROOT}.{study}.1.{number}"
        body = _image(sop_class, instance, modality, study, number, rows, implicit)
        path = folder / f"{modality.lower()}{study}-{number:04d}.dcm"
        path.write_bytes(_part10(sop_class, instance, syntax) + body)
        made.append(Sample(path, sop_class, instance, syntax, len(body), hashlib.sha256(body).hexdigest()))
    return made


def _image(sop_class: str, instance: str, modality: str, study: int, number: int, rows: int, implicit: bool) -> bytes:
    pixels = (hashlib.sha512(f"{study}.{number}".encode()).digest() * (rows * rows * 2 // 64 + 1))[: rows * rows * 2]
    elements: list[tuple[int, int, bytes, bytes]] = [
        (0x0008, 0x0016, b"UI", sop_class.encode()),
        (0x0008, 0x0018, b"UI", instance.encode()),
        (0x0008, 0x0020, b"DA", b"20260101"),
        (0x0008, 0x0060, b"CS", modality.encode()),
        (0x0010, 0x0010, b"PN", b"Test^Phantom"),
        (0x0010, 0x0020, b"LO", f"WG{study:04d}".encode()),
        (0x0020, 0x000D, b"UI", f"{_ROOT}.{study}".encode()),
        (0x0020, 0x000E, b"UI", f"{_ROOT}.{study}.1".encode()),
        (0x0020, 0x0013, b"IS", str(number).encode()),
        (0x0028, 0x0002, b"US", struct.pack("<H", 1)),
        (0x0028, 0x0004, b"CS", b"MONOCHROME2"),
        (0x0028, 0x0010, b"US", struct.pack("<H", rows)),
        (0x0028, 0x0011, b"US", struct.pack("<H", rows)),
        (0x0028, 0x0100, b"US", struct.pack("<H", 16)),
        (0x0028, 0x0101, b"US", struct.pack("<H", 16)),
        (0x0028, 0x0102, b"US", struct.pack("<H", 15)),
        (0x0028, 0x0103, b"US", struct.pack("<H", 0)),
        (0x7FE0, 0x0010, b"OW", pixels),
    ]
    return b"".join(_element(group, element, vr, value, implicit) for group, element, vr, value in elements)


def _element(group: int, element: int, vr: bytes, value: bytes, implicit: bool = False) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB") else b" "
    if implicit:
        return struct.pack("<HHI", group, element, len(value)) + value
    if vr in _LONG_VR:
        return struct.pack("<HH2sHI", group, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, element, vr, len(value)) + value


def _part10(sop_class: str, instance: str, syntax: str) -> bytes:
    rest = b"".join(
        (
            _element(2, 0x0001, b"OB", b"\x00\x01"),
            _element(2, 0x0002, b"UI", sop_class.encode()),
            _element(2, 0x0003, b"UI", instance.encode()),
            _element(2, 0x0010, b"UI", syntax.encode()),
            _element(2, 0x0012, b"UI", f"{_ROOT}.0".encode()),
        )
    )
    return b"\0" * 128 + b"DICM" + _element(2, 0x0000, b"UL", struct.pack("<I", len(rest))) + rest
