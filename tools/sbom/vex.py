"""Our statements about vulnerabilities, kept as data in image/vex/*.json: one list of CycloneDX vulnerabilities a file.

    [{"id": "CVE-2026-1234", "affects": [{"name": "busybox", "versions": "*"}],
      "analysis": {"state": "not_affected", "justification": "code_not_present", "detail": "why, for an auditor"}}]

`name` is the component's name in the bill of materials, `versions` "*" or a list. A statement without reason is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

# CycloneDX 1.6, impactAnalysisState and impactAnalysisJustification.
STATES: Final = frozenset({"resolved", "resolved_with_pedigree", "exploitable", "in_triage", "false_positive", "not_affected"})
QUIET: Final = STATES - {"exploitable", "in_triage"}
JUSTIFICATIONS: Final = frozenset(
    {
        *("code_not_present", "code_not_reachable", "requires_configuration", "requires_dependency", "requires_environment"),
        *("protected_by_compiler", "protected_at_runtime", "protected_at_perimeter", "protected_by_mitigating_control"),
    }
)


class VexError(Exception):
    """A statement is not one."""


class Statement(NamedTuple):
    """What we say of one vulnerability in some versions of one component. `versions` None: all."""

    id: str
    name: str
    versions: frozenset[str] | None
    state: str
    justification: str
    detail: str

    def covers(self, name: str, version: str) -> bool:
        """Is it about this component?"""
        return name == self.name and (self.versions is None or version in self.versions)


def read(folder: Path) -> list[Statement]:
    """Return every statement. Raises `VexError` that names file and place."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(entries, list):
                raise VexError("not a list of statements")
            for entry in entries:
                found += _statements(entry)
        except (ValueError, KeyError, TypeError, AttributeError, VexError) as error:
            raise VexError(f"{path.name}: {type(error).__name__} {error}") from error
    return found


def _statements(entry: dict[str, Any]) -> list[Statement]:
    analysis = entry["analysis"]
    state, detail, justification = analysis["state"], str(analysis.get("detail", "")).strip(), str(analysis.get("justification", ""))
    if state not in STATES or not detail:
        raise VexError(f"{entry['id']}: no known state, or no detail")
    if state == "not_affected" and justification not in JUSTIFICATIONS:
        raise VexError(f"{entry['id']}: not_affected needs a justification")
    if not entry["id"] or not entry["affects"]:
        raise VexError(f"{entry['id'] or 'no id'}: it names nothing")
    made = []
    for affected in entry["affects"]:
        versions = affected.get("versions", "*")
        if not affected["name"]:
            raise VexError(f"{entry['id']}: a component without name")
        if versions != "*" and not (isinstance(versions, list) and versions):
            raise VexError(f"{entry['id']}: versions is * or a list with something in it")
        kept = None if versions == "*" else frozenset(map(str, versions))
        made.append(Statement(str(entry["id"]), str(affected["name"]), kept, state, justification, detail))
    return made
