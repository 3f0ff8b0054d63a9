"""Answers the requests that come to `netd`: each is judged by policy, whoever asks."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from pwd import getpwuid
from typing import Any, Final, NamedTuple

from wardgate.codes import Code
from wardgate.plant.box import Box
from wardgate.plant.bypass import MAX_AT_ONCE
from wardgate.plant.opening import connection, listener
from wardgate.plant.programs import ProgramError
from wardgate.plant.rulekeeper import read
from wardgate.policy.endpoint import parse_endpoint
from wardgate.policy.plant import Act, Side

MAX_FLOWS: Final = 400  # so many go into one answer, with the longest IPv6 addresses
Answer = tuple[dict[str, Any], socket.socket | None]


class Asker(NamedTuple):
    """Who asks. `is_keeper`: root or `netd`'s own user, not one of those who only need sockets."""

    uid: int
    is_keeper: bool

    @property
    def who(self) -> str:
        """A name for the log."""
        try:
            return f"{getpwuid(self.uid).pw_name} (uid {self.uid})"
        except KeyError:
            return f"uid {self.uid}"


class Requests:
    """The operations of `wire` on one box."""

    def __init__(self, box: Box, reload: Callable[[], None]) -> None:
        self._box, self._reload = box, reload

    def answer(self, request: dict[str, Any], asker: Asker) -> Answer:
        """Return the answer and the socket that goes with it."""
        operations: dict[str, Callable[[dict[str, Any], Asker], Answer]] = {
            "listen": self._listen,
            "connect": self._connect,
            "status": self._status,
            "seen": self._seen,
            "confirm": self._confirm,
            "reload": self._reloaded,
            "break-glass": self._glass,
            "bypass": self._bypass,
        }
        operation = operations.get(str(request.get("op")))
        if operation is None:
            return self._no(Code.NETD_REQUEST_REFUSED, f"no operation {str(request.get('op'))[:40]!r}")
        try:
            return operation(request, asker)
        except OSError as error:
            detail = f"{error.strerror or error}"
            return {"ok": False, "code": "PLANT_NO_NETD_SOCKET", "detail": detail, "errno": error.errno}, None
        except (ProgramError, ValueError) as error:
            return self._no(Code.PLANT_RULES_REFUSED, str(error))

    def _no(self, code: Code, detail: str) -> Answer:
        self._box.log.event(code, detail=detail)
        return {"ok": False, "code": code.name, "detail": detail}, None

    def _listen(self, request: dict[str, Any], _asker: Asker) -> Answer:
        endpoint = parse_endpoint(str(request.get("endpoint")))
        side = self._box.listens.get(endpoint)
        if side is None:
            return self._no(Code.NETD_REQUEST_REFUSED, f"policy names no listening at {endpoint.text}")
        return {"ok": True}, listener(endpoint, side)

    def _connect(self, request: dict[str, Any], _asker: Asker) -> Answer:
        target, source = parse_endpoint(str(request.get("target"))), parse_endpoint(str(request.get("source")))
        address = ip_address(source.host)
        for leg in self._box.legs:
            if leg.target == target and any(address.version == net.version and address in net for net in leg.sources):
                self._box.seek(target.host, source.host, leg.side)
                return {"ok": True}, connection(target, source, leg.side)
        return self._no(Code.NETD_REQUEST_REFUSED, f"policy names no leg from {source.host} to {target.text}")

    def _status(self, _request: dict[str, Any], _asker: Asker) -> Answer:
        box = self._box
        now = time.monotonic()
        return {
            "ok": True,
            "ports": box.plant.ports.value,
            "enforce": box.plant.enforce,
            "stations": list(box.learner.stations),
            "hosts": box.learner.hosts,
            "counters": box.rules.read()[0],
            "features": box.features._asdict(),
            "waits_for_confirm": box.rules.waiting,
            "break_glass": box.bypass.shown(now),
            "management": box.plant.management.side is not Side.OFF,
        }, None

    def _seen(self, _request: dict[str, Any], _asker: Asker) -> Answer:
        flows = [[name, *flow] for name, flow in read()[1]]
        more = max(0, len(flows) - MAX_FLOWS)
        return {"ok": True, "enforce": self._box.plant.enforce, "flows": flows[:MAX_FLOWS], "more": more}, None

    def _confirm(self, _request: dict[str, Any], _asker: Asker) -> Answer:
        self._box.rules.confirm()
        return {"ok": True}, None

    def _reloaded(self, _request: dict[str, Any], _asker: Asker) -> Answer:
        self._reload()
        return {"ok": True, "waits_for_confirm": self._box.rules.waiting}, None

    def _glass(self, request: dict[str, Any], asker: Asker) -> Answer:
        if not asker.is_keeper:  # a worker that was taken over must not be able to open the bypass
            self._box.log.event(Code.BREAK_GLASS_NO_ACT, who=asker.who)
            return {"ok": False, "code": Code.BREAK_GLASS_NO_ACT.name, "detail": f"{asker.who} may not"}, None
        by = "".join(c for c in str(request.get("by", "")) if c.isprintable())[:100]
        who = f"{asker.who} {by}".strip()
        if request.get("do") == "end":
            self._box.bypass.end(Act.COMMAND, who, "it was ended")
        elif request.get("do") == "start":
            try:
                self._box.bypass.start(Act.COMMAND, who, "".join(c for c in str(request.get("reason", "")) if c.isprintable())[:200])
            except PermissionError as error:
                return {"ok": False, "code": error.args[0], "detail": error.args[1]}, None
        else:
            return self._no(Code.NETD_REQUEST_REFUSED, "break-glass: start or end")
        return self._status(request, asker)

    def _bypass(self, request: dict[str, Any], _asker: Asker) -> Answer:
        journal, done = self._box.bypass.journal, request.get("done")
        if isinstance(done, int):
            journal.done(done)
            return {"ok": True}, None
        return {"ok": True, "entries": [entry._asdict() for entry in journal.entries[:MAX_AT_ONCE]]}, None
