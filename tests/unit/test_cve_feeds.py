"""Feeds as people have them: damaged, in a packing that is not read, in pages of which one is missing, of another schema, larger than
memory. A report from half of one would be worse than none, and exit status 1 means that something is open, nothing else."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from cvereport.__main__ import main
from cvereport.feed import FeedError, read
from cvereport.match import match
from sbom.ours import TREE

CPE = "cpe:2.3:a:openssl:openssl:3.6.2:*:*:*:*:*:*:*"
OPENSSL = {"bom-ref": "o", "type": "library", "name": "libopenssl", "version": "3.6.2", "cpe": CPE}
CRYPTOGRAPHY = {"bom-ref": "c", "type": "library", "name": "cryptography", "version": "46.0.3", "purl": "pkg:pypi/cryptography@46.0.3"}


def _cve(number: int, criteria: str = CPE, text: str = "text") -> dict:
    match_ = {"vulnerable": True, "criteria": criteria}
    said = [{"lang": "en", "value": text}]
    return {"cve": {"id": f"CVE-2026-{number}", "descriptions": said, "configurations": [{"nodes": [{"cpeMatch": [match_]}]}]}}


def _osv(*events: dict) -> dict:
    affected = {"package": {"ecosystem": "PyPI", "name": "cryptography"}, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}
    return {"id": "GHSA-1", "modified": "2026-01-01T00:00:00Z", "affected": [affected]}


@pytest.fixture
def sbom(tmp_path: Path) -> Path:
    path = tmp_path / "sbom.json"
    path.write_text(json.dumps({"components": [OPENSSL, CRYPTOGRAPHY]}))
    return path


def _damaged_gzip(path: Path) -> Path:
    packed = bytearray(gzip.compress(json.dumps({"vulnerabilities": [_cve(n) for n in range(3000)]}).encode(), 1))
    packed[-2000:] = b"\xff" * 2000
    path.write_bytes(packed)
    return path


def _damaged_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps({"vulnerabilities": [_cve(n) for n in range(3000)]}))
    packed = bytearray(path.read_bytes())
    packed[200:400] = b"\xff" * 200
    path.write_bytes(packed)
    return path


def _locked_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", json.dumps({"vulnerabilities": [_cve(1)]}))
    packed = bytearray(path.read_bytes())
    for at in (packed.index(b"PK\x03\x04") + 6, packed.index(b"PK\x01\x02") + 8):
        packed[at] |= 1  # APPNOTE 4.4.4, bit 0: encrypted
    path.write_bytes(packed)
    return path


@pytest.mark.parametrize("make, name", [(_damaged_gzip, "feed.json.gz"), (_damaged_zip, "feed.zip"), (_locked_zip, "feed.zip")])
def test_a_packed_feed_that_cannot_be_unpacked_is_no_report_and_not_something_open(
    tmp_path: Path, sbom: Path, capsys: pytest.CaptureFixture[str], make: object, name: str
) -> None:
    feed = make(tmp_path / name)  # type: ignore[operator]
    assert main([str(sbom), str(feed)]) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize("name", ["2024.json.xz", "2024.json.zst", "2024.json.bz2", "all.tar"])
def test_a_part_of_a_folder_in_a_packing_that_is_not_read_is_not_left_out_silently(tmp_path: Path, name: str) -> None:
    (tmp_path / "2023.json").write_text(json.dumps({"vulnerabilities": [_cve(1)]}))
    (tmp_path / "README.md").write_text("about it")
    (tmp_path / "2023.meta").write_text("size:1")
    assert len(list(read(tmp_path))) == 1
    (tmp_path / name).write_bytes(b"packed")
    with pytest.raises(FeedError, match=f"{name}.*unpack it first"):
        list(read(tmp_path))
    with pytest.raises(FeedError, match=f"{name}.*unpack it first"):
        list(read(tmp_path / name))


def test_a_zip_of_files_that_are_packed_themselves_is_not_left_out_silently(tmp_path: Path) -> None:
    (tmp_path / "2023.json").write_text(json.dumps({"vulnerabilities": [_cve(1)]}))
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("2024.json.gz", b"packed")
    with pytest.raises(FeedError, match=r"2024\.json\.gz.*unpack it first"):
        list(read(tmp_path))


def _page(path: Path, start: int, count: int, total: int) -> Path:
    """As NVD's API answers: a page of a query (nvd.nist.gov/developers/vulnerabilities)."""
    entries = [_cve(n) for n in range(start, start + count)]
    words = {"resultsPerPage": count, "startIndex": start, "totalResults": total, "format": "NVD_CVE", "version": "2.0"}
    path.write_text(json.dumps({**words, "vulnerabilities": entries}))
    return path


def test_one_page_of_a_query_is_no_feed_and_all_of_them_are(tmp_path: Path, sbom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = _page(tmp_path / "a.json", 0, 20, 30), _page(tmp_path / "b.json", 20, 10, 30)
    assert main([str(sbom), str(first)]) == 2
    assert "20 of 30" in capsys.readouterr().err
    assert main([str(sbom), str(first), str(first)]) == 2
    assert main([str(sbom), str(first), str(second)]) == 1
    year = _page(tmp_path / "year.json", 0, 5, 5)
    assert main([str(sbom), str(first), str(second), str(year)]) == 1
    assert main([str(sbom), str(year)]) == 1


@pytest.mark.parametrize(
    "document, named",
    [
        ({"format": "NVD_CVE", "version": "3.0", "vulnerabilities": [_cve(1)]}, "3.0"),
        ({"CVE_data_type": "CVE", "CVE_data_version": "4.0", "CVE_Items": []}, "neither NVD JSON 2.0 nor OSV"),
        ({**_osv({"introduced": "0"}), "schema_version": "2.0.0"}, "2.0.0"),
    ],
)
def test_another_schema_is_named_and_refused(tmp_path: Path, document: dict, named: str) -> None:
    (tmp_path / "feed.json").write_text(json.dumps(document))
    with pytest.raises(FeedError, match=named):
        list(read(tmp_path / "feed.json"))


@pytest.mark.parametrize(
    "events",
    [
        # OSV, "Evaluation": the events are sorted by their versions before they are walked through.
        ({"introduced": "0"}, {"introduced": "46"}, {"fixed": "40"}, {"fixed": "47"}),
        ({"fixed": "47"}, {"introduced": "46"}),
        # Introduced twice: it was there since the first.
        ({"introduced": "0"}, {"introduced": "46.0.4"}, {"fixed": "47"}),
    ],
)
def test_events_of_a_range_count_in_the_order_of_their_versions(tmp_path: Path, events: tuple[dict, ...]) -> None:
    (tmp_path / "feed.json").write_text(json.dumps(_osv(*events)))
    assert [one.component for one in match([CRYPTOGRAPHY], read(tmp_path / "feed.json"), [])] == ["cryptography"]


def test_a_version_between_two_ranges_that_are_told_out_of_order_is_not_affected(tmp_path: Path) -> None:
    (tmp_path / "feed.json").write_text(json.dumps(_osv({"introduced": "47"}, {"fixed": "46.0.2"}, {"introduced": "0"})))
    assert match([CRYPTOGRAPHY], read(tmp_path / "feed.json"), []) == []


def test_what_a_feed_costs_in_memory_is_its_largest_file_and_not_all_of_it(
    tmp_path: Path, sbom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvereport.feed._MAX_BYTES", 1 << 20)  # what is read at once may be asked for at once
    other = "cpe:2.3:a:other:other:{}:*:*:*:*:*:*:*"
    folder = tmp_path / "feed"
    folder.mkdir()
    peaks = []
    for files in (1, 20):
        for place in range(files):
            entries = [_cve(1000 * place + n, other.format(n)) for n in range(500)]
            (folder / f"{place}.json").write_text(json.dumps({"vulnerabilities": entries}))
        tracemalloc.start()
        assert main([str(sbom), str(folder)]) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks


def test_what_names_no_product_yet_is_counted_as_not_looked_for(tmp_path: Path, sbom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # NVD gives each one out before somebody has said which products it is in ("Awaiting Analysis"); OSV knows other ecosystems.
    waiting = {"cve": {"id": "CVE-2026-5", "vulnStatus": "Awaiting Analysis", "descriptions": []}}
    (tmp_path / "feed.json").write_text(json.dumps({"vulnerabilities": [_cve(1, "cpe:2.3:a:other:other:1:*:*:*:*:*:*:*"), waiting]}))
    assert main([str(sbom), str(tmp_path / "feed.json")]) == 0
    assert "not looked for: 1 of them names no product, or none of these schemes" in capsys.readouterr().out


def test_what_was_left_out_is_asked_for_by_its_name(tmp_path: Path, sbom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sbom)]) == 2
    assert "FEED=" in capsys.readouterr().err
    assert main([str(tmp_path / "none.json"), str(sbom)]) == 2
    assert "make sbom" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", "{}", '{"components": 5}', '{"components": [{"cpe": "none"}]}', "{"])
def test_what_is_no_bill_of_materials_is_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (tmp_path / "feed.json").write_text(json.dumps({"vulnerabilities": [_cve(1)]}))
    (tmp_path / "sbom.json").write_text(text)
    assert main([str(tmp_path / "sbom.json"), str(tmp_path / "feed.json")]) == 2
    assert "sbom.json" in capsys.readouterr().err


def test_a_terminal_that_knows_no_such_letter_does_not_end_the_report(tmp_path: Path, sbom: Path) -> None:
    (tmp_path / "feed.json").write_text(json.dumps({"vulnerabilities": [_cve(1, text="OpenSSL\u2019s"), _cve(2)]}))
    words = [sys.executable, "-m", "cvereport", str(sbom), str(tmp_path / "feed.json")]
    environment = {**os.environ, "PYTHONPATH": str(TREE / "tools"), "PYTHONIOENCODING": "iso-8859-1"}
    done = subprocess.run(words, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and b"2 open" in done.stdout, done.stderr
