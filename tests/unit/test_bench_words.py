"""The benchmark's words: a row that is not there, or no round, measures nothing and would be called good."""

from __future__ import annotations

import pytest

from bench import __main__ as command


@pytest.mark.parametrize(
    "words", [("--rows", "99"), ("--rows", "2,x"), ("--rows", ""), ("--rows", "14"), ("--rounds", "0"), ("--rounds", "-1")]
)
def test_what_measures_nothing_is_refused_with_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *words])
    with pytest.raises(SystemExit) as ended:
        command.arguments()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words[0] in said and ("13 (for 13 to 17)" in said if words[0] == "--rows" else "1" in said)


def test_the_rows_that_are_there_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--rows", "2,13", "--rounds", "1"])
    assert command.arguments().rows == ["2", "13"]
    monkeypatch.setattr("sys.argv", ["bench"])
    assert command.arguments().rows == command.ALL_ROWS
