"""Builds Debian images for the tests: versions of the same box, signed with keys of the test, and bundles of them.

Into a copy of the root goes what a release never has: a shell on the second serial port, and that a vault in clear is taken. Each
trusts the key that signs the state of tested boxes (`signedstate`).
What is built is kept in build/image, by a digest of everything that goes in. With `IMAGE=FOLDER` it is not built but taken from there
(`givenimage`). With `KERNEL=FILE` the image has that kernel, and starts by the way of Buildroot's (`image/debian/as-buildroot.sh`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support import givenimage, signedstate
from support.machine import X86_64, Machine, missing
from support.units import TREE

BUILD = TREE / "build" / "image"
# tool -> Debian package
TOOLS = {
    "mmdebstrap": "mmdebstrap", "mksquashfs": "squashfs-tools", "genimage": "genimage", "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils", "veritysetup": "cryptsetup-bin", "sbsign": "sbsigntool", "mcopy": "mtools", "mkfs.vfat": "dosfstools",
    "grub-mkimage": "grub-common", "cpio": "cpio", "mke2fs": "e2fsprogs", "objcopy": "binutils", "systemd-sysusers": "systemd",
    "zstd": "zstd", "gcc": "gcc",
}  # fmt: skip
KEPT_ANCHOR = TREE / "tests/image/bundles/anchor.pem"  # of the bundles kept there
COMPATIBLE = X86_64.compatible
AGENT = """\
#!/bin/sh
# What the test types on this terminal is done; the answer ends with a line of its own.
exec </dev/TERMINAL >/dev/TERMINAL 2>&1
stty raw -echo
echo READY
while read -r line; do
    sh -c "$line" </dev/null
    echo "END $?"
done
"""
AGENT_UNIT = """\
[Unit]
Description=Shell of the test
After=basic.target
[Service]
ExecStart=/usr/lib/wardgate-test/agent
"""
PLAIN_VAULT = """\
#!/bin/sh
# A vault that a test laid in clear onto its partition is mounted as it is; any other is opened as in the product.
for uevent in /sys/class/block/*/uevent; do
    name='' label=''
    while IFS='=' read -r word value; do
        case $word in DEVNAME) name=$value ;; PARTNAME) label=$value ;; esac
    done <"$uevent"
    [ "$label" = vault ] || continue
    device=/dev/$name
    [ "$(od -An -tx1 -j 1080 -N 2 "$device" | tr -d ' ')" = 53ef ] || continue
    cat >"$2/vault.mount" <<END
[Unit]
Description=Wardgate vault (test: not encrypted)
DefaultDependencies=no
Conflicts=umount.target
Before=umount.target
[Mount]
What=/dev/disk/by-partlabel/vault
Where=/vault
Type=ext4
Options=nosuid,nodev,noexec
END
done
"""


def need_tools(machine: Machine = X86_64, *, asked: bool = False) -> None:
    """Skip where an image cannot be built or booted, with the reason. `asked`: it takes so long that it has to be asked for."""
    switch = os.environ.get("WARDGATE_IMAGE_TEST", "")
    if switch == "0" or (asked and switch != "1"):
        pytest.skip("slow: boots images in emulation for many minutes; make image-test (WARDGATE_IMAGE_TEST=1)")
    if os.geteuid() != 0:
        pytest.skip("building a root needs root")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt-get install {package})")
    if reason := missing(machine):
        pytest.skip(reason)


# A gateway that does not start: what stands first on Python's path is read first, wherever a builder puts ours. The judge has ours.
BROKEN: Final = {
    "usr/lib/wardgate-test/broken/wardgate/__init__.py": 'raise RuntimeError("this release is broken")\n',
    "etc/systemd/system/wardgate.service.d/broken.conf": "[Service]\nEnvironment=PYTHONPATH=/usr/lib/wardgate-test/broken\n",
}


class Authority(NamedTuple):
    """Who may sign releases in the tests: files in PEM."""

    anchor: Path
    certificate: Path
    key: Path


class Image(NamedTuple):
    """One built version: the folder of `image/debian/build.sh`, and its bundle."""

    version: str
    folder: Path
    bundle: Path
    machine: Machine = X86_64

    @property
    def disk(self) -> Path:
        """The whole disk, with this version in slot A. Never written: boxes run on overlays of it."""
        return self.folder / "wardgate.img"

    @property
    def filesystem(self) -> str:
        """What its root is packed in."""
        return "erofs" if givenimage.is_erofs(self.folder / "root.image") else "squashfs"


def authority(folder: Path, name: str = "TEST ONLY release CA") -> Authority:
    """Return a release CA, made once. Two of one name in a keyring would be taken for each other."""
    made = Authority(folder / "release-ca.pem", folder / "release.pem", folder / "release-key.pem")
    if made.key.exists():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    root, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    anchor = _certificate(name, root, name, root, ca=True)
    leaf = _certificate(f"{name}, signer", signer, name, root, ca=False)
    made.anchor.write_bytes(anchor.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(signer.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return made


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        bits = [True, *[False] * 8]
    else:
        bits = [False, False, False, False, False, True, True, False, False]
    return builder.add_extension(x509.KeyUsage(*bits), critical=True).sign(issuer_key, hashes.SHA256())


def boot_key(folder: Path) -> tuple[Path, Path]:
    """Return OVMF's test key, which its Secure Boot variant trusts, without its passphrase, and its certificate."""
    key = folder / "boot-key.pem"
    if not key.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run("openssl", "rsa", "-in", "/usr/share/ovmf/PkKek-1-snakeoil.key", "-passin", "pass:snakeoil", "-out", key)
    return key, Path("/usr/share/ovmf/PkKek-1-snakeoil.pem")


def build(version: str, extra: dict[str, str] | None = None, machine: Machine = X86_64) -> Image:
    """Build a version, or take the one that is there. `extra`: path in the root -> text, laid over it."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(version, extra or {}, machine)


def _build(version: str, extra: dict[str, str], machine: Machine) -> Image:
    from wardtools.release.cli import main as release

    files = {
        "usr/lib/wardgate-test/agent": AGENT.replace("TERMINAL", machine.terminal),
        "etc/systemd/system/wardgate-test.service": AGENT_UNIT,
        "usr/lib/systemd/system-generators/wardgate-test-vault": PLAIN_VAULT,
        **extra,
    }
    who, state_anchors = authority(BUILD / "keys"), signedstate.anchors(BUILD / "keys")
    source, kernel = givenimage.given(), own_kernel(machine)
    digest = _digest(version, files, who, machine, source, kernel)
    kind = ("given-" if source is not None else "kernel-" if kernel is not None else "") + (
        "v" if machine is X86_64 else f"{machine.board}-v"
    )
    folder = BUILD / f"{kind}{version}-{digest}"
    image = Image(version, folder, folder / "update.raucb", machine)
    if image.bundle.exists():
        return image
    for old in BUILD.glob(f"{kind}{version}-*"):
        shutil.rmtree(old)
    if source is not None:  # built.sh was run for it, with anchors of its own or none
        files["usr/share/wardgate/state-anchors"] = state_anchors.read_text()
    laid = folder / "extra"
    for path, text in files.items():
        place = laid / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755 if text.startswith("#!") else 0o644)
    wants = laid / "etc/systemd/system/basic.target.wants"
    wants.mkdir()
    (wants / "wardgate-test.service").symlink_to("../wardgate-test.service")
    key, certificate = boot_key(BUILD / "keys")
    keyring = folder / "keyring.pem"
    keyring.write_bytes(who.anchor.read_bytes() + KEPT_ANCHOR.read_bytes())
    environment = {"WARDGATE_VERSION": version, "WARDGATE_ROOT_EXTRA": str(laid), "WARDGATE_KEYRING": str(keyring)}
    environment |= {"BOARD": machine.board, "WARDGATE_BASE": str(BUILD / ("debian" if machine is X86_64 else f"debian-{machine.board}"))}
    environment |= {"WARDGATE_BOOT_KEY": str(key), "WARDGATE_BOOT_CERTIFICATE": str(certificate), "STATE_ANCHORS": str(state_anchors)}
    environment["KERNEL"] = str(kernel or "")  # one for another machine is not for this image
    if source is None:
        _run(TREE / "image/debian/build.sh", folder, seconds=2400, **environment)
    else:
        givenimage.assemble(source, folder, laid, machine, environment)
    shutil.copyfile(folder / "root/etc/passwd", folder / "passwd")
    words = ["sign", folder / "bundle", image.bundle, "--compatible", machine.compatible, "--version", version]
    words += ["--certificate", who.certificate, "--unsafe-key-file", who.key]
    assert release([str(word) for word in words]) == 0
    shutil.rmtree(folder / "root")
    return image


def name_on_stick(bundle: Path) -> str:
    """Return what a bundle is called on a stick: one that was built here, in whatever way, by its version."""
    found = re.search(r"\bv([0-9.]+)-[0-9a-f]{16}$", bundle.parent.name)
    return f"v{found[1]}.raucb" if found else bundle.name


def stick(path: Path, files: list[Path]) -> Path:
    """Return the image of a disk with `files` on it, as if on a USB stick."""
    size = sum(file.stat().st_size for file in files) * 11 // 10 + (64 << 20)  # journal and tables of ext4
    folder = path.with_suffix(".d")
    folder.mkdir()
    for file in files:
        place = folder / name_on_stick(file)
        os.link(file, place) if file.stat().st_dev == folder.stat().st_dev else shutil.copyfile(file, place)
        place.chmod(0o644)
    _run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", folder, path, f"{(size >> 20) + 1}M")
    return path


def account(image: Image, name: str) -> tuple[int, int]:
    """Return user and group number of an account of the image."""
    lines = (image.folder / "passwd").read_text().splitlines()
    row = next(line.split(":") for line in lines if line.startswith(f"{name}:"))
    return int(row[2]), int(row[3])


def own_kernel(machine: Machine = X86_64) -> Path | None:
    """Return the kernel of `KERNEL=`, or None when the image has Debian's. One that is for another machine is left aside."""
    named = os.environ.get("KERNEL", "")
    if not named:
        return None
    kernel = Path(named).resolve()
    assert kernel.is_file(), f"KERNEL={named} is not there (make image-kernel)"
    wanted = tomllib.loads((TREE / "board" / machine.board / "board.toml").read_text())["kernel"]
    return kernel if kernel.name == wanted else None


def _digest(version: str, files: dict[str, str], who: Authority, machine: Machine, source: Path | None, kernel: Path | None) -> str:
    trusted = (who.anchor, KEPT_ANCHOR, signedstate.anchors(BUILD / "keys"))
    seen = hashlib.sha256(repr((version, sorted(files.items()))).encode() + b"".join(path.read_bytes() for path in trusted))
    parts = ["image/common", "image/debian", f"board/{machine.board}", "firmware/wardgate", "hsm/wardkeys"]
    for part in (*parts, *(["image/buildroot"] if kernel is not None else [])):
        for path in sorted((TREE / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                seen.update(f"{path.relative_to(TREE)} {path.stat().st_mode:o}\n".encode() + path.read_bytes())
    if stub := os.environ.get("WARDGATE_STUB"):
        seen.update(Path(stub).read_bytes())
    given = [source / name for name in (*givenimage.PARTS, "root.image")] if source is not None else []
    for path in (*given, *([kernel] if kernel is not None else [])):
        with path.open("rb") as file:
            seen.update(hashlib.file_digest(file, "sha256").digest())
    client = TREE / "build/hawkbit/rauc-hawkbit-updater"  # of an update server, where somebody made it
    seen.update(client.read_bytes() if client.exists() else b"")
    return seen.hexdigest()[:16]


def _run(*words: str | Path, seconds: float = 120.0, **environment: str) -> None:
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
