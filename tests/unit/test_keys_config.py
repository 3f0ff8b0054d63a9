"""keys.toml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wardgate.codes import Code
from wardkeys.config import ConfigMistakes, load, parse
from wardkeys.main import main

_GOOD = {"socket": "/run/k/keys.sock", "token": [{"name": "a", "module": "/lib/p.so", "label": "ward"}]}


def _mistakes(**changes: object) -> list[tuple[Code, str]]:
    with pytest.raises(ConfigMistakes) as caught:
        parse({**_GOOD, **changes})
    return [(code, place) for code, place, _ in caught.value.mistakes]


def _token(**changes: object) -> list[dict[str, object]]:
    return [{"name": "a", "module": "/lib/p.so", "label": "ward", **changes}]


def test_a_small_configuration_has_safe_defaults() -> None:
    config = parse(dict(_GOOD))
    assert config.state_dir == "/run/k"
    assert config.uids == frozenset()
    token = config.tokens[0]
    assert (token.pin_file, token.allow_extractable, token.use_last_try, token.allow_equal_iscl_keys) == (None, False, False, False)


def test_users_are_named_by_number_or_account() -> None:
    assert parse({**_GOOD, "allow_uids": [42], "allow_users": ["root"]}).uids == {42, 0}
    config = parse({**_GOOD, "watch_uids": [42], "watch_users": ["root"]})
    assert config.watchers == {42, 0} and not config.uids


@pytest.mark.parametrize(
    "changes, code, place",
    [
        ({"socket": "keys.sock"}, Code.CONFIG_VALUE, "socket"),
        ({"socket": "/" + "s" * 120}, Code.CONFIG_BOUNDS, "socket"),
        ({"sockt": "/x"}, Code.CONFIG_UNKNOWN_WORD, "sockt"),
        ({"request_seconds": 0}, Code.CONFIG_BOUNDS, "request_seconds"),
        ({"request_seconds": "10"}, Code.CONFIG_TYPE, "request_seconds"),
        ({"max_queue": True}, Code.CONFIG_TYPE, "max_queue"),
        ({"allow_uids": [-1]}, Code.CONFIG_VALUE, "allow_uids"),
        ({"allow_users": ["nobody-of-that-name"]}, Code.CONFIG_VALUE, "allow_users"),
        ({"watch_users": ["nobody-of-that-name"]}, Code.CONFIG_VALUE, "watch_users"),
        ({"token": []}, Code.CONFIG_MISSING, "token"),
        ({"token": {}}, Code.CONFIG_TYPE, "token"),
        ({"token": [1]}, Code.CONFIG_TYPE, "token[0]."),
        ({"token": _token(name="../a")}, Code.CONFIG_VALUE, "token[0].name"),
        ({"token": _token(module="p.so")}, Code.CONFIG_VALUE, "token[0].module"),
        ({"token": _token(pin="1234")}, Code.CONFIG_UNKNOWN_WORD, "token[0].pin"),
        ({"token": _token(unsafe_use_last_try=1)}, Code.CONFIG_TYPE, "token[0].unsafe_use_last_try"),
        ({"token": [{"name": "a", "module": "/lib/p.so"}]}, Code.CONFIG_MISSING, "token[0].label"),
        ({"token": _token() + _token(label="other")}, Code.CONFIG_DUPLICATE, "token[1].name"),
        ({"token": _token() + _token(name="b")}, Code.CONFIG_DUPLICATE, "token[1].label"),
    ],
)
def test_a_mistake_is_named_with_its_place(changes: dict[str, object], code: Code, place: str) -> None:
    assert (code, place) in _mistakes(**changes)


def test_all_mistakes_are_named_at_once() -> None:
    assert len(_mistakes(socket="x", max_queue=0, token=_token(pin="1"))) == 3


def test_a_mistake_never_shows_a_pin_that_was_written_there() -> None:
    with pytest.raises(ConfigMistakes) as caught:
        parse({**_GOOD, "token": _token(pin="98765")})
    assert "98765" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_toml_is_said_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigMistakes, match="WG102"):
        load(str(folder / "none.toml"))
    path = folder / "keys.toml"
    path.write_text("socket = ")
    assert main(["check", str(path)]) == 1
    assert "WG101" in capsys.readouterr().err


def test_check_tells_of_missing_files_and_touches_no_token(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "keys.toml"
    path.write_text(f'socket = "{folder}/s"\n[[token]]\nname = "a"\nmodule = "{folder}/none.so"\nlabel = "a"\n')
    assert main(["check", str(path)]) == 1
    assert "WG110 a.module" in capsys.readouterr().err
    (folder / "none.so").write_bytes(b"")
    assert main(["check", str(path)]) == 0
    assert os.listdir(folder) == ["keys.toml", "none.so"] or sorted(os.listdir(folder)) == ["keys.toml", "none.so"]


def test_wrong_words_show_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sing", "x"]) == 2
    assert "usage" in capsys.readouterr().err
