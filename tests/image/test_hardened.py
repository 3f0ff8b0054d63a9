"""`image/common/hardened.py`: flags that harden are looked for in the programs of a finished root, and in our module of OpenSSL."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.units import COMMON, TREE

SCRIPT = COMMON / "hardened.py"
_spec = importlib.util.spec_from_file_location("hardened", SCRIPT)
assert _spec is not None and _spec.loader is not None
hardened = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hardened)

GOOD = ("-fPIE", "-pie", "-Wl,-z,relro,-z,now,-z,noexecstack")
MODULE = TREE / "build/provider/wardkeys.so"


def _compile(place: Path, *flags: str) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    place.parent.mkdir(parents=True, exist_ok=True)
    source = place.with_suffix(".c")
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", *flags, "-o", place, source], check=True, timeout=60)
    source.unlink()


def _judge(root: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_root_whose_programs_are_linked_as_asked_for_passes(tmp_path: Path) -> None:
    for name in ("usr/bin/python3.14", "usr/sbin/nft", "usr/bin/rauc"):
        _compile(tmp_path / name, *GOOD)
    (tmp_path / "usr/bin/python3").symlink_to("python3.14")
    assert _judge(tmp_path) == (0, "")


@pytest.mark.parametrize(
    "flags, missing",
    [
        (("-no-pie", "-Wl,-z,relro,-z,now"), "PIE"),
        (("-fPIE", "-pie", "-Wl,-z,relro,-z,lazy"), "BIND_NOW"),
        (("-fPIE", "-pie", "-Wl,-z,norelro,-z,now"), "RELRO"),
        (("-fPIE", "-pie", "-Wl,-z,relro,-z,now,-z,execstack"), "NX stack"),
        (("-static", "-no-pie", "-Wl,-z,relro"), "BIND_NOW, PIE"),
    ],
)
def test_a_program_that_lacks_one_is_named_with_what_it_lacks(tmp_path: Path, flags: tuple[str, ...], missing: str) -> None:
    _compile(tmp_path / "usr/sbin/nft", *flags)
    _compile(tmp_path / "usr/bin/rauc", *GOOD)
    assert _judge(tmp_path) == (1, f"hardened: usr/sbin/nft has no {missing}\n")


def test_a_link_is_followed_within_the_root(tmp_path: Path) -> None:
    _compile(tmp_path / "usr/bin/python3.14", "-no-pie", "-Wl,-z,now,-z,relro")
    (tmp_path / "usr/bin/python3").symlink_to("/usr/bin/python3.14")
    assert _judge(tmp_path) == (1, "hardened: usr/bin/python3 has no PIE\n")


def test_what_debians_own_python_lacks_is_known_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("NAME=x\nID=debian\n")
    for name in ("usr/bin/python3", "usr/bin/rauc"):
        _compile(tmp_path / name, "-no-pie", "-Wl,-z,relro,-z,lazy")
    assert _judge(tmp_path) == (1, "hardened: usr/bin/rauc has no BIND_NOW, PIE\n")
    said = (TREE / "image/debian/differences.md").read_text()
    assert "python3" in said and all(word in said for words in hardened.KNOWN["debian"].values() for word in words)


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(20)])
def test_what_is_no_program_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/rauc").write_bytes(content)
    status, told = _judge(tmp_path)
    assert status == 1 and told.startswith("hardened: usr/bin/rauc: ")


def test_every_root_is_looked_at_when_it_is_finished() -> None:
    assert '"$common/hardened.py" "$root"' in (COMMON / "finish.sh").read_text()


def test_our_module_of_openssl_is_hardened_as_readelf_sees_it_too(tmp_path: Path) -> None:
    if not MODULE.is_file():
        pytest.skip("build/provider/wardkeys.so is not built (make provider)")
    assert hardened.has(MODULE) == {"BIND_NOW", "RELRO", "NX stack", "checked stack", "FORTIFY"}
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed (apt-get install binutils)")
    words = ["readelf", "--wide", "--dynamic", "--program-headers", "--dyn-syms", MODULE]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    for word in ("BIND_NOW", "GNU_RELRO", "__stack_chk_fail", "_chk@"):
        assert word in said
    assert " RW " in next(line for line in said.splitlines() if "GNU_STACK" in line)


@pytest.mark.parametrize("less, missing", [(["-fno-stack-protector"], "checked stack"), (["-U_FORTIFY_SOURCE"], "FORTIFY")])
def test_a_module_without_checked_stack_or_copies_is_refused(tmp_path: Path, less: list[str], missing: str) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    source = tmp_path / "m.c"
    source.write_text(
        "#include <stdio.h>\nvoid f(char *s, const char *t) { char b[64]; snprintf(b, sizeof b + (s != t), t, 1); puts(b); }\n"
    )
    place = tmp_path / "usr/lib/ossl-modules/wardkeys.so"
    place.parent.mkdir(parents=True)
    flags = ["-O2", "-w", "-fPIC", "-shared", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now"]
    subprocess.run(["gcc", *flags, "-o", place, source], check=True, timeout=60)
    assert _judge(tmp_path) == (0, "")
    subprocess.run(["gcc", *flags, "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", *less, "-o", place, source], check=True, timeout=60)
    assert _judge(tmp_path) == (1, f"hardened: usr/lib/ossl-modules/wardkeys.so has no {missing}\n")
