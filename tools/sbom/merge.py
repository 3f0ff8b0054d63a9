"""Several documents into one, the same for the same input."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sbom.vex import Statement

_SPACE = uuid.UUID("6f4c6bd2-9f0c-4f6e-8a55-6f4c0a6d9b11")


def merged(name: str, version: str, moment: float, parts: Iterable[dict[str, Any]], statements: Sequence[Statement]) -> dict[str, Any]:
    """Return one CycloneDX 1.6 document. `moment`: Unix seconds. Of two components with one `bom-ref` the first stays."""
    components: dict[str, dict[str, Any]] = {}
    dependencies: dict[str, set[str]] = {}
    vulnerabilities: list[dict[str, Any]] = []
    for part in parts:
        for component in part.get("components", []):
            components.setdefault(component["bom-ref"], component)
        for entry in part.get("dependencies", []):
            dependencies.setdefault(entry["ref"], set()).update(entry.get("dependsOn", []))
        vulnerabilities += part.get("vulnerabilities", [])
    known = {*components, name}
    said = [(statement, refs) for statement in statements if (refs := _refs(statement, components))]
    spoken = {(statement.id, ref) for statement, refs in said for ref in refs}
    vulnerabilities = [_vulnerability(*one) for one in said] + list(_not_ours(vulnerabilities, spoken))
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
            "component": {"bom-ref": name, "type": "firmware", "name": name, "version": version},
        },
        "components": [components[ref] for ref in sorted(components)],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(wanted & known)} for ref, wanted in sorted(dependencies.items()) if ref in components
        ],
    }
    kept = [entry for entry in vulnerabilities if all(affected["ref"] in components for affected in entry.get("affects", []))]
    if kept:
        document["vulnerabilities"] = kept
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_SPACE, json.dumps(document, sort_keys=True))}"
    return document


def unused(document: dict[str, Any], statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements that answer nothing: a name that is mistyped, or a version that the image no longer has."""
    components = {one["bom-ref"]: one for one in document["components"]}
    return [statement for statement in statements if not _refs(statement, components)]


def validate(document: dict[str, Any]) -> str:
    """Return what the CycloneDX schema finds wrong, empty when nothing."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    return "" if error is None else str(error)[:2000]


def _not_ours(entries: Iterable[dict[str, Any]], spoken: set[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """What Buildroot says where we say nothing: it marks as ignored, we have looked."""
    for entry in entries:
        affects = [affected for affected in entry.get("affects", []) if (entry["id"], affected["ref"]) not in spoken]
        if affects or not entry.get("affects"):
            yield {**entry, "affects": affects} if affects else entry


def _refs(statement: Statement, components: dict[str, dict[str, Any]]) -> list[str]:
    return sorted(ref for ref, one in components.items() if statement.covers(one["name"], str(one.get("version", ""))))


def _vulnerability(statement: Statement, refs: list[str]) -> dict[str, Any]:
    analysis = {"state": statement.state, "detail": statement.detail}
    if statement.justification:
        analysis["justification"] = statement.justification
    return {"id": statement.id, "affects": [{"ref": ref} for ref in refs], "analysis": analysis}
