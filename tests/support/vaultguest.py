"""A guest that makes and opens a vault: Debian's kernel, an initramfs of this machine's own programs and our code, a TPM in software.

Device mapper is what this machine's kernel may lack. No firmware, no udev, no systemd as first process: only the vault.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import softtpm
from support.processes import tied
from support.units import TREE

KEPT = TREE / "build" / "vaultguest"
PROGRAMS = (
    *(
        "/usr/bin/busybox",
        "/usr/bin/python3.11",
        "/usr/sbin/cryptsetup",
        "/usr/bin/systemd-cryptenroll",
        "/usr/lib/systemd/systemd-cryptsetup",
    ),
    *("/usr/sbin/mkfs.ext4", "/usr/sbin/sfdisk", "/usr/bin/partx", "/usr/bin/setpriv"),
)
PACKAGES = {
    **{"qemu-system-x86_64": "qemu-system-x86", "swtpm": "swtpm", "busybox": "busybox", "cryptsetup": "cryptsetup-bin", "cpio": "cpio"},
    **{"systemd-cryptenroll": "systemd", "mke2fs": "e2fsprogs", "sfdisk": "fdisk"},
}
# systemd opens them at run time, so ldd does not name them.
LIBRARIES = (
    "cryptsetup/libcryptsetup-token-systemd-tpm2.so",
    "libtss2-esys.so.0",
    "libtss2-rc.so.0",
    "libtss2-mu.so.0",
    "libtss2-tcti-device.so.0",
    "libcryptsetup.so.12",
    "libgcc_s.so.1",
)
MODULES = ("virtio_pci", "virtio_blk", "dm_mod", "dm_crypt", "xts", "aesni_intel", "algif_skcipher", "af_alg")
SECONDS = 240.0

INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/ward PYTHONDONTWRITEBYTECODE=1
mkdir -p /proc /sys /dev /run /tmp /state /vault /dev/disk/by-partlabel
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
echo 0 >/proc/sys/kernel/printk
mkdir -p /dev/disk/by-partlabel /run/wardgate-box /run/cryptsetup
for module in MODULES; do modprobe $module; done
say() { sed "s/^/GUEST $1 /"; }
ln -s /dev/vda2 /dev/disk/by-partlabel/vault
mount -t ext4 /dev/vda1 /state
# With the capabilities of the unit wardgate-vault, and mknod: without udev the library of device mapper makes the devices itself.
caps=-all,+sys_admin,+dac_override,+ipc_lock,+mknod
/usr/bin/setpriv --reuid=990 --regid=990 --clear-groups --bounding-set=$caps --inh-caps=$caps --ambient-caps=$caps --no-new-privs \\
    python3 -m wardgate.provision.vaultboot --device /dev/vda2 --console /dev/ttyS0 2>&1 | say log
ls /dev/mapper | say mapper
cat /sys/class/block/vda2/size | say sectors
cryptsetup luksDump /dev/vda2 | grep -E '^  [0-9]+: ' | say slot
if mount -t ext4 /dev/mapper/vault /vault 2>/dev/null; then
    cat /vault/marker 2>/dev/null | say marker
    echo "written at the first boot" >/vault/marker
    df -m /vault | tail -n 1 | say room
    umount /vault
fi
python3 -m wardgate state show 2>&1 | say standing
for file in /state/kept/*.json; do cat "$file" | say kept; echo; done
key=$(sed -n 's/.*recovery=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
[ -z "$key" ] || { printf %s "$key" | cryptsetup open --type luks2 --key-file - /dev/vda2 again && echo yes | say recovered; }
umount /state; sync
echo GUEST end
poweroff -f
"""


def need() -> None:
    """Skip unless asked for, or without the tools."""
    if os.environ.get("WARDGATE_IMAGE_TEST") != "1":
        pytest.skip("slow: boots a guest three times in emulation; make image-test")
    for tool, package in PACKAGES.items():
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{tool} is not installed (apt-get install {package})")
    missing = [name for name in (*PROGRAMS, *(f"/usr/lib/x86_64-linux-gnu/{name}" for name in LIBRARIES)) if not Path(name).exists()]
    if missing:
        pytest.skip(f"not there: {missing[0]} (apt-get install libtss2-esys-3.0.2-0 libtss2-rc0 libtss2-mu0 libtss2-tcti-device0)")


def kernel() -> Path:
    """Return a folder with Debian's kernel for clouds, fetched once."""
    if not list(KEPT.glob("boot/vmlinuz-*")):
        shutil.rmtree(KEPT, ignore_errors=True)
        KEPT.mkdir(parents=True)
        depends = subprocess.run(
            ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, timeout=60, check=True
        )
        name = next(line.split()[1] for line in depends.stdout.splitlines() if line.strip().startswith("Depends: linux-image-"))
        _run("apt-get", "download", name, cwd=KEPT)
        _run("dpkg-deb", "-x", next(KEPT.glob("*.deb")), KEPT)
        next(KEPT.glob("*.deb")).unlink()
    return KEPT


def initramfs(folder: Path) -> Path:
    """Make it: programs with what they link to, Python's library, our code."""
    root = folder / "initramfs"
    # As Debian has it: libraries are asked for by either name.
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    (root / "ward").mkdir()
    for program in PROGRAMS:
        _with_libraries(root, Path(program))
    for library in LIBRARIES:
        _with_libraries(root, Path("/usr/lib/x86_64-linux-gnu") / library)
    (root / "usr/bin/python3").symlink_to("python3.11")
    wanted = shutil.ignore_patterns(
        "test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "__pycache__", "dist-packages", "config-*"
    )
    shutil.copytree("/usr/lib/python3.11", root / "usr/lib/python3.11", ignore=wanted, dirs_exist_ok=True)
    for module in Path("/usr/lib/python3.11/lib-dynload").glob("_hashlib*"):
        _with_libraries(root, module)
    for base in ("firmware/wardgate", "hsm/wardkeys"):
        shutil.copytree(TREE / base, root / "ward" / Path(base).name, ignore=shutil.ignore_patterns("__pycache__"))
    modules = next((kernel() / "lib/modules").iterdir())
    shutil.copytree(modules / "kernel", root / "lib/modules" / modules.name / "kernel")
    for name in ("modules.order", "modules.builtin"):
        shutil.copy(modules / name, root / "lib/modules" / modules.name)
    _run("busybox", "depmod", "-b", root, modules.name)
    (root / "init").write_text(INIT.replace("MODULES", " ".join(MODULES)))
    (root / "init").chmod(0o755)
    packed = subprocess.run("find . | cpio --quiet -o -H newc", shell=True, cwd=root, capture_output=True, timeout=120, check=True)
    out = folder / "initrd.gz"
    out.write_bytes(gzip.compress(packed.stdout, 1))
    shutil.rmtree(root)
    return out


def disk(folder: Path) -> Path:
    """Make a disk of 160 MiB with a table for 96: `state`, and `vault` as the last partition, blank."""
    state, path = folder / "state", folder / "disk.img"
    for name in ("wardgate", "floor", "kept"):
        (state / name).mkdir(parents=True)
    _run("mke2fs", "-q", "-t", "ext4", "-d", state, folder / "state.ext4", "16M")
    with path.open("wb") as file:
        file.truncate(96 << 20)
    table = 'label: gpt\nstart=2048, size=32768, name="state"\nstart=34816, size=131072, name="vault"\n'
    subprocess.run(["sfdisk", "--quiet", str(path)], input=table, text=True, timeout=60, check=True, capture_output=True)
    with path.open("r+b") as file:
        file.seek(1 << 20)
        file.write((folder / "state.ext4").read_bytes())
        file.truncate(160 << 20)
    return path


def boot(initrd: Path, image: Path, chip: Path, more: str = "") -> dict[str, list[str]]:
    """Boot once; return what the guest said, by word. Raises `AssertionError` with its last lines."""
    console = image.with_suffix(".log")
    console.unlink(missing_ok=True)
    vmlinuz = next((kernel() / "boot").glob("vmlinuz-*"))
    argv = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-smp", "2", "-accel", "tcg,thread=multi", "-m", "768", "-nodefaults"]
    argv += ["-display", "none", "-no-reboot", "-serial", f"file:{console}", "-kernel", str(vmlinuz), "-initrd", str(initrd)]
    argv += ["-append", f"console=ttyS0 no_timer_check panic=-1 loglevel=4 {more}", "-drive", f"file={image},format=raw,if=virtio"]
    argv += softtpm.devices(chip)
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(tied(argv), stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)
    text = console.read_text(errors="replace").replace("\r", "")
    assert "GUEST end" in text, text[-3000:]
    said: dict[str, list[str]] = {"console": [text]}
    for word, line in re.findall(r"^GUEST (\w+) (.*)$", text, re.M):
        said.setdefault(word, []).append(line)
    return said


def _with_libraries(root: Path, path: Path) -> None:
    for each in (path, *_linked(path)):
        place = root / os.path.abspath(each)[1:]
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(each, place)


def _linked(path: Path) -> list[Path]:
    done = subprocess.run(["ldd", str(path)], capture_output=True, text=True, timeout=30, check=False)
    return [Path(found) for found in re.findall(r"(?:=> )?(/\S+) \(0x", done.stdout)]


def _run(*words: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
