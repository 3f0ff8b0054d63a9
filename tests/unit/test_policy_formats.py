"""Older forms of the configuration: translated as they are read, never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.plantconfig import BRIDGE, GATEWAY
from wardgate.codes import Code
from wardgate.policy import formats, load
from wardgate.policy.formats import translate
from wardgate.policy.mistakes import ConfigErrors

FILE = GATEWAY + BRIDGE


def to_two(table: dict[str, Any]) -> dict[str, Any]:
    table["new"] = table.pop("old")
    return table


def to_three(table: dict[str, Any]) -> dict[str, Any]:
    table["list"].append(table["new"])
    return table


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release whose form is the third."""
    monkeypatch.setattr(formats, "TRANSLATIONS", (to_two, to_three))


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigErrors) as errors:
        translate(data)
    (mistake,) = errors.value.mistakes
    assert mistake.code is Code.CONFIG_FORMAT
    return str(mistake)


@pytest.mark.usefixtures("third")
@pytest.mark.parametrize("first", [{"old": "x", "list": []}, {"format": 1, "old": "x", "list": []}, {"format": 2, "new": "x", "list": []}])
def test_an_older_form_is_translated_step_by_step(first: dict[str, Any]) -> None:
    before = repr(first)
    assert translate(first) == {"new": "x", "list": ["x"]}
    assert repr(first) == before, "what was read stays what it was"


@pytest.mark.usefixtures("third")
def test_the_newest_form_is_left_alone() -> None:
    assert translate({"format": 3, "old": "x"}) == {"old": "x"}


@pytest.mark.usefixtures("third")
def test_a_file_that_is_not_of_the_form_that_it_says_is_a_mistake() -> None:
    assert "the words of format 1; found KeyError: 'old'" in refused({"list": []})
    assert "the words of format 2; found KeyError" in refused({"format": 2, "new": "x"})


@pytest.mark.parametrize("number", [0, -1, 2, True, "1", 1.0, None, [1]])
def test_a_form_that_this_release_does_not_know_is_a_mistake(number: object) -> None:
    assert "a whole number from 1 to 1" in refused({"format": number})


def test_a_file_may_say_the_form_that_every_file_has(folder: Path) -> None:
    path = folder / "wardgate.toml"
    path.write_text(FILE)
    plain = load(path, check_files=False)
    path.write_text("format = 1\n" + FILE)
    assert load(path, check_files=False) == plain
    path.write_text("format = 2\n" + FILE)
    with pytest.raises(ConfigErrors, match="WG986 format"):
        load(path, check_files=False)
