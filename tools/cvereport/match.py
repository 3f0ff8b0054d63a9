"""Holds components against advisories: by CPE, or by the package's name where the ecosystem says which versions are affected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from cvereport.feed import Advisory, Range, split_cpe
from cvereport.versions import compare
from sbom.vex import QUIET, Statement


class Product(NamedTuple):
    """One name by which advisories may call a component."""

    scheme: str
    name: str
    version: str
    component: str
    component_version: str


class Finding(NamedTuple):
    """A component that an advisory names. `statement`: what we say about it, None: nothing yet."""

    advisory: Advisory
    component: str
    version: str
    statement: Statement | None

    @property
    def is_open(self) -> bool:
        """Does somebody still have to look or to act?"""
        return self.statement is None or self.statement.state not in QUIET


def products(component: dict[str, Any]) -> list[Product]:
    """Return how a component is called in each scheme. Raises `ValueError` for a CPE or purl that is none."""
    name, version = component["name"], str(component.get("version", ""))
    found = []
    if "cpe" in component:
        parts = split_cpe(component["cpe"])
        number = version if parts[5] in ("*", "-") else parts[5]
        # With its update and without: a range is one of versions, and a name with `*` for the update means each (NISTIR 7696, 6.2).
        for update in {"", "" if parts[6] in ("*", "-") else parts[6]}:
            found.append(Product("cpe", ":".join(parts[2:5]), number + update, name, version))
    purl = component.get("purl", "")
    if purl.startswith("pkg:pypi/"):
        package, _, number = purl.removeprefix("pkg:pypi/").partition("@")
        found.append(Product("pypi", package.lower(), unquote(number.partition("?")[0]), name, version))
    if purl.startswith("pkg:deb/debian/"):
        said = {entry["name"]: entry["value"] for entry in component.get("properties", [])}
        source = said.get("wardgate:debian:source", name)
        found.append(Product("deb", source, said.get("wardgate:debian:source-version", version), name, version))
    return found


def is_in(version: str, span: Range, scheme: str) -> bool:
    """Is this version affected?"""
    if span.exact:
        return compare(scheme, version, span.exact) == 0
    if span.start:
        order = compare(scheme, version, span.start)
        if order < 0 or (order == 0 and not span.has_start):
            return False
    if span.end:
        order = compare(scheme, version, span.end)
        if order > 0 or (order == 0 and not span.has_end):
            return False
    return True


def match(components: Sequence[dict[str, Any]], advisories: Iterable[Advisory], statements: Sequence[Statement]) -> list[Finding]:
    """Return what applies to the image, the gravest first. What only builds it (`scope` excluded) is left out."""
    index: dict[tuple[str, str], list[Product]] = defaultdict(list)
    for component in components:
        if component.get("scope") != "excluded":
            for product in products(component):
                index[product.scheme, product.name].append(product)
    found: dict[tuple[str, str], Finding] = {}
    for advisory in advisories:
        for affected in advisory.affected:
            for product in index.get((affected.scheme, affected.name), ()):
                if any(is_in(product.version, span, affected.scheme) for span in affected.ranges):
                    key = (advisory.id, product.component)
                    statement = _said(advisory, product, statements)
                    found[key] = Finding(advisory, product.component, product.component_version, statement)
    return sorted(
        found.values(), key=lambda finding: (not finding.is_open, -finding.advisory.severity, finding.advisory.id, finding.component)
    )


def _said(advisory: Advisory, product: Product, statements: Sequence[Statement]) -> Statement | None:
    names = {advisory.id, *advisory.aliases}
    return next((one for one in statements if one.id in names and one.covers(product.component, product.component_version)), None)


def statements_in(document: dict[str, Any]) -> list[Statement]:
    """Return what a bill of materials already says: ours, and Buildroot's patches (`resolved_with_pedigree`)."""
    names = {one["bom-ref"]: (one["name"], str(one.get("version", ""))) for one in document.get("components", [])}
    found = []
    for entry in document.get("vulnerabilities", []):
        analysis = entry.get("analysis", {})
        for affected in entry.get("affects", []):
            if affected["ref"] in names:
                name, version = names[affected["ref"]]
                words = (analysis.get("state", "in_triage"), analysis.get("justification", ""), analysis.get("detail", ""))
                found.append(Statement(entry["id"], name, frozenset({version}), *words))
    return found
