"""The bill of materials: what it is made of, that it validates, that a statement without reason is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sbom import ours
from sbom.__main__ import VEX, main, python_versions, whole
from sbom.debian import of_root
from sbom.merge import merged, validate
from sbom.vex import VexError, read

TREE = ours.TREE
STATUS = """\
Package: python3-cryptography
Status: install ok installed
Architecture: amd64
Source: python-cryptography (43.0.0-3)
Version: 43.0.0-3+b1
Description: over
 two lines: yes

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libssl3t64
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 1:3.5.1-1
"""
STATEMENT = {
    "id": "CVE-2026-1",
    "affects": [{"name": "busybox", "versions": "*"}],
    "analysis": {"state": "not_affected", "justification": "code_not_present", "detail": "the applet is not built"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "root/var/lib/dpkg/status").write_text(STATUS)
    return tmp_path / "root"


def _vex(folder: Path, *entries: object) -> Path:
    (folder / "vex").mkdir(exist_ok=True)
    (folder / "vex/one.json").write_text(json.dumps(entries))
    return folder / "vex"


def test_dpkg_says_what_is_installed_and_what_its_source_is(root: Path) -> None:
    found = {one["name"]: one for one in of_root(root)}
    assert set(found) == {"python3-cryptography", "libssl3t64"}
    assert found["libssl3t64"]["purl"] == "pkg:deb/debian/libssl3t64@1%3A3.5.1-1?arch=amd64&distro=debian-13"
    said = {entry["name"]: entry["value"] for entry in found["python3-cryptography"]["properties"]}
    assert said == {"wardgate:debian:source": "python-cryptography", "wardgate:debian:source-version": "43.0.0-3"}


def test_our_own_part_has_the_version_of_the_image_for_what_it_needs(root: Path) -> None:
    part = {"components": of_root(root)}
    assert python_versions(part) == {"cryptography": "43.0.0"}
    assert python_versions({"components": [{"name": "python-cryptography", "version": "46.0.3"}]}) == {"cryptography": "46.0.3"}
    document = whole(part, "qemu_x86_64", [])
    refs = {one["bom-ref"]: one["version"] for one in document["components"]}
    assert refs["pypi:cryptography"] == "43.0.0"
    assert {"ours:wardgate", "ours:wardkeys", "ours:wardkeys-provider"} <= refs.keys()


def test_it_validates_and_a_wrong_one_would_not(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    assert main([str(out), "--debian-root", str(root)]) == 0
    document = json.loads(out.read_text())
    assert validate(document) == ""
    document["components"][0]["type"] = "thing"
    assert "thing" in validate(document)


def test_the_same_input_gives_the_same_document(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a", "b"):
        assert main([str(tmp_path / name), "--debian-root", str(root)]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_change_of_a_source_file_changes_its_digest(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("x = 1\n")
    before = ours.digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/one.pyc").write_text("built")
    assert ours.digest(tmp_path) == before
    (tmp_path / "one.py").write_text("x = 2\n")
    assert ours.digest(tmp_path) != before


def test_a_statement_goes_to_the_components_that_it_covers(tmp_path: Path) -> None:
    components = [{"bom-ref": "busybox", "type": "library", "name": "busybox", "version": "1.37.0"}]
    statements = read(_vex(tmp_path, STATEMENT, {**STATEMENT, "affects": [{"name": "busybox", "versions": ["1.36.0"]}]}))
    document = merged("image", "1", 0.0, [{"components": components}], statements)
    assert [entry["affects"] for entry in document["vulnerabilities"]] == [[{"ref": "busybox"}]]
    assert validate(document) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"state": "fine"},
        {"detail": " "},
        {"justification": ""},
        {"justification": "because"},
    ],
)
def test_a_statement_without_reason_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(VexError):
        read(_vex(tmp_path, {**STATEMENT, "analysis": {**STATEMENT["analysis"], **change}}))  # type: ignore[dict-item]


@pytest.mark.parametrize("text", ["{", "{}", '[{"id": "x"}]', "[5]"])
def test_a_damaged_file_of_statements_is_refused(tmp_path: Path, text: str) -> None:
    _vex(tmp_path)
    (tmp_path / "vex/one.json").write_text(text)
    if text != "{}":
        with pytest.raises(VexError):
            read(tmp_path / "vex")


def test_what_the_statements_of_the_tree_rest_on_is_so() -> None:
    said = {statement.id: statement for statement in read(VEX)}
    assert said["CVE-2023-31438"].covers("systemd", "258.7")
    assert "Storage=volatile" in (TREE / "image/common/overlay/usr/lib/systemd/journald.conf.d/wardgate.conf").read_text().splitlines()


@pytest.mark.skipif(not os.environ.get("BUILDROOT_DIR"), reason="BUILDROOT_DIR is not given (the pinned Buildroot tree)")
def test_buildroot_names_what_the_image_is_made_of(tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    assert main([str(out), "--buildroot", os.environ["BUILDROOT_DIR"]]) == 0
    found = {one["bom-ref"]: one for one in json.loads(out.read_text())["components"]}
    assert {"libopenssl", "linux", "systemd", "python3", "rauc", "ours:wardgate"} <= found.keys()
    assert found["libopenssl"]["cpe"].startswith("cpe:2.3:a:openssl:openssl:")
    assert found["host-genimage"]["scope"] == "excluded"
