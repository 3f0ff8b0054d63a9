"""What all associations of a worker share, and how a party's TLS is reached. One a worker, one a generation."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

from wardgate.codes import Level
from wardgate.custody.clock import Clock
from wardgate.policy.model import Config, Direction, Link, Party, Role, Transport
from wardgate.relay.census import Census
from wardgate.relay.hasher import buffers_for
from wardgate.relay.loop import Loop
from wardgate.relay.openings import Openings
from wardgate.relay.pdus import Pdus
from wardgate.relay.threads import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.audit.outbox import Outbox
    from wardgate.codes import Code
    from wardgate.hold.intake import HeldAssociation
    from wardgate.hold.keeper import Keeper
    from wardgate.log import Log
    from wardgate.relay.association import Association
    from wardgate.relay.custodian import Custodian
    from wardgate.relay.secure import Secured
    from wardgate.transport.sockets import SocketFactory


MAX_ERRORS = 20
MANY_ASSOCIATIONS = 64
MAX_HOSTS = 1024


class LinkCounters:
    """What the status shows of one link."""

    __slots__ = ("associations", "bytes", "instances", "not_stored", "now", "refused")

    def __init__(self) -> None:
        self.now = 0
        self.associations = 0
        self.instances = 0  # with a status of success or warning
        self.not_stored = 0  # failed, aborted or unknown
        self.bytes = 0  # of data sets that passed whole
        self.refused = 0

    def report(self) -> dict[str, int]:
        """Return the counters by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Post:
    """One listening port as a worker sees it: the parties that may call there, by source address."""

    __slots__ = ("_callers", "endpoint", "parties")

    def __init__(self, endpoint: str, parties: list[tuple[Link, Party]]) -> None:
        self.endpoint = endpoint
        self.parties = parties
        self._callers: dict[str, list[tuple[Link, Party]]] = {}  # of the addresses that called lately

    def callers(self, host: str) -> list[tuple[Link, Party]]:
        """Return who may call from `host`; nobody when the list is empty. Not to be changed."""
        found = self._callers.get(host)
        if found is None:
            if len(self._callers) >= MAX_HOSTS:
                self._callers.clear()
            found = self._callers[host] = self._find(host)
        return found

    def _find(self, host: str) -> list[tuple[Link, Party]]:
        from ipaddress import ip_address

        address = ip_address(host.split("%", 1)[0])
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        return [(link, party) for link, party in self.parties if any(address in net for net in party.addresses)]


def direction_of(caller: Party) -> Direction:
    """Return which way an association opened by `caller` goes."""
    return Direction.TO_HOSPITAL if caller.role is Role.MODALITY else Direction.TO_MODALITY


def title_of(party: Party, title: str) -> str:
    """Return the AE title to judge the certificate by. Policy has judged the title itself; one that passed although it is not the
    party's did so because the link only observes."""
    return title if title in party.ae_titles or "*" in party.ae_titles else party.ae_titles[0]


class Gate:
    """Loop, buffers, threads, policy, counters: what an association needs."""

    def __init__(self, config: Config, loop: Loop, log: Log, custodian: Custodian, sockets: SocketFactory) -> None:
        self.config = config
        self.limits = config.limits
        self.loop = loop
        self.log = log
        self.custodian = custodian
        self.sockets = sockets
        self.buffers = buffers_for(config.box, len(os.sched_getaffinity(0)))
        self.pool = Pool(loop)
        self.openings = Openings(loop, config.limits.openings_per_peer)
        self.pdus = Pdus(config.limits.associate_bytes)
        self.clock = Clock()
        self.hold_responses = config.custody.durable.value != "none"
        self.associations: set[Association | HeldAssociation] = set()
        self.keeper: Keeper | None = None  # where a link holds
        self.embryos: dict[Association, None] = {}  # without a whole A-ASSOCIATE-RQ yet, oldest first
        self.census = Census()  # of the whole box, once the worker has its part
        self.links = {link.name: LinkCounters() for link in config.links}
        self.codes: Counter[str] = Counter()
        self.errors: list[tuple[float, str, str]] = []  # the last ones: Unix seconds, code, text
        self.secure: dict[tuple[str, str], Secured] = {}
        self.outbox: Outbox | None = None  # towards the audit sender, where the configuration names a repository
        if config.audit is not None:
            from wardgate.audit.outbox import Outbox

            self.outbox = Outbox(config.audit_socket, log.name)
            loop.each_tick(self.outbox.turn)
        self.ended = 0  # held associations since garbage was collected
        self.draining = False
        self.started = time.time()

    @property
    def many(self) -> bool:
        """Whether there are so many associations that the memory of each counts more than its speed."""
        return len(self.associations) > MANY_ASSOCIATIONS

    def party(self, link: Link, party: Party) -> Secured | None:
        """Return the TLS or ISCL side of a party, `None` when it speaks plain."""
        return self.secure[(link.name, party.name)] if party.transport is not Transport.PLAIN else None

    def teller(self, link: Link, party: Party) -> Callable[[Code], None]:
        """Return what logs and counts a code of that party."""
        return lambda code: self.event(code, party.name, link=link.name)

    def event(self, code: Code, peer: str = "", **fields: object) -> None:
        """Log, count and audit."""
        self.codes[str(code)] += 1
        if code.value.level is Level.ERROR:
            self.errors.append((time.time(), str(code), f"{peer} {fields.get('detail', '')}".strip()[:200]))
            del self.errors[:-MAX_ERRORS]
        if self.outbox is not None:
            self.outbox.put(code, peer, fields)
        self.log.event(code, peer, **fields)
