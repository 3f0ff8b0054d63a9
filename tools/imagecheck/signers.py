"""Whose keys an image starts by and takes updates and state from: `python -m imagecheck.signers BOARD [OUT]`.

Before a build (`tools/image.sh`): the words in the environment that name keys and other files; exit status 1 with what would fail at its
end, or would mean another thing than was meant. With OUT, Buildroot's folder after it: whose they became, and whether it is a release.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from imagecheck.assemble import settings
from wardgate.provision.state import StateRefused, read_anchors
from wardgate.update.version import parse as parse_version

# Word -> what its file is.
FILES: Final = {
    "STATE_ANCHORS": "the keys that may sign a state (wardtool state key)",
    "WARDGATE_KEYRING": "the authorities of those who sign updates, PEM",
    "WARDGATE_BOOT_KEY": "the key of what the firmware starts, PEM",
    "WARDGATE_BOOT_CERTIFICATE": "that key's certificate, as the firmware has it, PEM",
    "WARDGATE_FIT_CERTIFICATE": "the certificate of the key that signs for U-Boot, PEM",
    "WARDGATE_STUB": "systemd's stub for this architecture",
}
_CERTIFICATES: Final = ("WARDGATE_KEYRING", "WARDGATE_BOOT_CERTIFICATE", "WARDGATE_FIT_CERTIFICATE")
# Of a PE file (PE/COFF 4, "COFF File Header"), of the architectures that board.toml names.
_MACHINE: Final = {"x86_64": 0x8664, "aarch64": 0xAA64}
_DEVELOPMENT: Final = "Wardgate development"
_PAGE: Final = "docs/image.md, A release"


def mistakes(board: str, said: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the words in `said`; an empty word is one that was not given."""
    given = {word: Path(said[word]) for word in FILES if said.get(word) and not said[word].startswith("pkcs11:")}
    for word, path in given.items():
        if not path.is_file() or not path.stat().st_size:
            yield f"{word}={path}: no file with something in it; it names {FILES[word]}: give the file, or leave the word out ({_PAGE})"
        elif word in _CERTIFICATES and not _certificates(path):
            yield f"{word}={path}: no certificate in PEM; it names {FILES[word]}"
    there = {word: path for word, path in given.items() if path.is_file()}
    if anchors := there.get("STATE_ANCHORS"):
        try:
            read_anchors(anchors)
        except StateRefused as refused:
            yield f"STATE_ANCHORS={anchors}: {refused.detail}"
    if said.get("WARDGATE_BOOT_KEY", "").startswith("pkcs11:"):
        if not said.get("WARDGATE_BOOT_CERTIFICATE"):
            yield f"WARDGATE_BOOT_CERTIFICATE= is needed with WARDGATE_BOOT_KEY= ({_PAGE})"
        if subprocess.run(["openssl", "engine", "pkcs11"], capture_output=True, timeout=60, check=False).returncode:
            yield "WARDGATE_BOOT_KEY=pkcs11:...: OpenSSL has no engine pkcs11 for sbsign (apt-get install libengine-pkcs11-openssl)"
    else:
        yield from _pair(there)
    yield from _version(said.get("WARDGATE_VERSION", ""))
    yield from _loader(board, said)
    yield from _stub(board, there.get("WARDGATE_STUB"))


def _pair(there: Mapping[str, Path]) -> Iterator[str]:
    """The key of the firmware's programs and its certificate: both or none, and of each other."""
    key, certificate = there.get("WARDGATE_BOOT_KEY"), there.get("WARDGATE_BOOT_CERTIFICATE")
    if (key is None) != (certificate is None):
        wanted, alone = ("CERTIFICATE", "KEY") if certificate is None else ("KEY", "CERTIFICATE")
        yield f"WARDGATE_BOOT_{wanted}= is needed with WARDGATE_BOOT_{alone}= ({_PAGE})"
    if key is None or certificate is None:
        return
    try:
        public = load_pem_private_key(key.read_bytes(), None).public_key()
    except (ValueError, TypeError):
        yield f"WARDGATE_BOOT_KEY={key}: no private key in PEM without a pass phrase"
        return
    if (found := _certificates(certificate)) and found[0].public_key() != public:
        yield f"WARDGATE_BOOT_CERTIFICATE={certificate} is not of the key WARDGATE_BOOT_KEY={key}"


def _version(version: str) -> Iterator[str]:
    """It stands in RAUC's configuration, which is not read at all with one that RAUC cannot compare: the box would take no update."""
    try:
        if version:
            parse_version(version)
    except ValueError as error:
        yield f"WARDGATE_VERSION={version}: {error} ({_PAGE})"


def _loader(board: str, said: Mapping[str, str]) -> Iterator[str]:
    """Keys of the other way to start would be left aside without a word; those of U-Boot are a folder, or in a token."""
    uefi = settings(board)["bootloader"] == "grub"
    for word in ("WARDGATE_FIT_KEY", "WARDGATE_FIT_CERTIFICATE") if uefi else ("WARDGATE_BOOT_KEY", "WARDGATE_BOOT_CERTIFICATE"):
        if said.get(word):
            yield f"{word}= is given, and this board does not start by {'U-Boot' if uefi else 'UEFI'}"
    key, tree = said.get("WARDGATE_FIT_KEY", ""), said.get("UBOOT_DIR", "")
    if key.startswith("pkcs11:"):
        if not said.get("WARDGATE_FIT_CERTIFICATE"):
            yield "WARDGATE_FIT_CERTIFICATE= is needed with a WARDGATE_FIT_KEY= in a token"
    elif key and not all(Path(key, name).is_file() for name in ("boot.key", "boot.crt")):
        yield f"WARDGATE_FIT_KEY={key}: no folder with boot.key and boot.crt ({_PAGE})"
    elif not uefi and key:
        yield from _fit_key(Path(key, "boot.key"), Path(said.get("WARDGATE_FIT_CERTIFICATE") or Path(key, "boot.crt")))
    if not uefi and (named := said.get("WARDGATE_FIT_CERTIFICATE")):
        if not key:  # a development key would sign, and U-Boot start nothing of it
            yield f"WARDGATE_FIT_KEY= is needed with WARDGATE_FIT_CERTIFICATE= ({_PAGE})"
        elif key.startswith("pkcs11:"):
            yield from _fit_key(None, Path(named))
    if tree and not Path(tree).is_dir():
        yield f"UBOOT_DIR={tree}: no folder"


def _fit_key(key: Path | None, certificate: Path) -> Iterator[str]:
    """The certificate's key is compiled into U-Boot, which then starts nothing that another one signed."""
    if not (found := _certificates(certificate)):
        yield f"{certificate}: no certificate in PEM; it is of the key that signs for U-Boot ({_PAGE})"
        return
    public = found[0].public_key()
    if not isinstance(public, RSAPublicKey) or public.key_size != 2048:
        yield f"{certificate}: not of a key of RSA with 2048 bits, and U-Boot takes no other ({_PAGE})"
        return
    try:
        if key is not None and load_pem_private_key(key.read_bytes(), None).public_key() != public:
            yield f"{certificate} is not of the key {key}"
    except (ValueError, TypeError):
        yield f"{key}: no private key in PEM without a pass phrase"


def _stub(board: str, stub: Path | None) -> Iterator[str]:
    """The pinned release builds systemd's stub for x86 alone."""
    said = settings(board)
    arch = str(said["arch"])
    if said["bootloader"] != "grub":
        return
    if stub is not None:
        head = stub.read_bytes()[:4096]
        at = int.from_bytes(head[60:64], "little")
        if head[:2] != b"MZ" or head[at : at + 6] != b"PE\0\0" + _MACHINE[arch].to_bytes(2, "little"):
            yield f"WARDGATE_STUB={stub}: no EFI program for {arch}"
    elif arch == "aarch64":
        yield (
            "WARDGATE_STUB= is needed at the end of the build: systemd's stub for arm64 (linuxaa64.efi.stub), which the pinned Buildroot"
            f" builds for x86 alone; Debian's package systemd-boot-efi for arm64 has it ({_PAGE})"
        )


def told(board: str, said: Mapping[str, str], out: Path) -> Iterator[str]:
    """Yield the lines of what an image became: read from its root where it stands there, else from the words of the build."""
    reasons = []
    boot = _starter(board, said, out)
    yield f"starts by     {', '.join(map(_name, boot)) or 'nobody knows whom'}"
    if not boot or any(_DEVELOPMENT in one.subject.rfc4514_string() for one in boot):
        reasons.append("a development boot key")
    authorities = _certificates(out / "target/etc/rauc/keyring.pem")
    yield f"updates by    {', '.join(map(_name, authorities)) or 'nobody'}"
    if not authorities:
        reasons.append("it takes no update (WARDGATE_KEYRING)")
    anchors = read_anchors(out / "target/usr/share/wardgate/state-anchors")
    yield f"state by      {', '.join(f'{key.name}+{key.key_id.hex()}' for key in anchors) or 'anybody'}"
    if not anchors:
        reasons.append("it takes any state (STATE_ANCHORS)")
    release = (out / "target/usr/lib/os-release").read_text().splitlines()
    if "VARIANT_ID=unpinned" in release:
        reasons.append("not the pinned Buildroot (UNPINNED)")
    if (out / "wardgate.mixed").exists():
        reasons.append("built on where another configuration was built (O=)")
    version = next((line.partition("=")[2] for line in release if line.startswith("IMAGE_VERSION=")), "?")
    if reasons:
        yield f"NO RELEASE, version {version}: {'; '.join(reasons)} ({_PAGE})"
    else:
        yield f"a release, version {version}, by its keys"


def _starter(board: str, said: Mapping[str, str], out: Path) -> list[x509.Certificate]:
    """Return the certificate of whoever signed what firmware or U-Boot starts."""
    if settings(board)["bootloader"] == "grub":
        return _certificates(Path(said.get("WARDGATE_BOOT_CERTIFICATE") or out / "images/boot-certificate.pem"))
    return _certificates(Path(said.get("WARDGATE_FIT_CERTIFICATE") or Path(said["WARDGATE_FIT_KEY"], "boot.crt")))


def _certificates(path: Path) -> list[x509.Certificate]:
    """Return those in a file in PEM; none where there is none, or no such file."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return []


def _name(one: x509.Certificate) -> str:
    return f"{one.subject.rfc4514_string()} (SHA-256 {one.fingerprint(SHA256()).hex()})"


def main(words: list[str]) -> int:
    """Judge before a build, or tell after it."""
    if len(words) > 1:
        sys.stdout.writelines(f"image: {line}\n" for line in told(words[0], os.environ, Path(words[1])))
        return 0
    found = list(mistakes(words[0], os.environ))
    sys.stderr.writelines(f"image: {line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
