"""What a judge of slots sees of tokens, peers and vault, and a slot that goes back because one of them does not work any more."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.echopacs import Pacs, config
from support.standinbox import StandIn
from wardgate.codes import Code
from wardgate.log import Log
from wardgate.policy.model import Party, Role
from wardgate.policy.plant import Ports
from wardgate.token.state import State
from wardgate.update import probes
from wardgate.update.command import looking
from wardgate.update.installing import install
from wardgate.update.judge import SERVICE, VAULT, Outcome, worked
from wardgate.update.judging import Result, after_start


class Gateway:
    """Answers for its status: which tokens it has."""

    def __init__(self, run_dir: Path) -> None:
        self.tokens: dict[str, str] = {}
        self.status: Any = None  # all that it says, in place of tokens
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.bind(str(run_dir / "status.sock"))
        self._sock.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sock.accept()
                with client:
                    rows = [{"token": name, "state": state} for name, state in self.tokens.items()]
                    client.sendall(json.dumps({"tokens": rows} if self.status is None else self.status).encode())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class Hospital:
    """A gateway with a PACS, a mounted vault and a box with two slots."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.gateway, self.pacs, self.box, self._patch = Gateway(folder), Pacs(), StandIn(folder), patch
        peer = Party("pacs", Role.PEER, ("PACS",), (), connect=self.pacs.endpoint)
        self.config: Any = config(Ports.NONE, peer, run_dir=folder)
        self.vault("/proc")  # something is mounted there

    def vault(self, path: str) -> None:
        self._patch.setattr(probes, "VAULT_PATH", path)

    def look(self) -> Any:
        return probes.look(self.config, 60.0)

    def update(self) -> frozenset[str]:
        """Install; return what worked before it."""
        return install(self.box, self.config, "bundle", Log("test"), self.look).worked

    def start(self, slot: str, version: str) -> Result:
        return after_start(self.box.restarted(slot, version), self.config, Log("test"), self.look)

    def close(self) -> None:
        self.gateway.close()
        self.pacs.close()


@pytest.fixture
def hospital(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hospital]:
    made = Hospital(folder, monkeypatch)
    yield made
    made.close()


@pytest.mark.parametrize("state", State)
def test_a_token_works_when_the_gateway_says_that_it_is_present(hospital: Hospital, state: State) -> None:
    hospital.gateway.tokens = {"card": state.value, "hsm 1": "present"}
    seen = hospital.look().checks
    assert seen["token:card"] is (Outcome.WORKS if state is State.PRESENT else Outcome.FAILS)
    assert seen["token:hsm_1"] is seen[SERVICE] is Outcome.WORKS


def test_of_a_gateway_that_does_not_answer_no_token_is_known(hospital: Hospital) -> None:
    hospital.gateway.tokens = {"card": "present"}
    hospital.gateway.close()
    seen = hospital.look().checks
    assert seen[SERVICE] is Outcome.FAILS and not any(name.startswith("token:") for name in seen)


def _no_peer(hospital: Hospital) -> None:
    hospital.pacs.close()


def _no_token(hospital: Hospital) -> None:
    hospital.gateway.tokens["card"] = "absent"


def _token_not_told_of(hospital: Hospital) -> None:
    hospital.gateway.tokens.clear()


def _no_vault(hospital: Hospital) -> None:
    hospital.vault("/nowhere")


@pytest.mark.parametrize(
    "breaks, missing",
    [(_no_peer, "peer:ct1/pacs"), (_no_token, "token:card"), (_token_not_told_of, "token:card"), (_no_vault, VAULT)],
)
def test_a_release_with_which_one_thing_does_not_work_any_more_is_rolled_back_and_it_is_named(
    hospital: Hospital, breaks: Callable[[Hospital], None], missing: str
) -> None:
    hospital.gateway.tokens = {"card": "present"}
    assert hospital.update() == {SERVICE, VAULT, "token:card", "peer:ct1/pacs"}
    breaks(hospital)
    assert worked(hospital.look()) >= {SERVICE}, "the gateway itself is well"
    assert hospital.start("B", "2.0.0") is Result.START_AGAIN
    assert hospital.start("A", "1.0.0") is Result.STAYS
    assert hospital.box.done[-1] == "record rolled-back 1.0.0>2.0.0 WG907"
    assert hospital.box.detail == f"missing: {missing}"


def test_what_did_not_work_before_is_not_missed(hospital: Hospital) -> None:
    hospital.gateway.tokens = {"card": "absent"}
    hospital.pacs.close()
    hospital.vault("/nowhere")
    assert hospital.update() == {SERVICE}
    assert hospital.start("B", "2.0.0") is Result.NEWLY_GOOD


GOOD = {"token": "card", "state": "present"}


@pytest.mark.parametrize(
    "tokens",
    [
        [{"state": "present"}],
        [{"token": None, "state": "present"}],
        [{"token": "hsm"}],
        [{"token": "hsm", "state": ["present"]}],
        [{}],
        ["hsm"],
        [None],
        {"hsm": "present"},
        7,
    ],
)
def test_a_malformed_row_of_the_status_counts_as_a_token_that_is_not_there(hospital: Hospital, tokens: Any) -> None:
    hospital.gateway.status = {"tokens": [GOOD, *tokens] if isinstance(tokens, list) else tokens}
    seen = hospital.look()
    assert seen.checks[SERVICE] is Outcome.WORKS, "the gateway itself has answered"
    assert seen.checks.get("token:hsm", Outcome.FAILS) is Outcome.FAILS
    assert seen.checks.get("token:card") is (Outcome.WORKS if isinstance(tokens, list) else None)
    assert seen.checks["peer:ct1/pacs"] is Outcome.WORKS, "the rest is looked at"
    assert len(seen.malformed) == 1


@pytest.mark.parametrize("status", [[], 5, "well"])
def test_what_is_no_status_is_no_answer(hospital: Hospital, status: Any) -> None:
    hospital.gateway.status = status
    seen = hospital.look()
    assert seen.checks[SERVICE] is Outcome.FAILS and seen.malformed == ()


def test_a_release_whose_status_is_malformed_is_rolled_back_and_the_token_is_named(hospital: Hospital) -> None:
    hospital.gateway.tokens = {"card": "present"}
    hospital.update()
    hospital.gateway.status = {"tokens": [{"token": "card"}]}
    assert hospital.start("B", "2.0.0") is Result.START_AGAIN
    assert hospital.start("A", "1.0.0") is Result.STAYS
    assert hospital.box.detail == "missing: token:card"


def test_a_malformed_status_is_said_once_however_often_it_is_looked_at(hospital: Hospital, capsys: pytest.CaptureFixture[str]) -> None:
    hospital.gateway.status = {"tokens": [{"token": "card"}, "card"]}
    look = looking(hospital.config, Log("test"))
    for _ in range(3):
        look()
    said = capsys.readouterr().err
    assert said.count(str(Code.UPDATE_STATUS_MALFORMED)) == 2, said
    assert "state" in said
