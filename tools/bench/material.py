"""What a run needs before it measures: the rig built, certificates, and generated DICOM files, the same each time."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

from bench.places import HERE, Places

CT_FILES, SMALL_FILES = 100, 500  # 0.53 MB and 30 KB each
STREAM_BYTES = 2 << 30
_CT, _US = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1"
_EXPLICIT = "1.2.840.10008.1.2.1"
_ROOT = "1.2.826.0.1.3680043.8.1453.9"
_NAMES = "DNS:localhost,DNS:{role}.bench,IP:127.0.0.1,IP:10.99.0.1,IP:10.99.0.2,IP:10.99.1.1,IP:10.99.1.2"


def prepare(places: Places) -> None:
    """Make what is not there yet."""
    for folder in (places.bin, places.certificates, places.data):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(places.work, ignore_errors=True)
    places.work.mkdir()
    subprocess.run(["make", "-s", "-C", HERE / "rig", f"OUT={places.bin}"], check=True)
    _certificates(places.certificates)
    _series(places.data / "ct", _CT, "CT", CT_FILES, 512, 512, 16)
    _series(places.data / "small", _US, "US", SMALL_FILES, 150, 200, 8)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _certificates(folder: Path) -> None:
    """One CA, a server and a client; ECDSA P-256."""
    if (folder / "client.pem").exists():
        return
    key = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out")
    _openssl(*key, folder / "ca.key")
    authority = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl(
        "req",
        "-x509",
        "-new",
        "-key",
        folder / "ca.key",
        "-days",
        3650,
        "-subj",
        "/O=bench/CN=bench CA",
        *authority,
        "-out",
        folder / "ca.pem",
    )
    for role in ("server", "client"):
        extensions = folder / f"{role}.ext"
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName=" + _NAMES.format(role=role) + "\n"
        )
        _openssl(*key, folder / f"{role}.key")
        _openssl("req", "-new", "-key", folder / f"{role}.key", "-subj", f"/O=bench/CN={role}.bench", "-out", folder / f"{role}.csr")
        signer = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", 3650, "-sha256")
        _openssl("x509", "-req", "-in", folder / f"{role}.csr", *signer, "-extfile", extensions, "-out", folder / f"{role}.pem")


def _element(group: int, number: int, vr: str, value: bytes) -> bytes:
    """Return one element, Explicit VR Little Endian (PS3.5 7.1.2)."""
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    head = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr.encode()
    if vr in ("OB", "OW"):
        return head + b"\0\0" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def _word(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _file(sop_class: str, instance: str, modality: str, number: int, rows: int, columns: int, bits: int, pixels: bytes) -> bytes:
    """Return one file of PS3.10: preamble, meta information, a plain image data set. The patient does not exist."""
    meta = _element(2, 1, "OB", b"\0\1") + _element(2, 2, "UI", sop_class.encode()) + _element(2, 3, "UI", instance.encode())
    meta += _element(2, 0x10, "UI", _EXPLICIT.encode()) + _element(2, 0x12, "UI", _ROOT.encode())
    study, series = f"{_ROOT}.1.{modality == 'CT':d}", f"{_ROOT}.2.{modality == 'CT':d}"
    items = [
        (0x0008, 0x0016, "UI", sop_class.encode()),
        (0x0008, 0x0018, "UI", instance.encode()),
        (0x0008, 0x0020, "DA", b"20260101"),
        (0x0008, 0x0060, "CS", modality.encode()),
        (0x0010, 0x0010, "PN", b"Bench^Generated"),
        (0x0010, 0x0020, "LO", b"BENCH"),
        (0x0020, 0x000D, "UI", study.encode()),
        (0x0020, 0x000E, "UI", series.encode()),
        (0x0020, 0x0013, "IS", str(number).encode()),
        (0x0028, 0x0002, "US", _word(1)),
        (0x0028, 0x0004, "CS", b"MONOCHROME2"),
        (0x0028, 0x0010, "US", _word(rows)),
        (0x0028, 0x0011, "US", _word(columns)),
        (0x0028, 0x0100, "US", _word(bits)),
        (0x0028, 0x0101, "US", _word(bits)),
        (0x0028, 0x0102, "US", _word(bits - 1)),
        (0x0028, 0x0103, "US", _word(0)),
        (0x7FE0, 0x0010, "OW", pixels),
    ]
    length = _element(2, 0, "UL", len(meta).to_bytes(4, "little"))
    return b"\0" * 128 + b"DICM" + length + meta + b"".join(_element(*item) for item in items)


def _series(folder: Path, sop_class: str, modality: str, count: int, rows: int, columns: int, bits: int) -> None:
    """Write a series of `count` images of noise, seeded."""
    if folder.exists() and len(list(folder.iterdir())) == count:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    noise = random.Random(modality)
    for number in range(count):
        instance = f"{_ROOT}.3.{modality == 'CT':d}.{number}"
        pixels = noise.randbytes(rows * columns * bits // 8)
        (folder / f"{number:05d}.dcm").write_bytes(_file(sop_class, instance, modality, number + 1, rows, columns, bits, pixels))
