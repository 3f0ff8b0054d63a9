"""`wardgate check` on real keys and certificates, and the pages that are made from the tables."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from support.certs import custody_key, pacs_plan
from support.config import Plan
from wardgate import codes_page
from wardgate.main import main
from wardgate.policy.check import check
from wardtools.pki import DAY, Pki

ROOT = Path(__file__).resolve().parents[2]


def checked(path: Path) -> tuple[int, str]:
    out = io.StringIO()
    return check(str(path), out), out.getvalue()


def plan(folder: Path, pki: Pki, **changes: object) -> Plan:
    return Plan(folder, (pacs_plan(pki, **changes),), custody_key(pki))


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    return subprocess.run(
        [sys.executable, "-m", "wardgate", *words], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def test_good_configuration_has_no_mistake_and_shows_links_and_days_left(folder: Path, pki: Pki) -> None:
    status, text = checked(plan(folder, pki).write())
    assert status == 0 and "no mistake" in text
    assert "link ct1" in text and "TLS B.12" in text and "days left" in text
    assert text.count("UNSAFE") == text.count("key in a file") == 3


def test_unsafe_switch_is_shown(folder: Path, pki: Pki) -> None:
    status, text = checked(plan(folder, pki, transport="plain").write())
    assert status == 0 and "UNSAFE: link ct1, pacs: unsafe_allow_clear_hospital" in text


@pytest.mark.parametrize(
    "what,changes,expected",
    [
        (
            "certificate and key of two pairs",
            lambda pki: {"certificates": ((pki.leaf("box-rsa").chain, pki.leaf("box-ecdsa").key),)},
            "WG3",
        ),
        ("B.13 with one certificate", lambda pki: {"profile": "B.13", "certificates": _pairs(pki, "box-rsa")}, "WG3"),
        ("an expired certificate", lambda pki: {"certificates": _pairs(pki, "ct1-expired")}, "WG119"),
        ("anchors that are a key", lambda pki: {"anchors": pki.leaf("box-rsa").key}, "WG3"),
        ("a certificate that is a CRL", lambda pki: {"certificates": ((pki.crl, pki.leaf("box-rsa").key),)}, "WG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_claim_that_is_not_met_is_refused_by_code(folder: Path, pki: Pki, what: str, changes: object, expected: str) -> None:
    process = run(["check", "-c", str(plan(folder, pki, **changes(pki)).write())])  # type: ignore[operator]
    assert process.returncode == 1, what
    assert expected in process.stdout and "link" in process.stdout


def _pairs(pki: Pki, *names: str) -> tuple[tuple[Path, Path], ...]:
    return tuple((pki.leaf(name).chain, pki.leaf(name).key) for name in names)


def test_b13_with_both_certificates_is_met(folder: Path, pki: Pki) -> None:
    process = run(["check", "-c", str(plan(folder, pki, profile="B.13").write())])
    assert process.returncode == 0, process.stdout + process.stderr
    assert "TLS B.13" in process.stdout


def test_custody_key_of_another_kind_is_refused(folder: Path, pki: Pki) -> None:
    made = plan(folder, pki)
    made.custody_key = pki.leaf("box-rsa").key
    status, text = checked(made.write())
    assert status == 1 and "WG120 custody.key" in text


def test_encrypted_custody_key_is_refused(folder: Path, pki: Pki) -> None:
    key = serialization.load_pem_private_key(custody_key(pki).read_bytes(), None)
    path = folder / "locked.pem"
    encryption = serialization.BestAvailableEncryption(b"x")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    path.chmod(0o600)
    made = plan(folder, pki)
    made.custody_key = path
    assert checked(made.write())[0] == 1


def test_certificate_that_will_expire_soon_is_pointed_out(folder: Path, pki: Pki) -> None:
    leaf = pki.issue("box-soon", kind="rsa", dns=("localhost",), end=pki.now + 5 * DAY)
    status, text = checked(plan(folder, pki, certificates=((leaf.chain, leaf.key),)).write())
    assert status == 0 and "enrol it again soon" in text


def test_every_mistake_has_its_line(folder: Path, pki: Pki) -> None:
    path = plan(folder, pki).write()
    path.write_text(path.read_text().replace('"B.12"', '"B.1"').replace("delivery", "delivry"))
    status, text = checked(path)
    assert status == 1
    assert [line.split()[0] for line in text.splitlines()[:-1]] == ["WG103", "WG114"]
    assert text.endswith("2 mistakes\n")


def test_command_line_mistakes_print_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["nothing"], ["check"], ["check", "-c"], ["run", "-x", "f"], ["check", "-c", "f", "--json"]):
        assert main(words) == 2
        assert "usage: wardgate" in "".join(capsys.readouterr())
    assert main(["--help"]) == 0


def test_status_without_a_running_gateway_says_so(folder: Path, pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "-c", str(plan(folder, pki).write())]) == 1
    assert "WG213" in capsys.readouterr().err


def test_codes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codes"]) == 0
    assert "WG101" in capsys.readouterr().out


def test_master_loads_nothing_heavy() -> None:
    heavy = "ssl tomllib cryptography argparse subprocess asyncio logging http urllib pathlib ipaddress threading hashlib"
    program = (
        "import sys, wardgate.main, wardgate.master.supervisor, wardgate.transport.sockets;"
        f"print(sorted(set({heavy!r}.split()) & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert process.stdout.strip() == "[]"


def test_a_box_with_its_keys_in_files_does_without_the_key_service(folder: Path, pki: Pki) -> None:
    path = plan(folder, pki).write()
    program = (
        "import sys; from wardgate.policy.check import check; from wardgate.relay import worker;"
        f"check({str(path)!r}, sys.stderr); print([name for name in sys.modules if name.startswith('wardkeys')])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert process.stdout.splitlines()[-1] == "[]"


def test_page_of_codes_is_up_to_date() -> None:
    assert (ROOT / "docs" / "codes.md").read_text() == codes_page.page(), "run: make codes"


def test_page_of_configuration_is_up_to_date() -> None:
    process = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "configuration.py"), "/dev/stdout"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))},
        check=True,
    )
    assert (ROOT / "docs" / "configuration.md").read_text() == process.stdout, "run: tools/configuration.py docs/configuration.md"
