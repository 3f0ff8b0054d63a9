"""A signed FIT of `fit.sh`, judged by a U-Boot that we did not build (Debian's for QEMU's arm64 machine) and whose device tree has our key.

The kernel is a few words of arm64 that say a line: what is asked is what U-Boot starts, in a second each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest

from support import ubootkit
from support.softhsm import PIN, SoftHsm
from support.units import COMMON

ENGINE = Path("/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so")
LOAD, FIT = "0x48000000", "0x50000000"  # RAM of the machine begins at 0x40000000
LINE = 'root=/dev/dm-0 ro rauc.slot=A dm-mod.create="root,,,ro,0 8 verity 1 d d 4096 4096 1 2 sha256 ' + "ab" * 32 + ' 00"'

pytestmark = pytest.mark.slow


class Place:
    """A machine's device tree, keys, and the FITs made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machine = ubootkit.machine_tree(folder)
        (folder / "kernel").write_bytes(ubootkit.payload())
        (folder / "line").write_text(LINE)
        self.key = ubootkit.make_key(folder / "ours")
        self.control = folder / "control.dtb"
        shutil.copyfile(self.machine, self.control)
        self.good = self.fit("good.itb", str(self.key), WARDGATE_FIT_CONTROL=str(self.control))

    def fit(self, name: str, key: str, **environment: str) -> Path:
        """Make one as the image does. Raises `CalledProcessError`."""
        out = self.folder / name
        words = [COMMON / "fit.sh", out, self.folder / "kernel", self.machine, f"a={self.folder / 'line'}"]
        given = {**os.environ, "WARDGATE_FIT_KEY": key, "WARDGATE_FIT_ADDRESS": LOAD, **environment}
        subprocess.run(words, env=given, check=True, capture_output=True, text=True, timeout=60)
        return out

    def started(self, fit: Path, control: Path | None = None) -> tuple[bool, str]:
        """Have U-Boot start it; return whether the kernel ran, and what U-Boot said."""
        words = [
            "-machine",
            "virt",
            *ubootkit.MACHINE,
            "-serial",
            "stdio",
            "-bios",
            str(ubootkit.DEBIANS),
            "-dtb",
            str(control or self.control),
        ]
        words += ["-device", f"loader,file={fit},addr={FIT},force-raw=on"]
        uboot = pexpect.spawn("qemu-system-aarch64", words, encoding="utf-8", timeout=120)
        try:
            uboot.expect("stop autoboot")
            uboot.send(" ")
            uboot.expect("=> ")
            uboot.sendline(f"bootm {FIT}#a")
            ran = uboot.expect([f"\n{ubootkit.RUNS}", "=> ", "resetting", pexpect.EOF]) == 0
            return ran, str(uboot.before)
        finally:
            ubootkit.end(uboot)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Keys, and a FIT that is good."""
    ubootkit.need_tools()
    return Place(tmp_path_factory.mktemp("fit"))


def test_a_signed_fit_is_verified_and_started(place: Place) -> None:
    ran, said = place.started(place.good)
    assert ran, said
    assert "sha256,rsa2048:boot+ OK" in said


def test_the_root_hash_is_under_the_signature(place: Place) -> None:
    data = bytearray(place.good.read_bytes())
    data[data.index(b"ab" * 32)] ^= 1
    changed = place.folder / "changed.itb"
    changed.write_bytes(data)
    ran, said = place.started(changed)
    assert not ran and "Bad Data Hash" in said


def test_a_kernel_with_its_hash_made_anew_is_refused(place: Place) -> None:
    """Who changes the kernel can change the plain hash beside it; not the signature over both."""
    resigned = place.fit("stranger.itb", str(ubootkit.make_key(place.folder / "strangers")))
    ran, said = place.started(resigned)
    assert not ran and "Failed to verify required signature" in said


def test_a_fit_without_signature_is_refused(place: Place) -> None:
    bare = place.folder / "bare.itb"
    shutil.copyfile(place.good, bare)
    subprocess.run(["fdtput", "-r", bare, "/configurations/a/signature-1"], check=True, timeout=30)
    ran, said = place.started(bare)
    assert not ran and "Failed to verify required signature" in said


def test_without_a_key_in_its_device_tree_a_loader_starts_anything(place: Place) -> None:
    """The refusals above say something only because of this."""
    assert place.started(place.fit("anybodys.itb", str(ubootkit.make_key(place.folder / "anybody"))), place.machine)[0]


def test_a_key_in_a_token_signs_by_pkcs11(place: Place, folder: Path) -> None:
    if not ENGINE.exists():
        pytest.skip("no OpenSSL engine for PKCS#11 (apt-get install libengine-pkcs11-openssl)")
    token = SoftHsm(folder)
    token.new_token("bootkey")
    token.provision("bootkey", ("boot", "rsa2048"))
    control = folder / "control.dtb"
    shutil.copyfile(place.machine, control)
    given = {**token.env, "PKCS11_MODULE_PATH": token.module, "MKIMAGE_SIGN_PIN": PIN, "WARDGATE_FIT_CONTROL": str(control)}
    made = place.fit("token.itb", "pkcs11:token=bootkey", **given)
    assert place.started(made, control)[0]
    ran, said = place.started(made)
    assert not ran and "Failed to verify required signature" in said, "another key than that of this loader"


def test_the_key_that_is_compiled_into_a_loader_is_what_mkimage_would_put_there(place: Place) -> None:
    ours = ubootkit.with_key(place.machine, place.key, place.folder / "compiled.dtb")
    node = "/signature/key-boot"
    words = {
        "required": "s",
        "algo": "s",
        "rsa,num-bits": "x",
        "rsa,n0-inverse": "x",
        "rsa,exponent": "bx",
        "rsa,modulus": "bx",
        "rsa,r-squared": "bx",
    }
    for name, kind in words.items():
        said = [
            subprocess.run(["fdtget", "-t", kind, tree, node, name], check=True, capture_output=True, text=True, timeout=30).stdout
            for tree in (ours, place.control)
        ]
        assert said[0] == said[1] != "", name


def test_a_fit_that_nobody_signs_is_not_made(place: Place) -> None:
    (place.folder / "nothing").mkdir()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        place.fit("none.itb", str(place.folder / "nothing"))
    assert "nothing was signed" in failed.value.stderr and not (place.folder / "none.itb").exists()
