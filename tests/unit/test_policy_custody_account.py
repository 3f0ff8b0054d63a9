"""`custody.socket`: a writer with an account of its own, whose log and key are not the gateway's to open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.config import PeerPlan, Plan
from wardgate.codes import Code
from wardgate.custody.witnessing import is_due
from wardgate.policy import load
from wardgate.policy.mistakes import ConfigErrors


def plan(folder: Path, socket: str) -> Path:
    return Plan(folder, (PeerPlan(transport="plain"),), folder / "not-there.pem", custody={"socket": socket} if socket else {}).write()


def test_with_it_the_gateway_opens_neither_key_nor_log(tmp_path: Path) -> None:
    config = load(plan(tmp_path, str(tmp_path / "w/custody.sock")))
    assert config.writer_socket == tmp_path / "w/custody.sock"


def test_without_it_the_key_must_be_there_and_the_socket_is_the_gateways(tmp_path: Path) -> None:
    path = plan(tmp_path, "")
    with pytest.raises(ConfigErrors) as told:
        load(path)
    assert [mistake.place for mistake in told.value.mistakes] == ["custody.key"]
    assert load(path, check_files=False).writer_socket == tmp_path / "run/custody.sock"


@pytest.mark.parametrize(("socket", "code"), [("run/custody.sock", Code.CONFIG_CONTRADICTION), ("/" + "x" * 99, Code.CONFIG_BOUNDS)])
def test_a_socket_in_the_gateways_directory_or_too_long_is_a_mistake(tmp_path: Path, socket: str, code: Code) -> None:
    with pytest.raises(ConfigErrors) as told:
        load(plan(tmp_path, os.path.join(tmp_path, socket)), check_files=False)
    assert {(mistake.place, mistake.code) for mistake in told.value.mistakes} >= {("custody.socket", code)}


@pytest.mark.parametrize(
    ("asked", "seconds", "due"), [(None, 60, True), (1000, 60, True), (1059, 60, False), (1000, 3600, False), (2000, 60, True)]
)
def test_a_witness_is_asked_again_when_its_time_has_passed(asked: int | None, seconds: int, due: bool) -> None:
    said: dict[str, dict[str, object]] = {} if asked is None else {"w": {"asked": asked}}
    assert is_due(said, seconds, 1060.0) is due


@pytest.mark.parametrize("apart", [True, False])
def test_the_gateway_does_not_ask_the_key_service_for_the_key_of_such_a_log(tmp_path: Path, apart: bool) -> None:
    from wardgate.policy.keycheck import _named

    custody = {"socket": str(tmp_path / "w/custody.sock")} if apart else {}
    path = Plan(tmp_path, (PeerPlan(transport="plain"),), "pkcs11:token=t;object=custody", custody=custody).write()
    assert [place for place, _key, _chain in _named(load(path, check_files=False))] == ([] if apart else ["custody.key"])
