"""Command lines of pairs."""

from __future__ import annotations

import pytest

from wardgate.pairs import pairs


def test_each_option_has_its_value() -> None:
    assert pairs("p", ["-c", "FILE", "--uids", "1,2"], ("--uids",), ("-c", "--caller")) == {"-c": "FILE", "--uids": "1,2"}
    assert pairs("p", ["-c", "--uids"], ("-c",)) == {"-c": "--uids"}
    assert pairs("p", [], (), ("-c",)) == {}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-c"],
        ["-c", "FILE", "--caller"],
        ["-c", "FILE", "-c", "FILE"],
        ["-c", "FILE", "--other", "x"],
        ["--caller", "x"],
        ["FILE", "-c"],
        ["-cFILE"],
    ],
)
def test_another_command_line_is_refused_and_says_how_it_should_be(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        pairs("wardgate.some", words, ("-c",), ("--caller",))
    assert end.value.code == 2
    assert capsys.readouterr().err == "usage: python -m wardgate.some -c C [--caller CALLER]\n"
