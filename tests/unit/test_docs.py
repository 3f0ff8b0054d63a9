"""What the pages say of each other: every decision is listed by its title, every link leads to a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "board").rglob("*.md"), *(ROOT / "image").rglob("*.md")])


def test_every_decision_is_listed_by_its_title() -> None:
    listed = re.findall(r"^\| (\d{3}) \| \[(.+)\]\(decisions/(.+)\) \|$", (ROOT / "docs/README.md").read_text(), re.M)
    written = []
    for page in sorted((ROOT / "docs/decisions").glob("*.md")):
        number, title = page.read_text().splitlines()[0].removeprefix("# ").split(" ", 1)
        assert page.name.startswith(f"{number}-")
        written.append((number, title, page.name))
    assert listed == written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.S)
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_table_of_a_page_has_a_head_and_as_many_cells_in_each_row(page: Path) -> None:
    lines = re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), page.read_text(), flags=re.S).splitlines()
    wrong, cells = [], 0
    for number, line in enumerate(lines, 1):
        if not line.startswith("|"):
            cells = 0
            continue
        here = len(re.findall(r"(?<!\\)\|", line))
        if not cells and not re.fullmatch(r"\|[-:| ]+\|", lines[number] if number < len(lines) else ""):
            wrong.append(f"line {number}: no head")
        if cells and here != cells:
            wrong.append(f"line {number}: {here - 1} cells, not {cells - 1}")
        cells = here
    assert wrong == []
