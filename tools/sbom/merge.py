"""Several documents into one, the same for the same input."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Sequence
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
    vulnerabilities += [_vulnerability(statement, refs) for statement in statements if (refs := _refs(statement, components))]
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


def validate(document: dict[str, Any]) -> str:
    """Return what the CycloneDX schema finds wrong, empty when nothing."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    return "" if error is None else str(error)[:2000]


def _refs(statement: Statement, components: dict[str, dict[str, Any]]) -> list[str]:
    return sorted(ref for ref, one in components.items() if statement.covers(one["name"], str(one.get("version", ""))))


def _vulnerability(statement: Statement, refs: list[str]) -> dict[str, Any]:
    analysis = {"state": statement.state, "detail": statement.detail}
    if statement.justification:
        analysis["justification"] = statement.justification
    return {"id": statement.id, "affects": [{"ref": ref} for ref in refs], "analysis": analysis}
