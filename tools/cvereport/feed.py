"""Reads a feed that was brought along: NVD JSON 2.0 (`{"vulnerabilities": [...]}`) or OSV (one vulnerability a file); files, folders, zip.

What a feed says is given on as `Advisory`: for each product the version ranges. Bounded: a file of at most 512 MiB, two million entries.
"""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from functools import cmp_to_key
from pathlib import Path
from typing import Any, Final, NamedTuple

from cvereport.versions import compare

_MAX_BYTES: Final = 512 << 20
_MAX_ENTRIES: Final = 2_000_000
_CHUNK: Final = 1 << 20
_OTHER_PACKINGS: Final = (".xz", ".zst", ".bz2", ".7z", ".tar", ".tgz", ".rar")
_ECOSYSTEMS: Final = {"PyPI": "pypi", "Debian": "deb"}


class FeedError(Exception):
    """The feed cannot be read: a report from half of it would be worse than none."""


class Range(NamedTuple):
    """Versions from `start` to `end`; empty: without bound. `has_*`: whether the bound itself belongs to it. `exact`: this one alone."""

    start: str = ""
    has_start: bool = True
    end: str = ""
    has_end: bool = False
    exact: str = ""


class Affected(NamedTuple):
    """A product and its versions. `scheme`: `cpe` (`name` is `part:vendor:product`), `pypi` or `deb` (the package's name)."""

    scheme: str
    name: str
    ranges: tuple[Range, ...]


class Advisory(NamedTuple):
    """One vulnerability. `severity`: CVSS base score, 0.0 when the feed has none."""

    id: str
    aliases: tuple[str, ...]
    severity: float
    summary: str
    affected: tuple[Affected, ...]


def read(*paths: Path) -> Iterator[Advisory]:
    """Yield every advisory below `paths`. Raises `FeedError`."""
    pages = _Pages()
    for path in paths:
        count = 0
        for name, data in _documents(path):
            try:
                for advisory in _advisories(json.loads(data), pages):
                    count += 1
                    if count > _MAX_ENTRIES:
                        raise FeedError(f"more than {_MAX_ENTRIES} entries")
                    yield advisory
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise FeedError(f"{name}: {type(error).__name__} {error}") from error
        if not count:
            raise FeedError(f"{path}: no vulnerability in it")
    if missing := pages.missing():
        raise FeedError(missing)


class _Pages:
    """What NVD's API gives is a page of a query: it says how many entries the whole has."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._total = 0

    def add(self, document: dict[str, Any]) -> None:
        """Count a page; a document that says of itself that it is whole is none."""
        start, count, total = int(document.get("startIndex", 0)), len(document["vulnerabilities"]), int(document.get("totalResults", 0))
        if total > count:
            self._seen[start] = count
            self._total = max(self._total, total)

    def missing(self) -> str:
        """Return what is wrong when a page is missing, else nothing."""
        there = sum(self._seen.values())
        return (
            f"pages with {there} of {self._total} entries of a query: give all of them, or NVD's files by year"
            if there < self._total
            else ""
        )


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.is_dir():
            for each in sorted(path.rglob("*")):
                if each.is_file() and _is_feed(each.name, str(each)):
                    yield from _documents(each)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    if info.is_dir() or not _is_feed(info.filename, f"{path}:{info.filename}"):
                        continue
                    if not info.filename.endswith(".json"):
                        raise FeedError(f"{path}:{info.filename} is packed in a zip: {_UNPACK}")
                    if info.file_size > _MAX_BYTES:
                        raise FeedError(f"{path}: {info.filename} is too long")
                    yield f"{path}:{info.filename}", archive.read(info)
        else:
            _is_feed(path.name, str(path))
            data = bytearray()
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    data += chunk
                    if len(data) > _MAX_BYTES:
                        raise FeedError(f"{path} is longer than {_MAX_BYTES} bytes: give it in parts")
            yield str(path), bytes(data)
    # NotImplementedError: a way of packing; RuntimeError: a pass phrase.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise FeedError(f"{path}: {error}") from error


_UNPACK: Final = "that is not read here; unpack it first"


def _is_feed(name: str, place: str) -> bool:
    """Is a file of this name read? What goes with a feed is not. Raises `FeedError` for a packing that cannot be: it would be left out."""
    if name.endswith(_OTHER_PACKINGS):
        raise FeedError(f"{place}: {_UNPACK}")
    return name.endswith((".json", ".gz", ".zip"))


def _advisories(document: Any, pages: _Pages) -> Iterator[Advisory]:
    if isinstance(document, list):
        for each in document:
            yield from _advisories(each, pages)
    elif "vulnerabilities" in document:
        if (said := str(document.get("version", "2.0"))) != "2.0":
            raise FeedError(f"says that it is NVD JSON {said}; 2.0 is read here")
        pages.add(document)
        for entry in document["vulnerabilities"]:
            if (found := _nvd(entry["cve"])) is not None:
                yield found
    elif "affected" in document or "modified" in document:
        if (said := str(document.get("schema_version", "1"))).partition(".")[0] not in ("0", "1"):
            raise FeedError(f"says that it is OSV {said}; 1 is read here")
        if not document.get("withdrawn"):
            yield _osv(document)
    else:
        raise FeedError("neither NVD JSON 2.0 nor OSV")


# NVD JSON 2.0 (nvd.nist.gov/developers/vulnerabilities)


def _nvd(cve: dict[str, Any]) -> Advisory | None:
    if cve.get("vulnStatus") == "Rejected":
        return None
    text = next((entry["value"] for entry in cve.get("descriptions", []) if entry.get("lang") == "en"), "")
    scores = [
        float(metric["cvssData"]["baseScore"])
        for key in ("cvssMetricV40", "cvssMetricV31", "cvssMetricV30", "cvssMetricV2")
        for metric in cve.get("metrics", {}).get(key, [])
    ]
    # What else a configuration asks for (AND with a platform) is not judged: it counts as fulfilled, and a person looks.
    matches = [match for config in cve.get("configurations", []) for match in _matches(config.get("nodes", []))]
    return Advisory(str(cve["id"]), (), scores[0] if scores else 0.0, text, tuple(map(_cpe_match, matches)))


def _matches(nodes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield from (match for match in node.get("cpeMatch", []) if match.get("vulnerable"))
        yield from _matches(node.get("children", []))


def _cpe_match(match: dict[str, Any]) -> Affected:
    parts = split_cpe(match["criteria"])
    name, version, update = ":".join(parts[2:5]), parts[5], parts[6]
    words = {
        key: str(match.get(key, ""))
        for key in ("versionStartIncluding", "versionStartExcluding", "versionEndIncluding", "versionEndExcluding")
    }
    if any(words.values()):
        found = Range(
            words["versionStartIncluding"] or words["versionStartExcluding"],
            not words["versionStartExcluding"],
            words["versionEndIncluding"] or words["versionEndExcluding"],
            bool(words["versionEndIncluding"]),
        )
    elif version == "*":
        found = Range()
    else:
        found = Range(exact=version + ("" if update in ("*", "-") else update))
    return Affected("cpe", name, (found,))


def split_cpe(text: str) -> list[str]:
    """Return the 13 parts of a CPE 2.3 name, escapes taken off. Raises `ValueError`."""
    parts, escaped = [""], False
    for char in text:
        if escaped or char not in "\\:":
            parts[-1] += char
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            parts.append("")
    if len(parts) != 13 or parts[:2] != ["cpe", "2.3"]:
        raise ValueError(f"no CPE 2.3 name: {text[:80]}")
    return parts


# OSV (ossf.github.io/osv-schema)


def _osv(entry: dict[str, Any]) -> Advisory:
    affected = []
    for one in entry.get("affected", []):
        package = one.get("package")
        scheme = _ECOSYSTEMS.get(str(package["ecosystem"]).partition(":")[0]) if package else None
        if scheme is None:
            continue
        ranges = [Range(exact=str(version)) for version in one.get("versions", [])]
        for each in one.get("ranges", []):
            if each["type"] in ("ECOSYSTEM", "SEMVER"):
                ranges += _events(each["events"], scheme)
        affected.append(Affected(scheme, str(package["name"]).lower(), tuple(ranges)))
    return Advisory(str(entry["id"]), tuple(map(str, entry.get("aliases", []))), 0.0, str(entry.get("summary", "")), tuple(affected))


def _events(events: list[dict[str, str]], scheme: str) -> Iterator[Range]:
    """Introduced, then fixed or last affected, and again. OSV, "Evaluation": in the order of versions, whatever that of the list is."""

    def order(one: dict[str, str], other: dict[str, str]) -> int:
        first, second = (next(iter(event.values())) for event in (one, other))
        if "0" in (first, second):  # before every version
            return (first != "0") - (second != "0")
        return compare(scheme, first, second)

    start = ""
    open_range = False
    for event in sorted(events, key=cmp_to_key(order)):
        if "introduced" in event and not open_range:
            start, open_range = ("" if event["introduced"] == "0" else event["introduced"]), True
        elif open_range and ("fixed" in event or "last_affected" in event):
            last = event.get("last_affected", "")
            yield Range(start, True, last or event["fixed"], bool(last))
            open_range = False
    if open_range:
        yield Range(start)
