"""A Debian arm64 tree for row 11, unpacked from packages; nothing of it is installed on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PACKAGES = ("python3.11", "stunnel4", "haproxy")  # and all that they depend on
_WHEELS = ("manylinux2014_aarch64", "manylinux_2_28_aarch64", "manylinux_2_34_aarch64")


def make(folder: Path) -> Path:
    """Return the root of the tree; made once, about 300 MB."""
    root = folder / "root"
    if (folder / "done").exists():
        return root
    lists, debs = folder / "lists", folder / "debs"
    for path in (root, lists / "partial", debs / "partial"):
        path.mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()  # nothing is installed there, so apt fetches every dependency
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
        "Dir::State::Lists": lists,
        "Dir::State::status": folder / "status",
        "Dir::Cache::archives": debs,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
    }
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in settings.items())]
    _quiet([*apt, "update"])
    _quiet([*apt, "install", "-y", "--download-only", "--no-install-recommends", *_PACKAGES])
    for package in sorted(debs.glob("*.deb")):
        _quiet(["dpkg", "-x", str(package), str(root)])
        package.unlink()
    # Debian's own `cryptography` is older than what the product asks for.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:", "--python-version", "3.11"]
    platforms = [word for wheel in _WHEELS for word in ("--platform", wheel)]
    _quiet([*pip, *platforms, "--target", str(root / "usr/lib/python3.11"), "--upgrade", "cryptography>=41"])
    (folder / "done").touch()
    return root


def _quiet(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:4])}...: {done.stderr.decode(errors='replace')[-400:]}")
