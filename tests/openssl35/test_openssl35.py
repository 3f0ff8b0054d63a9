"""TLS, with keys in a token and in files, on OpenSSL 3.5: the tests of other groups run again under Debian 13's Python and libraries.

The same `wardkeys.so` is used: it was built against the OpenSSL of this system.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.processes import run
from support.softhsm import python_path

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(1200)  # the first of them fetches that root
# None of them needs a package that is not in that root.
GROUPS = {
    "keys in a token": ["tests/hardware/test_tls_token.py", "tests/hardware/test_tls_token_faults.py"],
    "the transport": [f"tests/unit/test_transport_{part}.py" for part in ("tls", "profiles", "peer", "judge")],
    "openssl as the peer": ["tests/interop/test_tls_openssl.py"],
}


@pytest.fixture(scope="session")
def python() -> str:
    """The Python of that root, which is made at the first run."""
    made = subprocess.run([ROOT / "tools/openssl35.sh"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(made.stderr.strip()[-300:])
    return made.stdout.strip()


def test_it_is_openssl_3_5_or_later(python: str) -> None:
    told = run([python, "-c", "import ssl; print(ssl.OPENSSL_VERSION_INFO[:2] >= (3, 5), ssl.OPENSSL_VERSION)"])
    assert told.stdout.startswith("True "), told.stdout


@pytest.mark.parametrize("group", GROUPS)
def test_it_works_there(python: str, group: str) -> None:
    words = [python, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *GROUPS[group]]
    done = subprocess.run(words, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=1000, check=False)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in last, last


def _environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}, **python_path()}
