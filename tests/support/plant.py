"""The plant in network namespaces: modality, box (a bridge of two ports), switch, PACS, intruder. DCMTK at either end knows of no box."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

from support import certs
from support.config import _table as table
from support.config import _value as value
from support.netns import Namespace, wire
from support.peers import TlsFiles
from support.processes import READY_SECONDS, Program, children, kill_rest, started, until
from wardtools.pki import Pki

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm", "tools", "tests"))}
MODALITY, PACS, INTRUDER = "10.77.0.5", "10.77.0.20", "10.77.0.66"
MODALITY6, PACS6 = "fd77::5", "fd77::20"
CLEAR, TLS, BACK, STORE = 104, 2762, 11112, 104  # the modality calls, the PACS's TLS, the PACS calls, the modality listens
Cable = Callable[[Namespace, str, Namespace, str], None]
_FRAME = re.compile(r"\S+ (?P<from_mac>\S+) > (?P<to_mac>[0-9a-f:]+), .*? length \d+: (?P<from>\S+) > (?P<to>\S+):")


class Settings:
    """What a test may change before `Plant.start`."""

    def __init__(self) -> None:
        self.plant: dict[str, object] = {"ports": "bridge", "modality_port": "mod0", "hospital_port": "hosp0", "link_loss": False}
        self.tables: list[str] = []  # more of the configuration, TOML
        self.modality_addresses: list[str] = [MODALITY]
        self.pacs_addresses: list[str] = [PACS]
        self.listen = [f"{PACS}:{CLEAR}"]
        self.connect = f"*:{TLS}"
        self.back = [f"{MODALITY}:{BACK}"]
        self.store = f"{MODALITY}:{STORE}"
        self.workers = 1
        self.modality_ae, self.pacs_ae = ["CT1"], ["PACS"]
        self.rights: tuple[str, ...] = ()  # capabilities of the gateway


class Plant:
    """All of it. `close` ends it. With `vlan` the box's two cables carry tagged frames; `cable` joins two namespaces by one."""

    def __init__(self, folder: Path, pki: Pki, vlan: int = 0, mtu: int = 1500, cable: Cable = wire) -> None:
        self.folder, self.pki, self.settings = folder, pki, Settings()
        self.programs: list[Program] = []
        self.modality, self.box, self.switch, self.pacs, self.intruder = (
            Namespace(name) for name in ("modality", "box", "switch", "pacs", "intruder")
        )
        self.netd: Program | None = None
        self.gateway: Program | None = None
        self._starts = 0
        self.environment: dict[str, str] = {}  # of the box's programs
        cable(self.box, "mod0", self.modality, "trunk" if vlan else "eth0")
        cable(self.box, "hosp0", self.switch, "trunk" if vlan else "p1")
        wire(self.switch, "p2", self.pacs, "eth0")
        wire(self.switch, "p3", self.intruder, "eth0")
        if mtu != 1500:
            cables = (
                (self.modality, "trunk" if vlan else "eth0"),
                (self.switch, "trunk" if vlan else "p1"),
                (self.switch, "p2"),
                (self.pacs, "eth0"),
            )
            for place, device in cables:
                place.do("ip", "link", "set", device, "mtu", str(mtu))
            self.settings.plant["mtu"] = mtu
        if vlan:
            for place, device in ((self.modality, "eth0"), (self.switch, "p1")):
                place.do("ip", "link", "set", "trunk", "up")
                place.do("ip", "link", "add", "link", "trunk", "name", device, "type", "vlan", "id", str(vlan))
            self.settings.plant["vlan"] = vlan
        self.switch.do("ip", "link", "add", "sw", "type", "bridge", "mcast_snooping", "0")
        for port in ("p1", "p2", "p3"):
            self.switch.do("ip", "link", "set", port, "master", "sw", "up")
        self.switch.do("ip", "link", "set", "sw", "up")
        for station, four, six in ((self.modality, MODALITY, MODALITY6), (self.pacs, PACS, PACS6), (self.intruder, INTRUDER, "fd77::66")):
            station.do("ip", "addr", "add", f"{four}/24", "dev", "eth0")
            station.do("ip", "addr", "add", f"{six}/64", "dev", "eth0", "nodad")
            station.do("ip", "link", "set", "eth0", "up")

    # --- the box

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "wardgate.toml"

    def write(self) -> Path:
        """Write the configuration."""
        settings = self.settings
        (self.folder / "run").mkdir(mode=0o700, exist_ok=True)
        peer = certs.pacs_plan(self.pki)
        tls = table("link.peer.tls", profile="B.12", anchors=peer.anchors, names=peer.names, crl_policy="off")
        pairs = ", ".join(f"{{ chain = {value(chain)}, key = {value(key)} }}" for chain, key in peer.certificates)
        parts = [
            table("box", name="ward-ct1", run_dir=self.folder / "run", workers=settings.workers),
            table("custody", log=self.folder / "custody", origin="ward-ct1.example.org/custody", key=certs.custody_key(self.pki)),
            table("limits", drain_seconds=5),
            table("plant", socket=self.folder / "netd" / "netd.sock", state_dir=self.folder / "state", **settings.plant),
            *settings.tables,
            table("[link]", name="ct1", sop_classes=["*"], directions=["to-hospital", "to-modality"]),
            table(
                "link.modality",
                ae_titles=settings.modality_ae,
                addresses=settings.modality_addresses,
                listen=settings.listen,
                connect=settings.store,
                transport="plain",
            ),
            table(
                "[link.peer]",
                name="pacs",
                ae_titles=settings.pacs_ae,
                addresses=settings.pacs_addresses,
                connect=settings.connect,
                listen=settings.back,
                transport="tls",
            ),
            f"{tls}certificates = [{pairs}]\n",
        ]
        self.config.write_text("\n".join(parts))
        return self.config

    def start(self) -> None:
        """Write the configuration, start netd and the gateway, and wait until both are ready."""
        self.start_netd()
        self.start_gateway()

    def start_netd(self) -> None:
        """Start netd alone."""
        self.write()
        self._starts += 1
        self.netd = self._python("netd", ("net_admin", "net_raw"), "wardgate.plant.netd", "-c", self.config)
        self._ready(self.netd, "WG830")

    def start_gateway(self) -> None:
        """Start the gateway alone."""
        self._starts += 1
        self.gateway = self._python("wardgate", self.settings.rights, "wardgate", "run", "-c", self.config)
        self._ready(self.gateway, "WG201")

    def _python(self, name: str, rights: tuple[str, ...], *words: str | Path) -> Program:
        """Start a program of the box with these capabilities and no others."""
        keep = ",".join(["-all", *(f"+{right}" for right in rights)])
        argv = ["setpriv", f"--inh-caps={keep}", f"--bounding-set={keep}", "--no-new-privs", sys.executable, "-m", *words]
        program = self.box.start(argv, self.folder / f"{name}-{self._starts}.log", {**ENVIRONMENT, **self.environment})
        self.programs.append(program)
        return program

    @staticmethod
    def _ready(program: Program, code: str) -> None:
        def ready() -> bool:
            if not program.running():
                raise AssertionError(f"it ended:\n{program.log[-3000:]}")
            return code in program.log

        until(ready, f"{code} in {program.log_path.name}")

    def ask(self, *words: str) -> CompletedProcess[str]:
        """Run `wardgate` in the box."""
        return self.box.run(sys.executable, "-m", "wardgate", *words, env=ENVIRONMENT)

    def status(self) -> dict[str, object]:
        """Return what netd says of itself."""
        from wardgate.plant import wire as messages

        answer, _ = messages.ask(str(self.folder / "netd" / "netd.sock"), {"op": "status"}, READY_SECONDS)
        return answer

    def counters(self) -> dict[str, int]:
        """Return the rule set's packets by counter."""
        found = self.status()["counters"]
        assert isinstance(found, dict)
        return found

    @property
    def log(self) -> str:
        """Everything that netd and the gateway said."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*-[0-9]*.log")))

    # --- the ends

    def start_pacs(self, *options: str, port: int = TLS, folder: str = "pacs") -> Program:
        """Start the PACS: a storescp under mutual TLS."""
        return self._storescp(self.pacs, folder, port, "PACS", certs.dcmtk(self.pki), options)

    def start_pacs_in_clear(self) -> Program:
        """Start a second PACS process that takes DICOM in clear at the port that the modality calls: for the bypass."""
        return self._storescp(self.pacs, "pacs-clear", CLEAR, "PACS", None, ())

    def start_modality(self, *options: str) -> Program:
        """Start the modality's own storescp, in clear."""
        return self._storescp(self.modality, "modality", STORE, "CT1", None, options)

    def _storescp(self, place: Namespace, name: str, port: int, ae: str, tls: TlsFiles | None, options: Sequence[str]) -> Program:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        words = ["storescp", "-v", "+xa", "-pm", "+B", "-aet", ae, "-od", str(folder), *(tls.words() if tls else []), *options, str(port)]
        program = place.start(words, self.folder / f"{name}.log", {"TCP_NODELAY": "1"})
        self.programs.append(program)
        until(lambda: place.listens(port), f"{name} listens")
        return program

    def echo(self, host: str = PACS, seconds: int = 50) -> CompletedProcess[str]:
        """C-ECHO from the modality to the PACS, as the modality believes; a connection that is not taken is given up after `seconds`."""
        return self.modality.run("echoscu", "-v", "-to", str(seconds), "-aet", "CT1", "-aec", "PACS", host, str(CLEAR))

    def store(self, *files: Path) -> CompletedProcess[str]:
        """C-STORE from the modality to the PACS."""
        return self.modality.run("storescu", "-v", "-aet", "CT1", "-aec", "PACS", PACS, str(CLEAR), *files)

    def back(self, program: str = "echoscu", *files: Path, host: str = MODALITY) -> CompletedProcess[str]:
        """The PACS calls the modality in TLS."""
        words = [program, "-v", *certs.dcmtk(self.pki).words(), "-aet", "PACS", "-aec", "CT1", host, str(BACK), *files]
        return self.pacs.run(*words)

    @staticmethod
    def touch(place: Namespace, host: str, port: int = 9) -> None:
        """Send a datagram: the address has to be resolved for it."""
        place.do(
            "python3",
            "-c",
            f"import socket; socket.socket(socket.AF_INET{6 if ':' in host else ''}, socket.SOCK_DGRAM).sendto(b'x', ({host!r}, {port}))",
        )

    def forge(self, place: Namespace, *words: str, device: str = "eth0") -> None:
        """Send forged frames from a station (`support.forge`)."""
        done = place.run(sys.executable, "-m", "support.forge", device, *words, env=ENVIRONMENT)
        assert done.returncode == 0, done.stdout

    def stop(self, program: Program) -> None:
        """End a program and what it started."""
        family, todo = {}, [program.pid]
        while todo:
            pid = todo.pop()
            family[pid] = started(pid)
            todo += children(pid)
        program.stop()
        kill_rest(family)

    def close(self) -> None:
        """End everything."""
        for program in reversed(self.programs):
            self.stop(program)
        for place in (self.modality, self.box, self.switch, self.pacs, self.intruder):
            place.close()


def frames(text: str) -> list[dict[str, str]]:
    """Read `tcpdump -e -n` lines: source and destination MAC, addresses with port."""
    found = []
    for line in text.splitlines():
        match = _FRAME.match(line)
        if match:
            found.append({**match.groupdict(), "line": line})
    return found


def neighbour(place: Namespace, address: str) -> str:
    """Return the MAC address that a station believes an address to have, empty when it knows none."""
    rows = json.loads(place.do("ip", "-j", "neigh", "show", address) or "[]")
    return str(rows[0].get("lladdr", "")) if rows else ""
