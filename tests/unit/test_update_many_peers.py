"""A site where many peers are away: looking at what works has a limit, and the judge of a slot has the time that policy may give it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.echopacs import Pacs, config
from support.units import UNITS, read_unit
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Party, Role
from wardgate.policy.plant import Ports
from wardgate.policy.schema import SCHEMA
from wardgate.update import box, probes
from wardgate.update.judge import Outcome

SECONDS = 1.0  # that a peer may take


@pytest.fixture
def silent() -> Iterator[list[Endpoint]]:
    """Eight hosts that take a connection and say nothing."""
    socks = [socket.create_server((f"127.0.1.{number}", 0)) for number in range(1, 9)]
    yield [Endpoint(*sock.getsockname()) for sock in socks]
    for sock in socks:
        sock.close()


def peer(name: str, where: Endpoint) -> Party:
    return Party(name, Role.PEER, ("PACS",), (), connect=where)


def test_hosts_that_do_not_answer_are_waited_for_at_the_same_time(folder: Path, silent: list[Endpoint]) -> None:
    peers = [peer(f"away{number}", where) for number, where in enumerate(silent)]
    began = time.monotonic()
    seen = probes.look(config(Ports.NONE, *peers, run_dir=folder), SECONDS)
    assert time.monotonic() - began < len(peers) * SECONDS / 2
    assert all(seen.checks[f"peer:ct1/{one.name}"] is Outcome.FAILS for one in peers)


def test_a_peer_that_answers_is_found_among_many_that_do_not(folder: Path, silent: list[Endpoint]) -> None:
    pacs = Pacs()
    peers = [*(peer(f"away{number}", where) for number, where in enumerate(silent)), peer("pacs", pacs.endpoint)]
    seen = probes.look(config(Ports.NONE, *peers, run_dir=folder), SECONDS)
    pacs.close()
    assert seen.checks["peer:ct1/pacs"] is Outcome.WORKS and pacs.calls == 1


def test_all_peers_together_have_a_limit_also_where_one_host_is_all_of_them(
    folder: Path, silent: list[Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "PEERS_SECONDS", SECONDS, raising=False)
    peers = [peer(f"away{number}", silent[0]) for number in range(8)]
    began = time.monotonic()
    seen = probes.look(config(Ports.NONE, *peers, run_dir=folder), SECONDS)
    assert time.monotonic() - began < 4 * SECONDS
    assert len([name for name in seen.checks if name.startswith("peer:")]) == 8, "who was not asked is not left out"


def test_the_judge_has_the_time_that_policy_may_give_it() -> None:
    (patience,) = (word.high for word in SCHEMA["box"] if word.name == "trial_seconds")
    (limit,) = read_unit(UNITS / "wardgate-update.service")["Service"]["TimeoutStartSec"]
    assert int(limit) >= patience + probes.PEERS_SECONDS + 10 * box.RECORD_SECONDS
