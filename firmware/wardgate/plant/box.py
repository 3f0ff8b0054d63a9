"""What `netd` does to the kernel: rules, neighbours, links, in the order in which nothing leaks."""

from __future__ import annotations

import time

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.plant import links
from wardgate.plant.bypassing import Bypassing
from wardgate.plant.features import INSTEAD, Features
from wardgate.plant.flows import Leg, legs, listens, modality_addresses
from wardgate.plant.frames import ask
from wardgate.plant.guarding import GUARD_COUNTERS
from wardgate.plant.learner import Change, Learner
from wardgate.plant.marks import BRIDGE
from wardgate.plant.ports import FRAMES_AT_ONCE, Kind, Port
from wardgate.plant.programs import ProgramError, ip_json, nft_json
from wardgate.plant.rulekeeper import RuleKeeper
from wardgate.plant.ruleset import Known, bridge_ruleset
from wardgate.plant.ruleset_router import router_ruleset
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Config
from wardgate.policy.plant import Network, Plant, Ports, Side

ASK_SECONDS = 0.5


class Box:
    """One plant in the kernel. Times are monotonic seconds."""

    def __init__(self, config: Config, features: Features, log: Log) -> None:
        self.features, self.log = features, log
        self.rules = RuleKeeper()
        self.ports: list[Port] = []
        self._told: set[tuple[str, tuple[str, str, str, int]]] = set()
        self._guarded: dict[str, int] = {}
        self._asked = 0.0
        self._neighbours: set[str] = set()  # the addresses of which the kernel has entries
        self._unapplied = False  # something was learned that the kernel has not been told
        self._confirmed: Config | None = None  # while another waits to be confirmed
        self._take(config)
        self.learner = self._learner()
        self.bypass = Bypassing(config, log, self.apply)

    def _take(self, config: Config) -> None:
        self.config: Config = config
        self.plant: Plant = config.plant
        self.listens: dict[Endpoint, Side] = dict(listens(config))
        self.legs: list[Leg] = legs(config)

    def _learner(self) -> Learner:
        peers = [network for link in self.config.links for peer in link.peers for network in peer.addresses]
        peers += [network for leg in self.legs if leg.side is Side.HOSPITAL for network in _host(leg)]
        return Learner(self.plant, modality_addresses(self.config), peers)

    def begin(self) -> None:
        """Rules first, then the bridge, the ports last. Raises `ProgramError`, `OSError`."""
        for name, text in INSTEAD.items():
            if not getattr(self.features, name) and name not in ("veth", "vlan_devices"):
                self.log.event(Code.NETD_INSTEAD, name, instead=text)
        self._remember()
        self.bypass.resume()
        links.ports_down(self.plant)
        self.apply()
        links.set_up(self.plant, self.features)
        if self.plant.ports is Ports.BRIDGE:
            devices = ((self.plant.inside, Side.MODALITY), (self.plant.outside, Side.HOSPITAL))
            self.ports = [Port(device, side, kind) for device, side in devices for kind in Kind]
            links.neighbours(self.learner.hosts)
            self._neighbours = set(self.learner.hosts)
            links.fix_station(self.learner.stations, self.plant.inside)

    def apply(self, confirm: bool = False) -> None:
        """Make the rule set from what is known now and apply it. Raises `ProgramError`: the old one holds."""
        if self.plant.ports is Ports.ROUTER:
            text = router_ruleset(self.config, self.features, self.bypass.glass.lasts)
        else:
            known = Known(self.learner.stations, self.learner.hosts)
            text = bridge_ruleset(self.config, self.features, known, self.bypass.glass.lasts)
        seconds = self.plant.management.confirm_seconds if confirm else 0
        self.rules.apply(text, time.monotonic(), seconds)

    def reload(self, config: Config) -> None:
        """Take a new configuration. Raises `ProgramError`, `ValueError` when it needs a restart; then nothing has changed."""
        plant = config.plant
        for word in ("ports", "modality_port", "hospital_port", "socket", "vlan", "mtu"):
            if getattr(plant, word) != getattr(self.plant, word):
                raise ValueError(f"plant.{word} needs a restart of netd")
        self.bypass.end_unless(plant.break_glass)
        before, learner = self.config, self.learner
        self._change(config)
        managed = Side.OFF not in (before.plant.management.side, plant.management.side)
        waited = self.rules.waiting
        try:
            self.apply(confirm=managed and before.plant.management != plant.management)
        except ProgramError:
            self._take(before)
            self.learner = learner
            raise
        if self.rules.waiting and not waited:
            self._confirmed = before
        self.bypass.take(config)
        self.log.event(Code.PLANT_RULES_APPLIED, waits_for_confirm=self.rules.waiting)

    def _change(self, config: Config) -> None:
        """Take a configuration in place of another: what was learned is kept as far as the new one names it."""
        learner = self.learner
        self._take(config)
        self.learner = self._learner()
        self.learner.remember(learner.stations, learner.hosts)

    def _remember(self) -> None:
        """Take over what a `netd` before this one had learned: sets of the rule set, neighbour entries."""
        stations: list[str] = []
        for row in nft_json("set", "bridge", "wardgate", "station"):
            stations += [str(mac) for mac in row.get("set", {}).get("elem", [])]
        rows = ip_json("neigh", "show", "dev", BRIDGE, "nud", "permanent")
        self.learner.remember(stations, {str(row["dst"]): str(row["lladdr"]) for row in rows if "lladdr" in row})

    # --- what is heard

    def hear(self, port: Port) -> bool:
        """Learn from the frames that wait at a port; tell whether there are more than are taken at once."""
        now = time.monotonic()
        changed = False
        heard = port.frames()
        for seen in heard:
            for news in self.learner.frame(port.side, seen, now):
                if isinstance(news, Change):
                    changed = True
                    self._tell(news)
                else:
                    self.log.event(Code.PLANT_STRANGER, news.mac, side=news.side)
            if self.learner.silent(port.side, seen) and now > self._asked + ASK_SECONDS:
                self._asked = now
                self.seek(seen.destination, seen.source, Side.MODALITY)
        if changed:
            self._unapplied = True
            self._apply_learned()
        return len(heard) >= FRAMES_AT_ONCE

    def _apply_learned(self) -> None:
        """Tell the kernel what was learned. Raises `ProgramError`: then it is told again at the next look, for nobody learns it twice."""
        # The rules first: a packet that waits for its neighbour entry leaves the moment that it is there.
        self.apply()
        hosts = dict(self.learner.hosts)
        links.forget_neighbours(self._neighbours - hosts.keys())
        links.neighbours(hosts)
        self._neighbours = set(hosts)
        links.fix_station(self.learner.stations, self.plant.inside)
        self._unapplied = False

    def _tell(self, news: Change) -> None:
        if not news.address:
            code = Code.PLANT_MAC_CHANGED if news.old else Code.PLANT_MODALITY_LEARNED
            self.log.event(code, news.mac, **({"before": news.old} if news.old else {}))
        elif news.old:
            self.log.event(Code.PLANT_NEXT_HOP, news.address, mac=news.mac, before=news.old)

    def seek(self, target: str, source: str, side: Side) -> None:
        """Ask for the MAC of `target` in the name of `source`, if it is not known."""
        if target in self.learner.hosts or source not in self.learner.hosts:
            return
        for port in self.ports:
            if port.side is side and port.kind is Kind.NEIGHBOURS:
                port.send(ask(target, source, self.learner.hosts[source]))

    # --- what is looked at now and then

    def look(self, now: float) -> None:
        """Tell of refused flows and spoofed frames, put back what was not confirmed, end the break-glass. Raises `ProgramError`."""
        self.bypass.look(now)  # first: nothing else that fails may make it longer
        if self.rules.restore_if_late(now):
            self.log.event(Code.PLANT_RULES_RESTORED)
            if self._confirmed is not None:  # or the next rule set, for an address that was learned, would be the unconfirmed one
                self._change(self._confirmed)
                self.bypass.take(self._confirmed)
                self._confirmed = None
        if self._unapplied:
            self._apply_learned()

    def look_at_refused(self) -> None:
        """Log what the rule set has noted since the last look."""
        counters, seen = self.rules.read()
        for name, flow in seen:
            if (name, flow) not in self._told:
                if len(self._told) >= 4096:
                    self._told.clear()
                self._told.add((name, flow))
                way = "from-modality" if "modality" in name else "to-modality"
                self.log.event(Code.PLANT_REFUSED, flow[0], to=flow[1], protocol=flow[2], port=flow[3], way=way)
        for name in GUARD_COUNTERS:
            count = counters.get(name, 0)
            if count > self._guarded.get(name, 0):
                self.log.event(Code.PLANT_SPOOFED, name, frames=count)
            self._guarded[name] = count


def _host(leg: Leg) -> tuple[Network, ...]:
    from wardgate.plant.flows import host

    return (host(leg.target.host),)
