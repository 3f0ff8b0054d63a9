"""The C-ECHO with which a slot on trial is judged."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.wire import associate_ac, echo_rsp, pdv
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Party, Role, Transport
from wardgate.policy.plant import Ports
from wardgate.update import probes
from wardgate.update.echo import echo
from wardgate.update.judge import Outcome

MODALITY = Party("modality", Role.MODALITY, ("CT1",), ())


class Pacs:
    """Answers a C-ECHO; `calls` counts who came."""

    def __init__(self) -> None:
        self.calls = 0
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.endpoint = Endpoint("127.0.0.1", self._sock.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sock.accept()
                self.calls += 1
                with client:
                    client.sendall(associate_ac(client.recv(65536)))
                    client.recv(65536)
                    client.sendall(pdv(1, 3, echo_rsp()))
                    client.recv(65536)

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    made = Pacs()
    yield made
    made.close()


def config(ports: Ports, *peers: Party) -> Any:
    link = SimpleNamespace(name="ct1", modality=MODALITY, peers=peers)
    plant = SimpleNamespace(ports=ports, socket=Path("/nowhere/netd.sock"))
    box = SimpleNamespace(run_dir=Path("/nowhere"))
    return SimpleNamespace(plant=plant, links=(link,), box=box, custody=SimpleNamespace(log=Path("/nowhere/log")), keys=None)


@pytest.mark.parametrize("ports", list(Ports))
def test_a_peer_is_asked_from_the_boxs_own_address_whatever_joins_the_ports(pacs: Pacs, ports: Ports) -> None:
    """In the bridge nobody was ever asked: whatever an update broke there, its slot was good."""
    peer = Party("pacs", Role.PEER, ("PACS",), (), connect=pacs.endpoint)
    made = config(ports, peer)
    echo(made, cast(Any, made.links[0]), peer, 5.0)
    assert pacs.calls == 1


def test_no_association_goes_in_clear_to_a_peer_that_speaks_iscl_inside_tls(pacs: Pacs) -> None:
    plain = Party("pacs", Role.PEER, ("PACS",), (), connect=pacs.endpoint)
    secured = plain._replace(name="far", transport=Transport.ISCL_IN_TLS)
    seen = probes.look(config(Ports.NONE, plain, secured), 5.0)
    assert pacs.calls == 1
    assert {name: outcome for name, outcome in seen.checks.items() if name.startswith("peer:")} == {"peer:ct1/pacs": Outcome.WORKS}
