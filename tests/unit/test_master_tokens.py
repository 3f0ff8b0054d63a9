"""Which tokens the master follows, and for whom, when the configuration is read again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wardgate.codes import Code
from wardgate.master import tokens as tokens_module
from wardgate.master.loop import Loop
from wardgate.master.tokens import Tokens
from wardgate.token.needs import CUSTODY


def answer(*labels: str, custody: str = "") -> dict[str, Any]:
    """A configuration whose PACS has keys in the tokens `labels`."""
    certificates = [{"chain": f"/{label}.pem", "key": f"pkcs11:token={label};object=tls"} for label in labels]
    link = {"name": "ct1", "modality": {"name": "modality"}, "peers": [{"name": "pacs", "tls": {"certificates": certificates}}]}
    key = f"pkcs11:token={custody};object=log" if custody else "/custody.pem"
    return {"config": {"box": {"name": "ward"}, "keys": {"socket": "/keys.sock"}, "links": [link], "custody": {"key": key}}}


def report(**states: str) -> dict[str, Any]:
    return {
        "tokens": [
            {"name": label, "state": state, "label": label, "serial": "1", "model": "", "tries": None, "detail": "", "changes": 0}
            for label, state in states.items()
        ]
    }


class Watch:
    """Stands in for the connection to the key service: a test says what it reports."""

    made: list[Watch]

    def __init__(self, _loop: Loop, path: str, on_report: Callable[[object], None]) -> None:
        self.path, self.report, self.problem, self.connected, self.open = path, on_report, "", True, False
        Watch.made.append(self)

    def start(self) -> None:
        self.open = True

    def close(self) -> None:
        self.open = False


class Master:
    """What `Tokens` sees of the supervisor."""

    def __init__(self) -> None:
        self.generations: list[SimpleNamespace] = []
        self.events: list[tuple[Code, str]] = []
        self.writer: list[list[str] | None] = []
        loop = SimpleNamespace(after=lambda _seconds, _call: None)
        log = SimpleNamespace(event=lambda code, peer="", **_fields: self.events.append((code, peer)))
        self.tokens = Tokens(
            cast(Any, loop), cast(Any, log), lambda: cast(Any, self.generations), lambda out, _news: self.writer.append(out)
        )

    def generation(self, config: dict[str, Any]) -> SimpleNamespace:
        made = SimpleNamespace(tokens=self.tokens.state_for(config), config=config["config"], tell_tokens=lambda: None)
        self.generations.append(made)
        return made

    def refuse(self, generation: SimpleNamespace) -> None:
        self.generations.remove(generation)
        self.tokens.back_to(cast(Any, self.generations[-1]))


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Master:
    Watch.made = []
    monkeypatch.setattr(tokens_module, "KeyWatch", Watch)
    return Master()


def test_a_configuration_without_tokens_that_is_refused_leaves_the_tokens_of_the_one_that_serves_watched(master: Master) -> None:
    serving = master.generation(answer("card"))
    Watch.made[0].report(report(card="present"))
    tried = master.generation(answer())
    Watch.made[0].report(report(card="absent"))
    assert list(serving.tokens.refusals) == ["ct1/pacs"], "also while the other is tried"
    master.refuse(tried)
    assert len(Watch.made) == 1 and Watch.made[0].open
    Watch.made[0].report(report(card="present"))
    assert not serving.tokens.refusals


def test_status_and_log_speak_of_the_configuration_that_serves_after_another_was_refused(master: Master) -> None:
    master.generation(answer("card"))
    Watch.made[0].report(report(card="present"))
    master.refuse(master.generation(answer("other")))
    assert [row["token"] for row in master.tokens.rows()] == ["card"]
    master.events.clear()
    Watch.made[0].report(report(card="absent"))
    assert master.events == [(Code.TOKEN_IS_ABSENT, "card")]


def test_the_writer_is_told_again_what_holds_when_a_configuration_that_took_a_swapped_card_was_refused(master: Master) -> None:
    master.generation(answer(custody="card"))
    Watch.made[0].report(report(card="present"))
    swapped = report(card="present")
    swapped["tokens"][0]["serial"] = "2"
    Watch.made[0].report(swapped)
    assert master.writer[-1] is not None, "a card of the same label is not the one that was there"
    tried = master.generation(answer(custody="card"))
    assert master.writer[-1] is None, "a new configuration takes the card that is there"
    master.refuse(tried)
    assert CUSTODY in master.generations[-1].tokens.refusals
    assert master.writer[-1] is not None


def test_another_key_service_is_not_for_a_reload(master: Master) -> None:
    other = answer("card")
    other["config"]["keys"] = {"socket": "/other.sock"}
    assert master.tokens.may_serve(other["config"])
    master.generation(answer("card"))
    assert not master.tokens.may_serve(other["config"])


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    signal.set_wakeup_fd(-1)


def test_a_key_service_that_is_away_from_the_beginning_is_told_once(loop: Loop, tmp_path: Path) -> None:
    told: list[tuple[Code, str]] = []
    log = SimpleNamespace(event=lambda code, peer="", **_fields: told.append((code, peer)))
    tokens = Tokens(loop, cast(Any, log), lambda: (), lambda _out, _news: None)
    config = answer("card")
    config["config"]["keys"] = {"socket": str(tmp_path / "keys.sock")}
    tokens.state_for(config)
    loop.after(0.3, loop.stop)  # it tries again meanwhile
    loop.run()
    tokens.close()
    assert told == [(Code.KEY_SERVICE_IS_AWAY, str(tmp_path / "keys.sock"))]
