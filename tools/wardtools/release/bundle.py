"""A bundle as a file: squashfs with the images, its hash tree, the signed manifest, eight bytes of length (RAUC, format verity)."""

from __future__ import annotations

import configparser
import hashlib
import os
import secrets
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.update.version import parse as parse_version
from wardtools.release.cms import Sign, signed_data
from wardtools.release.verity import blocks_of, tree_of

if TYPE_CHECKING:
    from cryptography import x509

MANIFEST: Final = "manifest.raucm"
IMAGES: Final = {"boot": "boot.vfat", "root": "root.img"}  # slot class of system.conf -> file
MAX_CMS: Final = 65536
_LENGTH: Final = 8


class BundleError(Exception):
    """Not a bundle, or not what its manifest says."""


class Parts(NamedTuple):
    """Where a bundle's parts lie: `payload` bytes of squashfs and hash tree together, then the CMS."""

    payload: int
    cms: bytes


def make(folder: Path, out: Path, compatible: str, version: str, certificates: list[x509.Certificate], sign: Sign) -> None:
    """Make the bundle `out` of the images in `folder`. Raises `ValueError`, `OSError`, `BundleError`, and what `sign` raises."""
    parse_version(version)
    lines = ["[update]", f"compatible={compatible}", f"version={version}", ""]
    # RAUC tells its handlers the words of meta groups, and not the version (RAUC_META_WARDGATE_VERSION).
    lines += ["[meta.wardgate]", f"version={version}", ""]
    for name, file in IMAGES.items():
        with (folder / file).open("rb") as image:
            digest = hashlib.file_digest(image, "sha256").hexdigest()
        lines += [f"[image.{name}]", f"filename={file}", f"size={(folder / file).stat().st_size}", f"sha256={digest}", ""]
    with tempfile.TemporaryDirectory(dir=out.parent) as work:
        # What counts is in the CMS; as RAUC does, the manifest lies in the squashfs too: update servers read it there.
        Path(work, MANIFEST).write_text("\n".join(lines), encoding="utf-8")
        payload = Path(work, "payload")
        _squash([Path(work, MANIFEST), *(folder / file for file in IMAGES.values())], payload)
        salt = secrets.token_bytes(32)
        tree = tree_of(blocks_of(payload, payload.stat().st_size), salt)
        lines += ["[bundle]", "format=verity", f"verity-hash={tree.root.hex()}", f"verity-salt={salt.hex()}"]
        lines += [f"verity-size={len(tree.blocks)}", ""]
        cms = signed_data("\n".join(lines).encode(), certificates, sign, time.time())
        with payload.open("ab") as whole:
            whole.write(tree.blocks + cms + len(cms).to_bytes(_LENGTH, "big"))
            whole.flush()
            os.fsync(whole.fileno())
        payload.rename(out)


def _squash(files: list[Path], out: Path) -> None:
    # The root is compressed already: packing it again would cost time and win nothing. mksquashfs pads to 4096.
    words = ["mksquashfs", *map(str, files), str(out), "-all-root", "-noappend", "-quiet", "-no-progress", "-comp", "gzip"]
    words += ["-Xcompression-level", "1"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"mksquashfs: {(done.stderr or done.stdout).strip()[-200:]}")


def read(path: Path) -> Parts:
    """Return the parts. Raises `BundleError`, `OSError`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _LENGTH))
        length = int.from_bytes(file.read(_LENGTH), "big")
        if not 0 < length <= min(MAX_CMS, size - _LENGTH):
            raise BundleError("no signature at its end")
        file.seek(size - _LENGTH - length)
        return Parts(size - _LENGTH - length, file.read(length))


def manifest(text: bytes) -> configparser.ConfigParser:
    """Return a manifest. Raises `BundleError`."""
    parsed = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    try:
        parsed.read_string(text.decode("utf-8"))
        parsed["update"]["version"], parsed["update"]["compatible"]
    except (configparser.Error, UnicodeDecodeError, KeyError) as error:
        raise BundleError("the manifest cannot be read") from error
    return parsed


def check_payload(path: Path, parts: Parts, told: configparser.ConfigParser) -> None:
    """Compare the payload with the manifest's root hash. Raises `BundleError`."""
    try:
        bundle = told["bundle"]
        tree_bytes = int(bundle["verity-size"])
        wanted, salt = bytes.fromhex(bundle["verity-hash"]), bytes.fromhex(bundle["verity-salt"])
        tree = tree_of(blocks_of(path, parts.payload - tree_bytes), salt)
    except (KeyError, ValueError) as error:
        raise BundleError(f"the payload: {error}") from error
    with path.open("rb") as file:
        file.seek(parts.payload - tree_bytes)
        there = file.read(tree_bytes)
    if tree.root != wanted or tree.blocks != there:
        raise BundleError("the payload is not the one that was signed")
