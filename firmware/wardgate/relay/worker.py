"""A worker: the process in which associations live. Started by the master with its control socket's descriptor as its argument."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardgate.custody.wire import NO_ASSOCIATION, Op
from wardgate.log import Log
from wardgate.policy.model import Config, Link, Party, Transport, build
from wardgate.relay.admission import Admission
from wardgate.relay.census import Census
from wardgate.relay.child import begin
from wardgate.relay.control import Control
from wardgate.relay.custodian import Custodian
from wardgate.relay.defects import traceback_of
from wardgate.relay.gate import Gate, Post
from wardgate.relay.loop import Loop
from wardgate.relay.secure import SecureParty
from wardgate.relay.tokens import Out, Tokens, outs_in
from wardgate.token.needs import HOLD

if TYPE_CHECKING:
    from collections.abc import Callable

COLLECT_SECONDS: Final = 60.0
STOP_SECONDS: Final = 1.0  # for the last words; the master is not patient for much longer
THREAD_STACK_BYTES: Final = 256 << 10


class Worker:
    """One generation's worth of associations."""

    def __init__(self, control: socket.socket, start: dict[str, Any]) -> None:
        self._generation = start["generation"]
        self._number = start["worker"]
        config: Config = build(start["config"])
        self._config = config
        name = f"wardgate[{self._generation}.{self._number}]"
        log = Log(name)

        def defect(error: Exception) -> None:
            where = traceback_of(error)
            log.event(Code.WORKER_DEFECT, detail=f"{type(error).__name__}: {error}", where=where)

        self._loop = Loop(defect)
        from wardgate.custody.client import CustodyClient
        from wardgate.transport.sockets import sockets_for

        client = CustodyClient(config.writer_socket, f"{self._generation}.{self._number}.{os.getpid()}", time.monotonic)
        self._custodian = Custodian(self._loop, client, config.limits.record_seconds, defect)
        self.gate = Gate(config, self._loop, log, self._custodian, sockets_for(config.plant.ports, str(config.plant.socket)))
        fds = start["fds"]
        at, part = start["census"]
        if part >= 0:
            self.gate.census = Census(fds[at], part)
        self._tokens = Tokens(self.gate)
        self._secure_parties(config, outs_in(start.get("tokens", {})))
        if config.holds:
            from wardgate.hold.keeper import Keeper

            self.gate.keeper = Keeper(config, self._loop, self.gate.event)
            self.gate.keeper.token(outs_in(start.get("tokens", {})).get(HOLD))
        self._admission = Admission(self.gate)
        self._drain_until = 0.0
        self._collect_at = 0.0
        self._told: set[tuple[str, str]] = set()
        self._control = Control(self._loop, control, self._told_by_master, self._drain)  # without a master: room for the next one's workers
        self._loop.each_tick(self._tick)
        self._listeners = [(fds[at], endpoint, parties) for at, endpoint, parties in start["listeners"]]

    def run(self) -> None:
        """Serve until drained or stopped."""
        self._custodian.connect()
        from wardgate.transport.sockets import Listener

        links = {link.name: link for link in self._config.links}
        for fd, endpoint, parties in self._listeners:
            found = [(links[link], _party(links[link], party)) for link, party in parties]
            self._admission.open(Listener(fd), Post(endpoint, found))
        self._control.say({"is": "ready"})
        self._loop.run()
        if self.gate.keeper is not None:
            self.gate.keeper.close()
        self.gate.pool.close()

    def _secure_parties(self, config: Config, outs: dict[str, Out]) -> None:
        """Build the TLS contexts of this generation, but of parties whose token is out. Raises what transport raises: such a worker
        does not start."""
        for link in config.links:
            for party in link.parties:
                if party.transport is Transport.ISCL:
                    from wardgate.relay.iscl import IsclParty

                    self.gate.secure[(link.name, party.name)] = IsclParty(
                        link, party, str(config.keys.socket), outs.get(f"{link.name}/{party.name}"), self.gate.teller(link, party)
                    )
                    self.gate.event(Code.ISCL_IN_USE, party.name, link=link.name)
        wanted = [(link, party) for link in config.links for party in link.parties if party.tls is not None]
        if not wanted:
            return
        from wardgate.provision.floor import read_floor
        from wardgate.transport.context import TlsContexts
        from wardgate.transport.crl import CrlStore
        from wardgate.transport.peer import PeerChecker
        from wardgate.transport.sessions import SessionCache

        sessions = SessionCache()
        for link, party in wanted:
            assert party.tls is not None
            crls = CrlStore(party.tls.crls, config.box.run_dir / "crl")
            checker = PeerChecker(party.tls, crls, read_floor(config.box.state).seconds)
            more = sorted({each.tls.anchors for _, each in wanted if each.tls is not None and each.meets(party)} - {party.tls.anchors})
            contexts = partial(TlsContexts, party.tls, more, config.keys)
            make: Callable[..., SecureParty] = SecureParty
            if party.iscl is not None:
                from wardgate.relay.iscl import IsclInTlsParty

                make = partial(IsclInTlsParty, key_socket=str(config.keys.socket), tell=self.gate.teller(link, party))
                self.gate.event(Code.ISCL_IN_USE, party.name, link=link.name)
            secure = make(link, party, contexts, checker, crls, sessions, outs.get(f"{link.name}/{party.name}"))
            self.gate.secure[(link.name, party.name)] = secure

    # --- the master

    def _told_by_master(self, message: dict[str, Any]) -> None:
        what = message.get("do")
        if what == "status":
            self._control.say({"is": "status", "id": message.get("id"), "status": self.status()})
        elif what == "tokens":
            self._tokens.take(message)
        elif what == "drain":
            self._drain()
        elif what == "stop":
            self._stop()

    def _drain(self) -> None:
        """Accept no more; leave when the last association has ended, or `drain_seconds` are over."""
        if self.gate.draining:
            return
        self.gate.draining = True
        self._drain_until = time.monotonic() + self._config.limits.drain_seconds
        self._admission.close()
        self._leave_if_done()

    def _stop(self) -> None:
        """Cut what runs, and leave when the writer has what is to be known of it; while draining also when whoever is cut has heard so."""
        self._admission.close()
        self._cut()
        if not self.gate.draining:
            if not self._custodian.unanswered:
                self._loop.stop()
                return
            self._custodian.submit(Op.PING, NO_ASSOCIATION, 0, b"", lambda _status, _index: self._loop.stop())  # behind all that
        self._loop.at(STOP_SECONDS, self._loop.stop)

    def _leave_if_done(self) -> None:
        if self.gate.draining and not (self.gate.associations or self._custodian.unanswered or self._loop.parting):
            self._control.say({"is": "drained", "status": self.status()})
            self._loop.stop()

    def _cut(self) -> None:
        for association in list(self.gate.associations):
            association.fail(Code.DRAIN_CUT, None)

    def _tick(self) -> None:
        now = self._loop.now
        for association in list(self.gate.associations):
            try:
                association.tick(now)
            except Exception as error:  # the deadlines of all behind it, and the end of a drain, must not wait for one
                kind, where = type(error).__name__, traceback_of(error)
                association.fail(Code.WORKER_DEFECT, None, detail=str(error), kind=kind, where=where)
        if self.gate.ended or now > self._collect_at:
            self.gate.ended = 0
            self._collect_at = now + COLLECT_SECONDS
            gc.collect()
        self._tell_crl_problems()
        if self.gate.draining:
            if now > self._drain_until:
                self._cut()
            for association in list(self.gate.embryos):
                association.fail(Code.DRAIN_CUT, None)
            self._leave_if_done()

    def _tell_crl_problems(self) -> None:
        for secure in self.gate.secure.values():
            for path, problem in list(secure.crls.problems.items()):
                if (str(path), str(problem)) not in self._told:
                    self._told.add((str(path), str(problem)))
                    self.gate.event(problem.code, secure.party.name, file=path.name, detail=problem.detail)

    def status(self) -> dict[str, Any]:
        """Return what this worker knows, for `wardgate status`."""
        gate = self.gate
        return {
            "associations": len(gate.associations),
            "links": {name: counters.report() for name, counters in gate.links.items()},
            "codes": dict(gate.codes),
            "records_waiting": self._custodian.unanswered,
            "writers_lost": self._custodian.writers_lost,
            "handshakes_waiting": gate.pool.waiting,
            "openings_waiting": gate.openings.waiting,
            "errors": list(gate.errors),
            **(
                {"instances_held": gate.keeper.held, "instances_unlogged": {"now": gate.keeper.lag.unlogged}}
                if gate.keeper is not None
                else {}
            ),
            **({"audit_events": {"now": gate.outbox.waiting, "lost": gate.outbox.lost}} if gate.outbox is not None else {}),
        }


def _party(link: Link, name: str) -> Party:
    return next(party for party in link.parties if party.name == name)


def _settled() -> None:
    # What is here now stays for ever. Associations are the only garbage in cycles: `Worker` looks for it when some have ended, not after
    # every so many allocations.
    gc.collect()
    gc.freeze()
    gc.disable()


def main() -> int:
    """Take the start message from the control socket, serve, leave."""
    threading.stack_size(THREAD_STACK_BYTES)
    return begin("wardgate.relay.worker", lambda control, start: Worker(control, start).run, _settled)


if __name__ == "__main__":
    sys.exit(main())
