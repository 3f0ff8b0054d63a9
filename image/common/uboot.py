"""What a board's U-Boot is built with, beside its fragments: `uboot.py BOARD CERTIFICATE OUT` makes in OUT

`uboot.env` (its whole environment), `key.dtsi` (the key of CERTIFICATE, PEM, required of everything that it starts) and `made.fragment`
(where both are, and where on the disk the counting variables lie). `uboot.py --fw-env BOARD`: the same place for libubootenv, on
standard output. `uboot.py --counting`: the counting variables of a new disk.

Standard library and `openssl` only, as for `layout.py`.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import layout

COMMON = Path(__file__).parent
ENVIRONMENT = COMMON / "boot" / "uboot.env"
COUNTING = ("BOOT_ORDER", "BOOT_A_LEFT", "BOOT_B_LEFT")
LABEL = "env"


def environment(board: str, disk: str | None = None) -> str:
    """Return the environment of a board. `disk`: in place of the board's (`mmc 1`), for a U-Boot that was built elsewhere."""
    said = tomllib.loads(layout.settings(board).read_text())
    place = int(said["fit_load"], 16)
    letter = place + len("BOOT_ORDER=")
    text = ENVIRONMENT.read_text().replace("@DISK@", disk or said["disk"])
    return text.replace("@LOAD@", f"{place:x}").replace("@LETTER@", f"{letter:x}")


def counting() -> str:
    """Return the counting variables as they are compiled in."""
    return "".join(line + "\n" for line in ENVIRONMENT.read_text().splitlines() if line.split("=")[0] in COUNTING)


def copies() -> tuple[int, list[int]]:
    """Return the size of the environment and where its copies begin within their partition, bytes."""
    said = tomllib.loads(layout.TABLE.read_text())["environment"]
    return said["bytes"], [offset << 20 for offset in said["copies_mebibytes"]]


def fw_env() -> str:
    """Return /etc/fw_env.config: device, offset, size for each copy."""
    size, offsets = copies()
    return "".join(f"/dev/disk/by-partlabel/{LABEL} {offset:#x} {size:#x}\n" for offset in offsets)


def fragment(board: str, out: Path) -> str:
    """Return the words of U-Boot's configuration that follow from the table of partitions, and from what lies in `out`."""
    size, offsets = copies()
    start, _ = layout.place(LABEL, layout.settings(board))
    first, second = (start + offset for offset in offsets)
    return "".join(
        f"CONFIG_{name}={value}\n"
        for name, value in (
            ("ENV_SIZE", f"{size:#x}"),
            ("ENV_OFFSET", f"{first:#x}"),
            ("ENV_OFFSET_REDUND", f"{second:#x}"),
            *((name, "y") for name in ("USE_DEFAULT_ENV_FILE", "ENV_USE_DEFAULT_ENV_TEXT_FILE")),  # before and since 2025.10
            *((name, f'"{out / "uboot.env"}"') for name in ("DEFAULT_ENV_FILE", "ENV_DEFAULT_ENV_TEXT_FILE")),
            ("DEVICE_TREE_INCLUDES", f'"{out / "key.dtsi"}"'),
        )
    )


def key(certificate: Path) -> str:
    """Return the node that makes U-Boot start nothing that the key of `certificate` has not signed (doc/usage/fit/signature.rst of U-Boot).

    Raises `ValueError` for a key that is not RSA with 2048 bits, `CalledProcessError` where there is no certificate."""
    public = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True, timeout=30
    ).stdout
    words = ["openssl", "rsa", "-pubin", "-noout", "-modulus", "-text"]
    said = subprocess.run(words, input=public, check=False, capture_output=True, timeout=30).stdout.decode()
    found = dict(line.replace(": ", "=", 1).split("=", 1) for line in said.splitlines() if line.startswith(("Modulus=", "Exponent: ")))
    modulus, exponent = int(found.get("Modulus", "0"), 16), int(found.get("Exponent", "0").split(" ")[0])
    if modulus.bit_length() != 2048:
        raise ValueError(f"{certificate}: not a key of RSA with 2048 bits")
    inverse = (1 << 32) - pow(modulus, -1, 1 << 32)  # -1 / modulus, modulo 2^32
    squared = pow(2, 2 * 2048, modulus)
    return f"""\
/ {{
    signature {{
        key-boot {{
            required = "conf";
            algo = "sha256,rsa2048";
            key-name-hint = "boot";
            rsa,num-bits = <2048>;
            rsa,exponent = /bits/ 64 <{exponent}>;
            rsa,n0-inverse = <{inverse:#x}>;
            rsa,r-squared = [{squared:0512x}];
            rsa,modulus = [{modulus:0512x}];
        }};
    }};
}};
"""


def main(words: list[str]) -> int:
    """Write what is asked for."""
    match words:
        case ["--fw-env"]:
            sys.stdout.write(fw_env())
        case ["--counting"]:
            sys.stdout.write(counting())
        case ["--place"]:
            size, offsets = copies()
            sys.stdout.write(" ".join(map(str, (size, *offsets))) + "\n")
        case [board, certificate, folder]:
            out = Path(folder).resolve()
            out.mkdir(parents=True, exist_ok=True)
            (out / "uboot.env").write_text(environment(board))
            (out / "key.dtsi").write_text(key(Path(certificate)))
            (out / "made.fragment").write_text(fragment(board, out))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
