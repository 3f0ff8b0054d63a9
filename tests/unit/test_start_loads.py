"""What the programs of a start do without: several run at once on two slow processors, and each pays for what it imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.certs import custody_key, pacs_plan
from support.config import Plan
from wardgate.codes import Code
from wardgate.policy import load
from wardgate.policy.claims import own_certificates
from wardgate.policy.mistakes import Mistake
from wardtools.pki import Pki

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = "dataclasses inspect argparse difflib calendar email asyncio logging"


def loaded(program: str, unwanted: str) -> list[str]:
    """Return which modules of `unwanted` a new interpreter has loaded after `program`."""
    code = f"import sys\n{program}\nprint(*(name for name in {unwanted!r}.split() if name in sys.modules))"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_who_reads_the_policy_loads_what_the_policy_needs(folder: Path, pki: Pki) -> None:
    """The custody writer, the audit sender, the firewall, the gateway and the judge of an update: each of them, at each start."""
    path = Plan(folder, (pacs_plan(pki),), custody_key(pki)).write()
    read = f"from wardgate.policy import load; load({str(path)!r}, check_files=False)"
    assert loaded(read, f"{ALWAYS} hashlib ssl socket subprocess cryptography") == []


def test_the_ends_of_own_certificates_are_read_without_cryptography(folder: Path, pki: Pki) -> None:
    """It takes longer to load than all else that the gateway's reader loads, and OpenSSL is there already."""
    path = Plan(folder, (pacs_plan(pki),), custody_key(pki)).write()
    read = (
        "from wardgate.policy import load; from wardgate.policy import resolve; from wardgate.policy.claims import own_certificates;"
        f"mistakes = []; assert len(own_certificates(load({str(path)!r}), mistakes)) == 2 and not mistakes"
    )
    assert loaded(read, f"{ALWAYS} cryptography") == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda _text: "", "no certificate in it"),
        (lambda text: text + text.replace("MII", "MIJ", 1), ""),
        (lambda text: text.replace("-----BEGIN", "\u2014BEGIN"), "no certificate in it"),
    ],
)
def test_an_own_chain_that_cannot_be_read_whole_is_a_mistake(folder: Path, pki: Pki, damage: Callable[[str], str], says: str) -> None:
    chain = folder / "own.pem"
    chain.write_text(pki.leaf("box-rsa").chain.read_text())
    config = load(str(Plan(folder, (pacs_plan(pki, certificates=((chain, pki.leaf("box-rsa").key),)),), custody_key(pki)).write()))
    mistakes: list[Mistake] = []
    assert len(own_certificates(config, mistakes)) == 1 and not mistakes
    chain.write_text("subject=O = Universit\u00e4tsklinikum\n" + chain.read_text())
    assert len(own_certificates(config, mistakes)) == 1 and not mistakes, "what stands beside the certificates is nobody's business"
    chain.write_text(damage(chain.read_text()))
    assert own_certificates(config, mistakes) == []
    (mistake,) = mistakes
    assert mistake.code is Code.CONFIG_FILE and mistake.place.endswith("tls.certificates[0].chain")
    assert mistake.found.startswith(f"{chain} (") and says in mistake.found


@pytest.mark.parametrize(
    "module", ["audit.service", "audit.apart", "custody.service", "hold.writer", "relay.worker", "master.supervisor", "ports"]
)
def test_a_program_of_every_start_is_lean(module: str) -> None:
    assert loaded(f"import wardgate.{module}", f"{ALWAYS} cryptography tomllib") == (["tomllib"] if module == "ports" else [])
