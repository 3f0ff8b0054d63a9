"""What a root of Debian packages holds, from its dpkg status file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote


def of_root(root: Path) -> list[dict[str, Any]]:
    """Return a component for each installed package. Raises `OSError`, and `ValueError` that names the file."""
    status = root / "var/lib/dpkg/status"
    try:
        found = stanzas(status.read_text(encoding="utf-8"))
        return [component(fields) for fields in found if fields.get("Status", "").endswith(" installed")]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{status}: {type(error).__name__} {error}") from error


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each stanza; of what goes over several lines the first."""
    for block in text.split("\n\n"):
        fields = {}
        for line in block.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith((" ", "\t")):
                fields[name] = value.strip()
        if "Package" in fields:
            yield fields


def component(fields: dict[str, str]) -> dict[str, Any]:
    """Return the component of one stanza. `source`: advisories name source packages and their versions."""
    name, version, arch = fields["Package"], fields["Version"], fields.get("Architecture", "all")
    source, _, other = fields.get("Source", name).partition(" ")
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={arch}&distro=debian-13"
    return {
        "bom-ref": f"deb:{name}:{arch}",
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl,
        "properties": [
            {"name": "wardgate:debian:source", "value": source},
            {"name": "wardgate:debian:source-version", "value": other.strip("() ") or version},
        ],
    }
