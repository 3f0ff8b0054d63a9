"""The report of known vulnerabilities, from small feeds made here in the form of NVD JSON 2.0 and of OSV."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvereport.__main__ import main
from cvereport.feed import FeedError, Range, read, split_cpe
from cvereport.match import is_in, match
from cvereport.versions import compare, compare_debian
from sbom.vex import Statement

OPENSSL = "cpe:2.3:a:openssl:openssl:{}:*:*:*:*:*:*:*"


def _nvd(name: str, *matches: dict, score: float = 7.5, **more: object) -> dict:
    node = {"operator": "OR", "negate": False, "cpeMatch": [{"vulnerable": True, **match} for match in matches]}
    return {
        "cve": {
            "id": name,
            "descriptions": [{"lang": "en", "value": f"about {name}"}],
            "metrics": {"cvssMetricV31": [{"cvssData": {"baseScore": score}}]},
            "configurations": [{"nodes": [node]}],
            **more,
        }
    }


def _osv(name: str, ecosystem: str, package: str, *events: dict, versions: tuple[str, ...] = (), **more: object) -> dict:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    affected = {"package": {"ecosystem": ecosystem, "name": package}, "ranges": ranges, "versions": list(versions)}
    return {"id": name, "modified": "2026-01-01T00:00:00Z", "affected": [affected], **more}


COMPONENTS = [
    {"bom-ref": "o", "type": "library", "name": "libopenssl", "version": "3.6.2", "cpe": "cpe:2.3:a:openssl:openssl:3.6.2:-:*:*:*:*:*:*"},
    {"bom-ref": "h", "type": "library", "name": "host-openssl", "version": "3.6.2", "cpe": OPENSSL.format("3.6.2"), "scope": "excluded"},
    {"bom-ref": "c", "type": "library", "name": "cryptography", "version": "46.0.3", "purl": "pkg:pypi/cryptography@46.0.3"},
    {
        **{"bom-ref": "d", "type": "library", "name": "libssl3t64", "version": "3.5.1-1", "purl": "pkg:deb/debian/libssl3t64@3.5.1-1"},
        "properties": [
            {"name": "wardgate:debian:source", "value": "openssl"},
            {"name": "wardgate:debian:source-version", "value": "3.5.1-1"},
        ],
    },
    {"bom-ref": "x", "type": "library", "name": "nameless", "version": "1"},
]


def _write(folder: Path, *entries: dict) -> Path:
    path = folder / "feed.json"
    path.write_text(json.dumps({"vulnerabilities": list(entries)} if "cve" in entries[0] else list(entries)))
    return path


def _hit(folder: Path, *entries: dict) -> list[tuple[str, str]]:
    return [(one.advisory.id, one.component) for one in match(COMPONENTS, read(_write(folder, *entries)), [])]


@pytest.mark.parametrize(
    "words, hit",
    [
        ({"criteria": OPENSSL.format("*"), "versionEndExcluding": "3.6.3"}, True),
        ({"criteria": OPENSSL.format("*"), "versionEndExcluding": "3.6.2"}, False),
        ({"criteria": OPENSSL.format("*"), "versionEndIncluding": "3.6.2"}, True),
        ({"criteria": OPENSSL.format("*"), "versionStartIncluding": "3.6.2", "versionEndExcluding": "3.7"}, True),
        ({"criteria": OPENSSL.format("*"), "versionStartExcluding": "3.6.2"}, False),
        ({"criteria": OPENSSL.format("*"), "versionStartIncluding": "3.10"}, False),
        ({"criteria": OPENSSL.format("3.6.2")}, True),
        ({"criteria": OPENSSL.format("3.6.1")}, False),
        ({"criteria": OPENSSL.format("*")}, True),
        ({"criteria": "cpe:2.3:a:other:openssl:*:*:*:*:*:*:*:*"}, False),
        ({"criteria": "cpe:2.3:o:openssl:openssl:*:*:*:*:*:*:*:*"}, False),
        ({"criteria": OPENSSL.format("*"), "vulnerable": False}, False),
    ],
)
def test_nvd_ranges(tmp_path: Path, words: dict, hit: bool) -> None:
    assert _hit(tmp_path, _nvd("CVE-2026-1", words)) == ([("CVE-2026-1", "libopenssl")] if hit else [])


OPENSSH = "cpe:2.3:a:openbsd:openssh:{}:{}:*:*:*:*:*:*"


@pytest.mark.parametrize(
    "words, hit",
    [
        # The bounds of a range are versions; `p1` is the update of one, and CPE's `*` is any of them.
        ({"criteria": OPENSSH.format("*", "*"), "versionEndIncluding": "10.2"}, True),
        ({"criteria": OPENSSH.format("*", "*"), "versionEndExcluding": "10.2"}, False),
        ({"criteria": OPENSSH.format("*", "*"), "versionStartExcluding": "10.2"}, True),
        ({"criteria": OPENSSH.format("*", "*"), "versionEndExcluding": "10.3"}, True),
        ({"criteria": OPENSSH.format("10.2", "*")}, True),
        ({"criteria": OPENSSH.format("10.2", "p1")}, True),
        ({"criteria": OPENSSH.format("10.2", "p2")}, False),
        ({"criteria": OPENSSH.format("10.1", "p1")}, False),
    ],
)
def test_the_update_of_a_version_hides_nothing(tmp_path: Path, words: dict, hit: bool) -> None:
    openssh = {"bom-ref": "s", "type": "library", "name": "openssh", "version": "10.2p1", "cpe": OPENSSH.format("10.2", "p1")}
    found = match([openssh], read(_write(tmp_path, _nvd("CVE-2026-1", words))), [])
    assert [(one.component, one.version) for one in found] == ([("openssh", "10.2p1")] if hit else [])


def test_what_only_builds_the_image_and_what_was_rejected_are_left_out(tmp_path: Path) -> None:
    words = {"criteria": OPENSSL.format("*")}
    assert _hit(tmp_path, _nvd("CVE-2026-1", words), _nvd("CVE-2026-2", words, vulnStatus="Rejected")) == [("CVE-2026-1", "libopenssl")]


def test_a_configuration_with_a_platform_counts_as_fulfilled(tmp_path: Path) -> None:
    entry = _nvd("CVE-2026-1", {"criteria": OPENSSL.format("3.6.2")})
    platform = {"vulnerable": False, "criteria": "cpe:2.3:o:microsoft:windows:-:*:*:*:*:*:*:*"}
    entry["cve"]["configurations"][0] |= {"operator": "AND"}
    entry["cve"]["configurations"][0]["nodes"].append({"operator": "OR", "cpeMatch": [platform]})
    assert _hit(tmp_path, entry) == [("CVE-2026-1", "libopenssl")]


@pytest.mark.parametrize(
    "events, hit",
    [
        (({"introduced": "0"}, {"fixed": "46.0.4"}), True),
        (({"introduced": "0"}, {"fixed": "46.0.3"}), False),
        (({"introduced": "0"}, {"last_affected": "46.0.3"}), True),
        (({"introduced": "0"}, {"fixed": "40"}, {"introduced": "46.0.0rc1"}, {"fixed": "47"}), True),
        (({"introduced": "0"}, {"fixed": "40"}, {"introduced": "47"}), False),
        (({"introduced": "46.0.3"},), True),
    ],
)
def test_osv_ranges(tmp_path: Path, events: tuple[dict, ...], hit: bool) -> None:
    assert _hit(tmp_path, _osv("GHSA-1", "PyPI", "Cryptography", *events)) == ([("GHSA-1", "cryptography")] if hit else [])


def test_debian_advisories_name_the_source_package(tmp_path: Path) -> None:
    fixed = _osv("DSA-1", "Debian:13", "openssl", {"introduced": "0"}, {"fixed": "3.5.1-1+deb13u1"})
    assert _hit(tmp_path, fixed) == [("DSA-1", "libssl3t64")]
    assert _hit(tmp_path, _osv("DSA-1", "Debian:13", "openssl", {"introduced": "0"}, {"fixed": "3.5.1~rc1-1"})) == []
    assert _hit(tmp_path, _osv("DSA-1", "Debian:13", "openssl", versions=("3.5.1-1",))) == [("DSA-1", "libssl3t64")]
    assert _hit(tmp_path, _osv("X", "npm", "openssl", {"introduced": "0"})) == []
    withdrawn = _osv("DSA-1", "Debian:13", "openssl", {"introduced": "0"}, withdrawn="2026-01-02T00:00:00Z")
    assert _hit(tmp_path, withdrawn, _osv("X", "npm", "openssl", {"introduced": "0"})) == []


def test_a_statement_answers_by_any_name_of_the_vulnerability(tmp_path: Path) -> None:
    feed = _write(tmp_path, _osv("GHSA-1", "PyPI", "cryptography", {"introduced": "0"}, aliases=["CVE-2026-9"]))
    said = Statement("CVE-2026-9", "cryptography", None, "not_affected", "code_not_reachable", "why")
    (finding,) = match(COMPONENTS, read(feed), [said])
    assert finding.statement == said and not finding.is_open
    (finding,) = match(COMPONENTS, read(feed), [said._replace(versions=frozenset({"45.0.0"}))])
    assert finding.is_open
    (finding,) = match(COMPONENTS, read(feed), [said._replace(state="in_triage")])
    assert finding.is_open


def test_the_command_says_what_is_open_and_ends_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sbom = tmp_path / "sbom.json"
    answer = {"id": "CVE-2026-2", "affects": [{"ref": "o"}], "analysis": {"state": "resolved_with_pedigree", "detail": "a patch"}}
    sbom.write_text(json.dumps({"components": COMPONENTS, "vulnerabilities": [answer]}))
    words = {"criteria": OPENSSL.format("*")}
    feed = _write(tmp_path, _nvd("CVE-2026-1", words, score=4.0), _nvd("CVE-2026-2", words), _nvd("CVE-2026-3", words, score=9.8))
    assert main([str(sbom), str(feed)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in told[:3]] == ["CVE-2026-3", "CVE-2026-1", "CVE-2026-2"]
    assert "3 advisories against 3 of 4 components: 2 open, 1 answered" in told
    assert told[-1] == "not looked for (no CPE, no purl): nameless 1"
    assert main([str(sbom), str(feed), "--least", "9.9"]) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"vulnerabilities": []}', '{"vulnerabilities": [{}]}', '[{"id": 5}]'])
def test_a_feed_that_says_nothing_is_no_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "feed.json").write_text(text)
    with pytest.raises(FeedError):
        list(read(tmp_path / "feed.json"))
    (tmp_path / "sbom.json").write_text(json.dumps({"components": COMPONENTS}))
    assert main([str(tmp_path / "sbom.json"), str(tmp_path / "feed.json")]) == 2


def test_feeds_come_packed_and_in_folders(tmp_path: Path) -> None:
    folder = tmp_path / "feed"
    folder.mkdir()
    one = json.dumps({"vulnerabilities": [_nvd("CVE-2026-1", {"criteria": OPENSSL.format("*")})]})
    with gzip.open(folder / "a.json.gz", "wt") as file:
        file.write(one)
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr("GHSA-1.json", json.dumps(_osv("GHSA-1", "PyPI", "cryptography", {"introduced": "0"})))
    assert [advisory.id for advisory in read(folder)] == ["CVE-2026-1", "GHSA-1"]


def test_a_cpe_is_split_at_what_is_not_escaped() -> None:
    assert split_cpe(r"cpe:2.3:a:x:y\:z:1\.0:*:*:*:*:*:*:*")[4:6] == ["y:z", "1.0"]
    for text in ("cpe:/a:x:y", "", "cpe:2.3:a"):
        with pytest.raises(ValueError):
            split_cpe(text)


@pytest.mark.parametrize(
    "scheme, rising",
    [
        ("cpe", ["1.0.1", "1.0.2-beta1", "1.0.2", "1.0.2a", "1.0.2zf", "1.1", "1.10", "2.0rc1", "2.0"]),
        ("pypi", ["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1.10", "1!0.1"]),
        ("deb", ["1.0~rc1-1", "1.0-1", "1.0-1+deb13u1", "1.0-1.1", "1.0-10", "1.0a-1", "1.0+dfsg-1", "1.10-1", "1:0.1-1"]),
    ],
)
def test_versions_rise(scheme: str, rising: list[str]) -> None:
    for place, version in enumerate(rising):
        assert compare(scheme, version, version) == 0
        assert all(compare(scheme, version, later) < 0 < compare(scheme, later, version) for later in rising[place + 1 :])


def test_zeros_at_the_end_change_nothing() -> None:
    assert compare("cpe", "3.6", "3.6.0") == 0
    assert is_in("3.6", Range(end="3.6.0", has_end=True), "cpe") and not is_in("3.6", Range(end="3.6.0"), "cpe")


_PIECE = st.from_regex(r"[0-9a-z+.~]{1,6}", fullmatch=True)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(_PIECE, _PIECE), min_size=20, max_size=20))
def test_dpkg_orders_versions_as_we_do(pairs: list[tuple[str, str]]) -> None:
    if shutil.which("dpkg") is None:
        pytest.skip("dpkg is not installed")
    pairs = [(f"1{one}-1", f"1{other}-1") for one, other in pairs]
    ours = ["lt" if (order := compare_debian(one, other)) < 0 else "gt" if order else "eq" for one, other in pairs]
    script = "\n".join(
        f"dpkg --compare-versions '{a}' {op} '{b}' && echo y || echo 'n {a} {op} {b}'" for (a, b), op in zip(pairs, ours, strict=True)
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split("\n")) <= {"y", ""}, done.stdout
