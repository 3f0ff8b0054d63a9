"""The C-ECHO with which a slot on trial is judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from support.echopacs import Pacs, config
from wardgate.policy.model import Party, Role, Transport
from wardgate.policy.plant import Ports
from wardgate.update import probes
from wardgate.update.echo import echo
from wardgate.update.judge import Outcome


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    made = Pacs()
    yield made
    made.close()


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
