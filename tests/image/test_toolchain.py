"""`image/buildroot/toolchain-debian.sh`: this machine's compiler as a toolchain finds nothing outside its folder; its fragment is whole."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from imagecheck.assemble import assembled
from imagecheck.findings import EXTERNAL

SCRIPT = EXTERNAL / "toolchain-debian.sh"


def _run(*words: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if platform.machine() != "x86_64" or not shutil.which("dpkg") or not shutil.which("g++"):
        pytest.skip("needs gcc and g++ of a Debian on x86_64")
    folder = tmp_path_factory.mktemp("toolchain")
    _run(SCRIPT, folder)
    return folder


def test_a_program_of_it_runs_and_is_made_of_its_own_folder(toolchain: Path, tmp_path: Path) -> None:
    source = tmp_path / "say.cc"
    source.write_text('#include <iostream>\n#include <linux/types.h>\nint main() { std::cout << "said\\n"; }\n')
    compiler = toolchain / "bin/x86_64-linux-gnu-g++"
    seen = _run(compiler, "-v", "-Wl,--trace", source, "-o", tmp_path / "say")
    # Between these lines stand the folders of headers; behind them, what the linker opened.
    folders = seen.split("search starts here:")[-1].split("End of search list")[0].split()
    opened = [line for line in seen.splitlines() if line.startswith("/") and line.endswith((".o", ".a", ".so")) and " " not in line]
    assert folders and any(line.endswith("crt1.o") for line in opened)
    own = (str(toolchain.resolve()), "/tmp/cc")
    outside = [name for name in (*folders, *opened) if not str(Path(name).resolve()).startswith(own)]
    assert outside == []
    assert _run(tmp_path / "say") == "said\n"


def test_its_fragment_takes_the_place_of_ours(toolchain: Path) -> None:
    text = assembled("qemu_x86_64", toolchain / "toolchain.config")
    assert f'BR2_TOOLCHAIN_EXTERNAL_PATH="{toolchain}"' in text
    assert "BOOTLIN" not in text
    assert sum(line.startswith("BR2_TOOLCHAIN_EXTERNAL_GCC_") for line in text.splitlines()) == 1
    assert sum(line.startswith("BR2_TOOLCHAIN_EXTERNAL_HEADERS_") for line in text.splitlines()) == 1


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = subprocess.run([SCRIPT, tmp_path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
