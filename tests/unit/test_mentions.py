"""The word that a policy's text has or has not: a shortcut before it is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wardgate.mentions import NOT_WANTED, mentions


def test_a_word_is_found_and_one_that_is_not_there_is_not(tmp_path: Path) -> None:
    policy = tmp_path / "wardgate.toml"
    policy.write_text('[custody]\nsocket = "/run/x.sock"\n')
    assert mentions(["-c", str(policy)], b"socket") and not mentions(["--caller", "x", "-c", str(policy)], b"spool")


@pytest.mark.parametrize("words", [[], ["-c"], ["-c", "/not/there"], ["-c", "/"]])
def test_what_cannot_be_asked_is_left_to_who_reads_the_policy(words: list[str]) -> None:
    assert mentions(words, b"socket") and not mentions(words, b"socket", unsure=False)


def test_what_is_too_long_to_look_through_is_left_to_it_too(tmp_path: Path) -> None:
    policy = tmp_path / "long"
    policy.write_bytes(b"#" * (1 << 20) + b"socket")
    assert mentions(["-c", str(policy)], b"socket") and not mentions(["-c", str(policy)], b"socket", unsure=False)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ('custody."socket" = "/run/x.sock"', True),
        ("custody = { 'socket' = \"/run/x.sock\" }", True),
        ('\ufeff[custody]\r\nsocket="/run/x.sock"\r\n', True),
        ('[custody]\n"\\u0073ocket" = "/run/x.sock"', False),
        ('[custody]\n"sock\\U00000065t" = "/run/x.sock"', False),
        ('[box]\nname = "a\\tb"', False),
    ],
)
def test_a_word_is_found_however_toml_spells_it(tmp_path: Path, text: str, known: bool) -> None:
    """An escape may be of another word: who has to read it says so."""
    policy = tmp_path / "wardgate.toml"
    policy.write_bytes(text.encode())
    assert mentions(["-c", str(policy)], b"socket") and mentions(["-c", str(policy)], b"socket", unsure=False) is known


@pytest.mark.parametrize("name", ["wardgate.custody.service", "wardgate.audit.service"])
def test_a_process_that_the_policy_does_not_name_leaves_before_it_loads_what_reads_policies(tmp_path: Path, name: str) -> None:
    (tmp_path / "wardgate.toml").write_text('[box]\nname = "x"\n')
    code = f"import sys, {name} as it; print(it.main(['-c', sys.argv[1]]), any(each.startswith('wardgate.policy') for each in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path / "wardgate.toml"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [str(NOT_WANTED), "False"]
