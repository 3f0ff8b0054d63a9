"""`make sbom` as a person types it: a board by either spelling, one that is not there, a tree that is not Buildroot's; and statements that
answer nothing, or are answered for by somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cvereport.match import statements_in
from imagecheck.pin import pinned
from sbom import __main__ as command
from sbom.merge import merged
from sbom.vex import Statement, VexError, read

STATUS = "Package: libssl3t64\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\nVersion: 3.5.1-1\n"
GRUB = {"bom-ref": "grub2", "type": "library", "name": "grub2", "version": "2.12"}
STATEMENT = {
    "id": "CVE-2026-1",
    "affects": [{"name": "openssl", "versions": "*"}],
    "analysis": {"state": "not_affected", "justification": "code_not_present", "detail": "why"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root/var/lib/dpkg"
    place.mkdir(parents=True)
    (place / "status").write_text(STATUS)
    return tmp_path / "root"


def _vex(folder: Path, *entries: object) -> Path:
    (folder / "vex").mkdir(exist_ok=True)
    (folder / "vex/one.json").write_text(json.dumps(entries))
    return folder / "vex"


def test_a_board_is_known_by_either_spelling(root: Path, tmp_path: Path) -> None:
    for name in ("pc-x86_64-efi", "pc_x86_64_efi"):
        assert command.main([str(tmp_path / name), "--board", name, "--debian-root", str(root)]) == 0
    first, second = (json.loads((tmp_path / name).read_text()) for name in ("pc-x86_64-efi", "pc_x86_64_efi"))
    assert first["metadata"]["component"] == second["metadata"]["component"]


def test_a_board_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "out"), "--board", "another"]) == 2
    said = capsys.readouterr().err
    assert "another" in said and "nanopi_r2s" in said and not (tmp_path / "out").exists()


def test_a_release_has_its_own_version_in_its_bill(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDGATE_VERSION", "4.5.6")
    assert command.main([str(tmp_path / "out"), "--debian-root", str(root)]) == 0
    document = json.loads((tmp_path / "out").read_text())
    versions = {one["name"]: one["version"] for one in document["components"]}
    assert document["metadata"]["component"]["version"] == versions["wardgate"] == versions["wardkeys"] == "4.5.6"


@pytest.mark.parametrize("makefile", [None, "all:\n", "export BR2_VERSION := 2020.02\n"])
def test_a_tree_that_is_not_the_pinned_release_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], makefile: str | None
) -> None:
    monkeypatch.delenv("UNPINNED", raising=False)
    tree = tmp_path / "tree"
    if makefile is not None:
        tree.mkdir()
        (tree / "Makefile").write_text(makefile)
    assert command.main([str(tmp_path / "out"), "--buildroot", str(tree)]) == 1
    said = capsys.readouterr().err
    assert pinned()["version"] in said and "BUILDROOT_DIR=" in said


def test_two_roots_are_one_too_many(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "out"), "--buildroot", str(tmp_path), "--debian-root", str(root)]) == 2
    assert "DEBIAN_ROOT=" in capsys.readouterr().err


def test_a_damaged_list_of_packages_is_named(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for damaged in (STATUS.encode() + b"\nPackage: \xff\xfe\n", STATUS.replace("Version: 3.5.1-1\n", "").encode()):
        (root / "var/lib/dpkg/status").write_bytes(damaged)
        assert command.main([str(tmp_path / "out"), "--debian-root", str(root)]) == 1
        assert "var/lib/dpkg/status" in capsys.readouterr().err


def test_a_statement_that_fits_nothing_in_the_image_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [STATEMENT, {**STATEMENT, "id": "CVE-2026-2", "affects": [{"name": "libssl3t64", "versions": ["3.5.0-1"]}]}]
    fitting = {**STATEMENT, "id": "CVE-2026-3", "affects": [{"name": "libssl3t64", "versions": ["3.5.1-1"]}]}
    monkeypatch.setattr(command, "VEX", _vex(tmp_path, *entries, fitting))
    assert command.main([str(tmp_path / "out"), "--debian-root", str(root)]) == 0
    said = capsys.readouterr().err
    assert "CVE-2026-1" in said and "CVE-2026-2" in said and "CVE-2026-3" not in said
    assert command.main([str(tmp_path / "out")]) == 0
    assert "CVE-2026" not in capsys.readouterr().err, "our own part alone is no image"


@pytest.mark.parametrize("change", [{"affects": []}, {"affects": [{"name": ""}]}, {"affects": [{"name": "x", "versions": []}]}, {"id": ""}])
def test_a_statement_that_can_fit_nothing_is_refused(tmp_path: Path, change: dict) -> None:
    with pytest.raises(VexError):
        read(_vex(tmp_path, {**STATEMENT, **change}))


def test_a_file_of_statements_that_is_no_list_is_refused(tmp_path: Path) -> None:
    (_vex(tmp_path) / "one.json").write_text("{}")
    with pytest.raises(VexError):
        read(tmp_path / "vex")


@pytest.mark.parametrize("state, theirs", [("not_affected", "in_triage"), ("exploitable", "resolved_with_pedigree")])
def test_what_we_say_of_a_vulnerability_counts_before_what_buildroot_says(state: str, theirs: str) -> None:
    host = {**GRUB, "bom-ref": "host-grub2", "name": "host-grub2", "scope": "excluded"}
    entry = {"id": "CVE-2026-1", "affects": [{"ref": "grub2"}, {"ref": "host-grub2"}], "analysis": {"state": theirs, "detail": "ignored"}}
    ours = Statement("CVE-2026-1", "grub2", None, state, "code_not_present", "why")
    document = merged("image", "1", 0.0, [{"components": [GRUB, host], "vulnerabilities": [entry]}], [ours])
    said = [(one.name, one.state) for one in statements_in(document) if one.id == "CVE-2026-1"]
    assert sorted(said) == [("grub2", state), ("host-grub2", theirs)]
