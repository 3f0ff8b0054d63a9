"""Buildroot leaves compiled modules and no sources (`BR2_PACKAGE_PYTHON3_PYC_ONLY`): each program that a unit starts runs without them."""

from __future__ import annotations

import compileall
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.units import TREE, read_unit, services


def _modules() -> list[str]:
    lines = [line for path in services() for key, lines in read_unit(path)["Service"].items() if key.startswith("Exec") for line in lines]
    return sorted({words[words.index("-m") + 1] for words in map(str.split, lines) if "python3" in words[0] and "-m" in words})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as Buildroot leaves them: each `.pyc` beside where its source was."""
    folder = tmp_path_factory.mktemp("site")
    for part in ("firmware/wardgate", "hsm/wardkeys"):
        shutil.copytree(TREE / part, folder / Path(part).name, ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(folder, quiet=1, legacy=True)
    for path in folder.rglob("*.py"):
        path.unlink()
    return folder


def _python(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *words], env={"PYTHONPATH": str(site)}, cwd=site, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("module", _modules())
def test_a_program_of_a_unit_answers_without_its_source(site: Path, module: str) -> None:
    done = _python(site, "-m", module, "--help")
    assert "usage" in (done.stdout + done.stderr).lower()  # some say it on one, some on the other
    assert "Traceback" not in done.stderr


def test_every_module_can_be_loaded_without_its_source(site: Path) -> None:
    names = [str(path.relative_to(site).with_suffix("")).replace("/", ".") for path in sorted(site.rglob("*.pyc"))]
    wanted = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    assert len(wanted) > 200
    done = _python(site, "-c", f"import importlib\nfor name in {wanted}: print(importlib.import_module(name).__file__)")
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = done.stdout.splitlines()
    assert len(loaded) == len(wanted)
    assert [name for name in loaded if not (name.startswith(str(site)) and name.endswith(".pyc"))] == []
