"""What passes the cable beside DICOM, each as policy says, and the rights of the two processes. Network namespaces are the plant."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from support.netns import Namespace, can
from support.peers import have
from support.plant import CLEAR, INTRUDER, PACS, TLS, Plant
from support.processes import Program, children, until

pytestmark = [
    pytest.mark.skipif(can() is not None, reason=str(can())),
    pytest.mark.skipif(not have("storescu", "storescp", "echoscu"), reason="DCMTK is not installed"),
]
HOUR = 3600
NET_ADMIN, NET_RAW = 1 << 12, 1 << 13  # linux/capability.h
BPDUS = "ether dst 01:80:c2:00:00:00 or ether proto 0x88cc"  # IEEE 802.1Q Table 8-1: bridges' own; LLDP


def _dump(place: Namespace, log: Path, what: str, device: str = "eth0") -> Program:
    program = place.start(["tcpdump", "-e", "-n", "-l", "--immediate-mode", "-i", device, what], log)
    until(lambda: "listening on" in program.log, "tcpdump listens")
    return program


def _allow(name: str, address: str, port: int, hours: str) -> str:
    return f'[[plant.allow]]\nname = "{name}"\nservice = "tcp"\nports = [{port}]\naddresses = ["{address}"]\nhours = "{hours}"\n'


def _window(begin: float, end: float) -> str:
    return "-".join(time.strftime("%H:%M", time.gmtime(moment)) for moment in (begin, end))


def test_a_vendors_service_is_reached_within_its_hours_only(plant: Plant) -> None:
    now = time.time()
    since_midnight = now % (24 * HOUR)
    if since_midnight < 2 * HOUR or since_midnight > 21 * HOUR:  # a window does not go over midnight
        inside, outside = ("00:00-23:59", "12:00-12:01")
    else:
        inside, outside = _window(now - HOUR, now + HOUR), _window(now + HOUR, now + 2 * HOUR)
    plant.settings.tables += [_allow("now", PACS, 8443, inside), _allow("later", INTRUDER, 8443, outside)]
    plant.start_netd()
    for place in (plant.pacs, plant.intruder):
        code = "import socket\ns=socket.create_server(('',8443))\nwhile 1: s.accept()"
        plant.programs.append(place.start(["python3", "-c", code], plant.folder / f"{place.name}.log"))
        until(lambda: place.listens(8443), "the vendor's service listens")  # noqa: B023

    def reaches(host: str) -> bool:
        return plant.modality.run("timeout", "2", "bash", "-c", f"echo >/dev/tcp/{host}/8443").returncode == 0

    until(lambda: reaches(PACS), "the service within its hours is reached")
    assert not reaches(INTRUDER)


@pytest.mark.parametrize("wanted", [False, True])
def test_lldp_passes_by_policy_only_and_no_bridge_protocol_begins_here(plant: Plant, wanted: bool) -> None:
    plant.settings.plant["lldp"] = wanted
    plant.start_netd()
    inside = _dump(plant.modality, plant.folder / "inside.log", BPDUS)
    outside = _dump(plant.switch, plant.folder / "outside.log", BPDUS, "p1")

    def known() -> bool:  # the modality has said something that teaches who it is
        plant.touch(plant.modality, PACS)
        return bool(plant.status()["stations"])

    until(known, "the modality is known")
    senders = {plant.modality.mac(), plant.switch.mac("p1")}

    def came() -> list[set[str]]:  # again and again, as a station does; while a new rule set replaces the old one, frames are dropped
        plant.forge(plant.modality, "lldp")
        plant.forge(plant.switch, "lldp", device="p1")
        return [{line.split()[1] for line in dump.log.splitlines() if "LLDP" in line} for dump in (inside, outside)]

    if wanted:
        until(lambda: came() == [senders, senders], "LLDP of both has passed")
    time.sleep(2.5)  # more than a hello time (IEEE 802.1Q 13.25): a bridge that spoke STP would have said so
    if not wanted:
        own = [{plant.modality.mac()}, {plant.switch.mac("p1")}]
        until(lambda: came() == own, "each capture has what was sent where it listens")
        assert [came() for _ in range(4)][-1] == own
    for dump in (inside, outside):
        dump.stop()
        assert "STP" not in dump.log


def test_dhcp_passes_to_the_named_server_and_another_servers_answer_does_not(plant: Plant) -> None:
    plant.settings.tables.append(f'[[plant.allow]]\nname = "addresses"\nservice = "dhcp"\naddresses = ["{PACS}"]\n')
    plant.start_netd()
    asked = _dump(plant.pacs, plant.folder / "asked.log", "udp dst port 67")
    answered = _dump(plant.modality, plant.folder / "answered.log", "udp dst port 68")

    def arrives() -> bool:
        plant.forge(plant.modality, "dhcp", "0.0.0.0", "255.255.255.255", "68", "67", "ff:ff:ff:ff:ff:ff")
        return "0.0.0.0.68 > 255.255.255.255.67" in asked.log

    until(arrives, "the server hears the modality ask")

    def answers() -> bool:
        for place, address in ((plant.intruder, INTRUDER), (plant.pacs, PACS)):
            plant.forge(place, "dhcp", address, "255.255.255.255", "67", "68", "ff:ff:ff:ff:ff:ff")
        return f"{PACS}.67 > 255.255.255.255.68" in answered.log

    until(answers, "the modality hears the named server")
    asked.stop()
    answered.stop()
    assert INTRUDER not in answered.log


def test_only_netd_has_capabilities_and_only_its_two(plant: Plant) -> None:
    plant.start_pacs()
    plant.start()
    assert plant.echo().returncode == 0
    assert plant.netd is not None and plant.gateway is not None
    assert _rights(plant.netd.pid) == {NET_ADMIN | NET_RAW}
    family = [plant.gateway.pid, *children(plant.gateway.pid)]
    assert len(family) >= 3, "master, worker, custody writer"
    assert {right for pid in family for right in _rights(pid)} == {0}


def _rights(pid: int) -> set[int]:
    """What a process has, and what it could get; nothing of one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return set()
    return {int(found, 16) for found in re.findall(r"^Cap(?:Prm|Eff|Bnd):\s+(\S+)", status, re.MULTILINE)}


def test_a_forged_segment_out_of_window_does_not_harm_an_association(plant: Plant) -> None:
    """With the addresses and ports of the running leg, in the PACS's name: the stack of the box judges the sequence number."""
    plant.start_pacs()
    plant.start()
    words = ["echoscu", "-v", "--repeat", "1500", "-aet", "CT1", "-aec", "PACS", PACS, str(CLEAR)]
    for turn in range(5):  # on a busy machine one may be over before it is stopped
        echo = plant.modality.start(words, plant.folder / f"echo{turn}.log")
        plant.programs.append(echo)
        until(lambda: echo.log.count("Success") > 20, "the association runs")  # noqa: B023
        echo.signal(signal.SIGSTOP)  # it waits meanwhile
        port = re.search(rf"{PACS}:{TLS} +\S+:(\d+)", plant.pacs.do("ss", "-Htn", "state", "established"))
        if port is not None and echo.running():
            break
        echo.signal(signal.SIGCONT)
    assert port is not None
    before = plant.counters()["dicom_hospital"]
    for _ in range(3):
        plant.forge(plant.intruder, "segment", PACS, plant.settings.modality_addresses[0], str(TLS), port[1], plant.modality.mac())
    until(lambda: plant.counters()["dicom_hospital"] > before, "the box has seen them")
    echo.signal(signal.SIGCONT)
    assert echo.wait(120) == 0 and echo.log.count("Received Echo Response (Success)") == 1500
