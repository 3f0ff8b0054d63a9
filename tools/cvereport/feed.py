"""Reads a feed that was brought along: NVD JSON 2.0 (`{"vulnerabilities": [...]}`) or OSV (one vulnerability a file); files, folders, zip.

What a feed says is kept as `Advisory`: per affected product the version ranges. Bounded: a file of at most 512 MiB, two million entries.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

_MAX_BYTES: Final = 512 << 20
_MAX_ENTRIES: Final = 2_000_000
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


def read(path: Path) -> Iterator[Advisory]:
    """Yield every advisory below `path`. Raises `FeedError`."""
    count = 0
    for name, data in _documents(path):
        try:
            for advisory in _advisories(json.loads(data)):
                count += 1
                if count > _MAX_ENTRIES:
                    raise FeedError(f"more than {_MAX_ENTRIES} entries")
                yield advisory
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FeedError(f"{name}: {type(error).__name__} {error}") from error
    if not count:
        raise FeedError(f"{path}: no vulnerability in it")


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.is_dir():
            for each in sorted(path.rglob("*")):
                if each.suffix in (".json", ".gz", ".zip"):
                    yield from _documents(each)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    if info.filename.endswith(".json"):
                        if info.file_size > _MAX_BYTES:
                            raise FeedError(f"{path}: {info.filename} is too long")
                        yield f"{path}:{info.filename}", archive.read(info)
        else:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise FeedError(f"{path} is too long")
            yield str(path), data
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise FeedError(f"{path}: {error}") from error


def _advisories(document: Any) -> Iterator[Advisory]:
    if isinstance(document, list):
        for each in document:
            yield from _advisories(each)
    elif "vulnerabilities" in document:
        for entry in document["vulnerabilities"]:
            if (found := _nvd(entry["cve"])) is not None:
                yield found
    elif "affected" in document or "modified" in document:
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
                ranges += _events(each["events"])
        affected.append(Affected(scheme, str(package["name"]).lower(), tuple(ranges)))
    return Advisory(str(entry["id"]), tuple(map(str, entry.get("aliases", []))), 0.0, str(entry.get("summary", "")), tuple(affected))


def _events(events: list[dict[str, str]]) -> Iterator[Range]:
    """An event list is in the order of versions: introduced, then fixed or last affected, and again."""
    start = ""
    open_range = False
    for event in events:
        if "introduced" in event:
            start, open_range = ("" if event["introduced"] == "0" else event["introduced"]), True
        elif open_range and ("fixed" in event or "last_affected" in event):
            last = event.get("last_affected", "")
            yield Range(start, True, last or event["fixed"], bool(last))
            open_range = False
    if open_range:
        yield Range(start)
