"""The cable when things go wrong: reboots, cut legs, restarts, reloads, floods, power-on. Network namespaces are the plant."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from support import datasets
from support.netns import Namespace, can
from support.peers import have
from support.plant import BACK, CLEAR, ENVIRONMENT, INTRUDER, MODALITY, MODALITY6, PACS, PACS6, STORE, TLS, Plant, frames
from support.processes import Program, until
from wardgate.plant import wire

pytestmark = [
    pytest.mark.skipif(can() is not None, reason=str(can())),
    pytest.mark.skipif(not have("storescu", "storescp", "echoscu"), reason="DCMTK is not installed"),
]
IMAGES = 60


def _dump(place: Namespace, log: Path, what: str) -> Program:
    program = place.start(["tcpdump", "-e", "-n", "-l", "--immediate-mode", "-i", "eth0", what], log)
    until(lambda: "listening on" in program.log, "tcpdump listens")
    return program


def _arrived(plant: Plant) -> int:
    return len(list((plant.folder / "pacs").iterdir()))


def _sending(plant: Plant, count: int = IMAGES) -> Program:
    """Start a study that takes a while: the PACS is slow to answer."""
    files = [sample.path for sample in datasets.generate(plant.folder / "sent", count, rows=256)]
    words = ["storescu", "-v", "-aet", "CT1", "-aec", "PACS", PACS, str(CLEAR), *map(str, files)]
    program = plant.modality.start(words, plant.folder / "storescu.log")
    plant.programs.append(program)
    until(lambda: _arrived(plant) >= 3, "the study moves")
    return program


def _whole(plant: Plant, program: Program, count: int = IMAGES) -> None:
    assert program.wait(120) == 0, program.log[-2000:] + plant.log[-3000:]
    assert program.log.count("Received Store Response (Success)") == count
    until(lambda: _arrived(plant) == count, "every image arrived")


def _nft(plant: Plant, when_applying: str) -> None:
    """Give netd an nft that does something else when a rule set is applied."""
    tools = plant.folder / "bin"
    tools.mkdir()
    (tools / "nft").write_text(f'#!/bin/sh\ncase "$*" in "-f -") {when_applying};; *) exec /usr/sbin/nft "$@";; esac\n')
    (tools / "nft").chmod(0o755)
    plant.environment = {"PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin"}


def test_nothing_passes_before_the_rules_are_in_place(plant: Plant) -> None:
    plant.modality.do("ip", "neigh", "replace", PACS, "lladdr", plant.pacs.mac(), "dev", "eth0")
    plant.intruder.do("ip", "neigh", "replace", MODALITY, "lladdr", plant.modality.mac(), "dev", "eth0")
    seen = _dump(plant.modality, plant.folder / "seen.log", f"ether src {plant.intruder.mac()} and (ip or ether proto 0x88b5)")
    shout = plant.intruder.start(
        ["python3", "-c", f"import socket,time;u=socket.socket(2,2)\nwhile 1:\n u.sendto(b'x',('{MODALITY}',{STORE}));time.sleep(.002)"],
        plant.folder / "shout.log",
    )
    plant.programs.append(shout)
    _nft(plant, 'sleep 2; exec /usr/sbin/nft "$@"')  # long enough for ports that come up too soon
    plant.start_netd()
    until(lambda: plant.counters()["refused_hospital"] > 20, "the rules refuse what is sent")
    shout.stop()
    seen.stop()
    assert not frames(seen.log), seen.log


def test_ports_stay_down_when_the_rules_cannot_be_applied(plant: Plant) -> None:
    _nft(plant, "echo broken >&2; exit 1")
    with pytest.raises(AssertionError, match="WG832"):
        plant.start_netd()
    for row in json.loads(plant.box.do("ip", "-j", "link", "show")):
        assert row["ifname"] == "lo" or "UP" not in row["flags"], row


def test_a_modality_that_reboots_is_back_at_once(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    assert plant.echo().returncode == 0
    plant.modality.do("ip", "link", "set", "eth0", "down")
    plant.modality.do("ip", "link", "set", "eth0", "up")
    until(lambda: plant.echo().returncode == 0, "the modality reaches the PACS again")


def test_a_modality_with_a_new_network_card_is_followed_when_its_mac_is_learned(plant: Plant) -> None:
    plant.start_pacs()
    plant.start_modality()
    plant.start()
    assert plant.echo().returncode == 0
    plant.modality.do("ip", "link", "set", "eth0", "down")
    plant.modality.do("ip", "link", "set", "eth0", "address", "02:00:5e:00:53:99", "up")
    until(lambda: plant.echo().returncode == 0, "the modality reaches the PACS again")
    assert "WG838" in plant.log
    outside = _dump(plant.pacs, plant.folder / "out.log", f"tcp dst port {TLS}")
    assert plant.echo().returncode == 0
    until(lambda: len(frames(outside.log)) > 2, "the hospital leg is seen")
    outside.stop()
    assert {f["from_mac"] for f in frames(outside.log)} == {"02:00:5e:00:53:99"}
    until(lambda: plant.back().returncode == 0, "the PACS reaches the modality")


def test_another_mac_is_refused_when_it_is_bound(plant: Plant) -> None:
    plant.settings.plant |= {"mac": "bound", "macs": [plant.modality.mac()]}
    plant.start_pacs()
    plant.start()
    assert plant.echo().returncode == 0
    plant.modality.do("ip", "link", "set", "eth0", "down")
    plant.modality.do("ip", "link", "set", "eth0", "address", "02:00:5e:00:53:99", "up")
    assert plant.modality.run("timeout", "3", "bash", "-c", f"echo >/dev/tcp/{PACS}/{CLEAR}").returncode != 0
    until(lambda: "WG839" in plant.log, "the stranger is named")
    assert plant.counters()["stranger"] > 0


def test_a_box_that_starts_after_everybody_else_asks_for_the_modality_in_the_pacss_name(plant: Plant) -> None:
    """The PACS calls before the modality has said a word: its MAC is found by a question in the PACS's own name."""
    plant.start_pacs()
    plant.start_modality()
    plant.start()
    plant.pacs.do("ip", "neigh", "replace", MODALITY, "lladdr", plant.modality.mac(), "dev", "eth0")
    until(lambda: plant.back().returncode == 0, "the PACS reaches the modality")


def test_a_cut_hospital_leg_ends_the_association_or_is_bridged_and_the_next_one_works(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    study = _sending(plant)
    plant.switch.do("ip", "link", "set", "p1", "down")
    time.sleep(0.5)  # the cut, not a wait for something
    plant.switch.do("ip", "link", "set", "p1", "up")
    study.wait(120)
    until(lambda: plant.echo().returncode == 0, "the modality reaches the PACS again")


def test_a_cut_modality_leg_ends_the_association_or_is_bridged_and_the_next_one_works(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    study = _sending(plant)
    plant.modality.do("ip", "link", "set", "eth0", "down")
    time.sleep(0.5)  # the cut, not a wait for something
    plant.modality.do("ip", "link", "set", "eth0", "up")
    study.wait(120)
    until(lambda: plant.echo().returncode == 0, "the modality reaches the PACS again")


def test_the_loss_of_one_link_is_shown_on_the_other(plant: Plant) -> None:
    plant.settings.plant["link_loss"] = True
    plant.start_pacs()
    plant.start()
    plant.switch.do("ip", "link", "set", "p1", "down")
    until(lambda: "NO-CARRIER" in plant.modality.do("ip", "link", "show", "dev", "eth0"), "the modality sees no link")
    plant.switch.do("ip", "link", "set", "p1", "up")
    until(lambda: "LOWER_UP" in plant.modality.do("ip", "link", "show", "dev", "eth0"), "the modality sees its link")
    until(lambda: plant.echo().returncode == 0, "the modality reaches the PACS again")


def test_a_rule_set_applied_anew_during_a_transfer_loses_no_association(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    study = _sending(plant)
    applied = plant.log.count("WG834")
    for _ in range(5):
        assert plant.ask("plant", "reload", "-c", str(plant.config)).returncode == 0
    assert plant.log.count("WG834") >= applied + 5
    _whole(plant, study)
    until(lambda: "WG422" in plant.log, "the box has seen the end")  # the modality has it first
    assert plant.log.count("WG422") == 1 and "how=released" in plant.log


def test_netd_killed_and_started_again_during_a_transfer_loses_no_association(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    study = _sending(plant)
    assert plant.netd is not None
    plant.netd.signal(signal.SIGKILL)
    plant.netd.wait()
    plant.start_netd()
    _whole(plant, study)
    assert plant.echo().returncode == 0


def test_while_netd_is_away_what_runs_goes_on_and_what_is_new_is_refused_with_its_code(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    study = _sending(plant)
    assert plant.netd is not None
    plant.netd.signal(signal.SIGKILL)
    plant.netd.wait()
    refused = plant.echo()
    assert refused.returncode != 0 and "Temporary Congestion" in refused.stdout
    assert "WG847" in plant.log
    _whole(plant, study)


def test_a_gateway_that_reloads_keeps_its_sockets_in_the_plant(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    study = _sending(plant)
    assert plant.gateway is not None
    plant.gateway.signal(signal.SIGHUP)
    until(lambda: "WG203" in plant.log or "generation=2" in plant.log, "the new generation serves")
    _whole(plant, study)
    assert plant.echo().returncode == 0


def test_a_connection_whose_packets_are_fragments_is_taken(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    assert plant.echo().returncode == 0
    dump = _dump(plant.modality, plant.folder / "frag.log", f"tcp src port {CLEAR}")
    plant.forge(plant.modality, "fragments", MODALITY, PACS, "40404", str(CLEAR), plant.pacs.mac())
    until(lambda: any(f["to"] == f"{MODALITY}.40404" and "Flags [S.]" in f["line"] for f in frames(dump.log)), "it is answered")
    dump.stop()
    fragments = plant.counters()["refused_modality"]
    plant.forge(plant.modality, "fragments", MODALITY, INTRUDER, "40405", "80", plant.intruder.mac())
    until(lambda: plant.counters()["refused_modality"] >= fragments + 2, "fragments that no rule names are refused")


def test_a_flood_of_syns_from_the_hospital_side_does_not_stop_a_study(plant: Plant) -> None:
    """What its speed is then is measured by `make bench-cable`; here every image arrives and nothing else reaches the modality."""
    plant.start_pacs()
    plant.start()
    study = _sending(plant)
    seen = _dump(plant.modality, plant.folder / "seen.log", f"dst host {MODALITY} and (tcp dst port {STORE} or tcp dst port {BACK})")
    # In the PACS's name to the port that is taken; in a stranger's name to the modality's own.
    plant.forge(plant.intruder, "syns", PACS, MODALITY, str(BACK), plant.modality.mac(), "2500")
    plant.forge(plant.intruder, "syns", "10.77.0.99", MODALITY, str(STORE), plant.modality.mac(), "2500")
    _whole(plant, study)
    seen.stop()
    assert not frames(seen.log)
    counters = plant.counters()
    assert counters["refused_hospital"] >= 2000
    assert counters["flood_hospital"] >= 1500, "with another MAC than the PACS's: some a second are answered, the rest not"
    assert plant.echo().returncode == 0


def test_while_its_name_is_flooded_the_pacs_itself_still_reaches_the_modality(plant: Plant) -> None:
    plant.start_pacs()
    plant.start_modality()
    plant.start()
    assert plant.echo().returncode == 0  # the PACS's MAC is known
    words = ["syns", PACS, MODALITY, str(BACK), plant.modality.mac(), "1000000"]  # more than anybody waits for
    argv = [sys.executable, "-m", "support.forge", "eth0", *words]
    flood = plant.intruder.start(argv, plant.folder / "flood.log", ENVIRONMENT)
    plant.programs.append(flood)
    until(lambda: plant.counters()["flood_hospital"] > 1000, "the flood is there")
    before = _syns_again(plant.pacs)
    for _ in range(3):
        assert plant.back().returncode == 0
    assert _syns_again(plant.pacs) == before, "no SYN of it had to be sent again"
    assert flood.running()


def _syns_again(place: Namespace) -> int:
    """How many SYNs a station had to send again."""
    names, values = (line.split() for line in place.do("cat", "/proc/net/netstat").splitlines() if line.startswith("TcpExt:"))
    return int(dict(zip(names, values, strict=True))["TCPSynRetrans"])


def test_ipv6_is_carried_like_ipv4(plant: Plant) -> None:
    plant.settings.modality_addresses = [MODALITY, MODALITY6]
    plant.settings.pacs_addresses = [PACS, PACS6]
    plant.settings.listen = [f"{PACS}:{CLEAR}", f"[{PACS6}]:{CLEAR}"]
    plant.settings.back = [f"{MODALITY}:{BACK}", f"[{MODALITY6}]:{BACK}"]
    plant.start()
    outside = _dump(plant.pacs, plant.folder / "six.log", f"ip6 and tcp dst port {TLS}")
    # DCMTK here speaks IPv4 only: plain sockets show that the box stands in for both ends.
    server = plant.pacs.start(
        [
            "python3",
            "-c",
            SERVER_OVER_SIX,
            str(TLS),
        ],
        plant.folder / "six-server.log",
    )
    plant.programs.append(server)
    until(lambda: "up" in server.log, "the IPv6 server is up")
    words = ["python3", "-c", ECHO_RQ_OVER_SIX, PACS6, str(CLEAR)]
    plant.programs.append(plant.modality.start(words, plant.folder / "six-client.log"))
    until(lambda: f"{MODALITY6} b'\\x16'" in server.log, "a TLS client hello came from the modality's own IPv6 address")
    outside.stop()
    assert {f["from_mac"] for f in frames(outside.log)} == {plant.modality.mac()}


SERVER_OVER_SIX = """
import socket, sys
s = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6)
print("up", flush=True)
c, a = s.accept()
print(a[0], c.recv(1), flush=True)
"""
ECHO_RQ_OVER_SIX = """
import socket, struct, sys, time
def item(kind, body): return struct.pack("!BBH", kind, 0, len(body)) + body
context = item(0x20, b"\\1\\0\\0\\0" + item(0x30, b"1.2.840.10008.1.1") + item(0x40, b"1.2.840.10008.1.2"))
user = item(0x50, item(0x51, struct.pack("!I", 16384)) + item(0x52, b"1.2.3"))
body = b"\\0\\1\\0\\0" + b"PACS".ljust(16) + b"CT1".ljust(16) + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
s.send(b"\\1\\0" + struct.pack("!I", len(body)) + body)
time.sleep(60)
"""


def test_netd_gives_no_socket_that_policy_does_not_name(plant: Plant) -> None:
    plant.start_netd()
    netd = str(plant.folder / "netd" / "netd.sock")
    for request in (
        {"op": "listen", "endpoint": f"{PACS}:22"},
        {"op": "connect", "target": f"{INTRUDER}:{TLS}", "source": f"{MODALITY}:0"},
        {"op": "connect", "target": f"{PACS}:{TLS}", "source": f"{INTRUDER}:0"},
        {"op": "connect", "target": f"{PACS}:{CLEAR}", "source": f"{MODALITY}:0"},
        {"op": "no such thing"},
        {"op": "listen", "endpoint": "nonsense"},
    ):
        answer, fd = wire.ask(netd, request)
        assert answer["ok"] is False and fd is None, request
    answer, fd = wire.ask(netd, {"op": "status"})
    assert answer["ok"] is True
    assert "WG846" in plant.log


def test_a_stranger_is_turned_away_by_netd(plant: Plant) -> None:
    plant.start_netd()
    plant.folder.chmod(0o755)
    netd = plant.folder / "netd" / "netd.sock"
    ask = f"import socket; s = socket.socket(1, 5); s.connect('{netd}'); s.send(b'x'); print(s.recv(9))"
    done = plant.box.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", ask)
    assert done.returncode != 0 or "b''" in done.stdout, done.stdout
    until(lambda: "WG845" in plant.log, "netd says who asked")
