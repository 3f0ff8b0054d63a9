"""The box in the cable, seen by DCMTK at either end, which knows of no box. Network namespaces are the plant."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import datasets
from support.netns import Namespace, can
from support.peers import have
from support.plant import BACK, CLEAR, INTRUDER, MODALITY, MODALITY6, PACS, PACS6, STORE, TLS, Plant, frames, neighbour
from support.processes import Program, until
from wardtools.pki import Pki

pytestmark = [
    pytest.mark.skipif(can() is not None, reason=str(can())),
    pytest.mark.skipif(not have("storescu", "storescp", "echoscu"), reason="DCMTK is not installed"),
]


@pytest.fixture(scope="module")
def plant(pki: Pki) -> Iterator[Plant]:
    """A plant that runs, with both DCMTK ends; first of all it says what this kernel lacks."""
    from wardgate.plant.features import lines
    from wardgate.plant.probe import probe

    print("\n".join(lines(probe())))
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        made = Plant(Path(name), pki)
        try:
            made.settings.modality_addresses.append(MODALITY6)
            made.settings.tables.append('[[plant.allow]]\nname = "dns"\nservice = "dns"\naddresses = ["10.77.0.20"]\n')
            made.start_pacs()
            made.start_modality()
            made.start()
            yield made
        finally:
            made.close()


def _dump(place: Namespace, log: Path, what: str = "tcp") -> Program:
    program = place.start(["tcpdump", "-e", "-n", "-l", "--immediate-mode", "-i", "eth0", what], log)
    until(lambda: "listening on" in program.log, "tcpdump listens")
    return program


def _ended(log: str) -> bool:
    return "Flags [F" in log or "Flags [R" in log


def test_the_modality_stores_in_the_pacs_and_neither_knows_of_the_box(plant: Plant) -> None:
    done = plant.echo()
    assert done.returncode == 0, done.stdout + plant.log


def test_addresses_ports_and_macs_are_preserved_towards_the_hospital(plant: Plant) -> None:
    inside = _dump(plant.modality, plant.folder / "d1.log")
    outside = _dump(plant.pacs, plant.folder / "d2.log")
    assert plant.echo().returncode == 0
    until(lambda: _ended(inside.log) and _ended(outside.log), "both captures have the end")
    clear, secured = frames(inside.log), frames(outside.log)
    inside.stop()
    outside.stop()
    asked = next(f for f in clear if f["to"] == f"{PACS}.{CLEAR}")
    sent = next(f for f in secured if f["to"] == f"{PACS}.{TLS}")
    assert asked["from"] == sent["from"]  # address and port
    assert (asked["from_mac"], asked["to_mac"]) == (sent["from_mac"], sent["to_mac"]) == (plant.modality.mac(), plant.pacs.mac())
    answers = [f for f in clear if f["from"] == f"{PACS}.{CLEAR}"]
    assert answers
    assert {(f["from_mac"], f["to_mac"]) for f in answers} == {(plant.pacs.mac(), plant.modality.mac())}
    assert {f["from_mac"] for f in clear + secured} == {plant.modality.mac(), plant.pacs.mac()}


def test_addresses_ports_and_macs_are_preserved_towards_the_modality(plant: Plant) -> None:
    inside = _dump(plant.modality, plant.folder / "d3.log")
    outside = _dump(plant.pacs, plant.folder / "d4.log")
    done = plant.back()
    assert done.returncode == 0, done.stdout + plant.log
    until(lambda: _ended(inside.log) and _ended(outside.log), "both captures have the end")
    clear, secured = frames(inside.log), frames(outside.log)
    inside.stop()
    outside.stop()
    asked = next(f for f in secured if f["to"] == f"{MODALITY}.{BACK}")
    handed = next(f for f in clear if f["to"] == f"{MODALITY}.{STORE}")
    assert asked["from"] == handed["from"] and asked["from"].startswith(PACS)
    assert (asked["from_mac"], asked["to_mac"]) == (handed["from_mac"], handed["to_mac"]) == (plant.pacs.mac(), plant.modality.mac())
    assert {f["from_mac"] for f in clear + secured} == {plant.modality.mac(), plant.pacs.mac()}


def test_what_the_modality_says_in_clear_is_tls_on_the_hospital_side(plant: Plant) -> None:
    outside = plant.pacs.start(["tcpdump", "-n", "-l", "-U", "-X", "-i", "eth0", "tcp"], plant.folder / "d5.log")
    inside = plant.modality.start(["tcpdump", "-n", "-l", "-U", "-X", "-i", "eth0", "tcp"], plant.folder / "d6.log")
    until(lambda: "listening on" in outside.log and "listening on" in inside.log, "tcpdump listens")
    assert plant.echo().returncode == 0
    until(lambda: _ended(inside.log) and _ended(outside.log), "both captures have the end")
    inside.stop()
    outside.stop()
    application_context = "1.2.840.10008.3.1.1.1"  # in every A-ASSOCIATE-RQ, PS3.7 A.2.1
    text = ["".join(line.split("  ")[-1] for line in log.splitlines() if line.startswith("\t0x")) for log in (inside.log, outside.log)]
    assert application_context[:15] in text[0].replace("\n", "") and application_context[:15] not in text[1]


def test_a_study_arrives_byte_for_byte_with_a_custody_record_each(plant: Plant) -> None:
    sent = datasets.generate(plant.folder / "sent", 5, study=7)
    done = plant.store(*(sample.path for sample in sent))
    assert done.returncode == 0, done.stdout + plant.log
    arrived = datasets.samples(plant.folder / "pacs")
    assert {s.sop_instance: s.sha256 for s in sent}.items() <= {k: v.sha256 for k, v in arrived.items()}.items()


def test_an_intruder_on_the_hospital_side_reaches_nothing_of_the_modality(plant: Plant) -> None:
    before = plant.counters()
    dump = _dump(plant.modality, plant.folder / "d11.log", f"ether src {plant.intruder.mac()} and not (icmp6 and ip6[40] >= 133)")
    ports = (22, STORE, 80, BACK, CLEAR, TLS)
    with ThreadPoolExecutor(len(ports)) as pool:
        knocked = pool.map(lambda port: plant.intruder.run("timeout", "2", "bash", "-c", f"echo >/dev/tcp/{MODALITY}/{port}"), ports)
        assert all(done.returncode != 0 for done in knocked)
    for port in (9, 53, 104, 161):
        plant.touch(plant.intruder, MODALITY, port)
        plant.touch(plant.intruder, MODALITY6, port)
    plant.forge(plant.intruder, "echo", INTRUDER, MODALITY, plant.modality.mac())
    plant.forge(plant.intruder, "arp", INTRUDER, "10.77.0.8")
    until(lambda: "who-has 10.77.0.8" in dump.log, "what was sent last has arrived")
    dump.stop()
    assert not frames(dump.log), dump.log  # nothing but ARP and neighbour discovery
    after = plant.counters()
    assert after["refused_hospital"] > before["refused_hospital"]
    until(lambda: any("WG841" in line and f"peer={INTRUDER}" in line for line in plant.log.splitlines()), "the refusal is logged")


def test_the_box_answers_nobody_by_itself(plant: Plant) -> None:
    dump = _dump(plant.intruder, plant.folder / "d7.log", "ether src 02:57:47:00:00:01")
    assert plant.echo().returncode == 0
    assert plant.back().returncode == 0
    plant.touch(plant.intruder, MODALITY6)
    plant.touch(plant.intruder, "ff02::1%eth0")
    dump.stop()
    assert not frames(dump.log), dump.log


def test_arp_and_neighbour_discovery_pass(plant: Plant) -> None:
    plant.modality.do("ip", "neigh", "flush", "all")
    plant.pacs.do("ip", "neigh", "flush", "all")
    plant.touch(plant.modality, PACS)  # refused; but the address is resolved
    until(lambda: neighbour(plant.modality, PACS) == plant.pacs.mac(), "the modality knows the PACS")
    plant.touch(plant.modality, PACS6)
    until(lambda: neighbour(plant.modality, PACS6) == plant.pacs.mac(), "the modality knows the PACS by IPv6")


def test_arp_in_the_modalitys_name_does_not_pass(plant: Plant) -> None:
    dump = _dump(plant.modality, plant.folder / "d8.log", "arp")
    before = plant.counters()["spoofed_arp"]
    plant.forge(plant.intruder, "arp", MODALITY, PACS)
    plant.pacs.do("ip", "neigh", "flush", "all")  # the PACS's own belief is not the box's to guard
    until(lambda: plant.counters()["spoofed_arp"] > before, "the forged ARP is counted")
    plant.forge(plant.intruder, "arp", INTRUDER, "10.77.0.9")  # an honest one passes
    until(lambda: f"who-has 10.77.0.9 tell {INTRUDER}" in dump.log, "the honest ARP passed")
    dump.stop()
    assert f"tell {MODALITY}" not in "".join(line for line in dump.log.splitlines() if plant.intruder.mac() in line.split(" > ")[0])


def test_neighbour_discovery_in_the_modalitys_name_does_not_pass(plant: Plant) -> None:
    dump = _dump(plant.modality, plant.folder / "d12.log", "icmp6 and ip6[40] == 136")
    before = plant.counters()["spoofed_address"] + plant.counters()["spoofed_nd"]
    plant.forge(plant.intruder, "nd", MODALITY6)
    until(lambda: plant.counters()["spoofed_address"] + plant.counters()["spoofed_nd"] > before, "the forged advertisement is counted")
    plant.forge(plant.intruder, "nd", "fd77::66")  # an honest one passes
    until(lambda: "fd77::66" in dump.log, "the honest advertisement passed")
    dump.stop()
    assert f"tgt is {MODALITY6}," not in dump.log, dump.log


def test_the_modalitys_side_cannot_pose_as_another_station_by_arp(plant: Plant) -> None:
    dump = _dump(plant.pacs, plant.folder / "d9.log", "arp")
    before = plant.counters()["spoofed_arp"]
    plant.forge(plant.modality, "arp", "10.77.0.1", PACS)
    until(lambda: plant.counters()["spoofed_arp"] > before, "the forged ARP is counted")
    plant.forge(plant.modality, "arp", MODALITY, "10.77.0.9")
    until(lambda: f"who-has 10.77.0.9 tell {MODALITY}" in dump.log, "the honest ARP passed")
    dump.stop()
    assert "tell 10.77.0.1," not in dump.log


def test_a_frame_with_the_modalitys_mac_from_the_hospital_side_is_dropped(plant: Plant) -> None:
    before = plant.counters()["spoofed_mac"]
    plant.forge(plant.intruder, "mac", plant.modality.mac())
    until(lambda: plant.counters()["spoofed_mac"] > before, "it is counted")
    assert plant.echo().returncode == 0


def test_tagged_frames_are_refused_and_counted_here(plant: Plant) -> None:
    """Interception on a VLAN needs VLAN devices, which this kernel lacks: for the QEMU test."""
    before = plant.counters()["tagged"]
    plant.forge(plant.intruder, "tagged", "5")
    until(lambda: plant.counters()["tagged"] > before, "it is counted")


def test_eapol_passes_both_ways(plant: Plant) -> None:
    for here, there in ((plant.modality, plant.switch), (plant.switch, plant.modality)):
        log = plant.folder / f"eapol-{here.name}.log"
        device = "p1" if there is plant.switch else "eth0"
        dump = there.start(["tcpdump", "-e", "-n", "-l", "--immediate-mode", "-i", device, "ether proto 0x888e"], log)
        until(lambda: "listening on" in dump.log, "tcpdump listens")  # noqa: B023

        def passes(here: Namespace = here, dump: Program = dump) -> bool:
            plant.forge(here, "eapol", device="p1" if here is plant.switch else "eth0")  # again and again, as a supplicant does
            return "EAPOL" in dump.log

        until(passes, f"EAPOL of {here.name} has passed")
        dump.stop()


def test_a_segment_of_no_connection_changes_nothing(plant: Plant) -> None:
    """In the PACS's name, to ports that are taken: the protocol stack answers or ignores, the modality never sees it."""
    dump = _dump(plant.modality, plant.folder / "d10.log")
    for source_port, port in ((TLS, 40000), (50000, BACK)):
        plant.forge(plant.intruder, "segment", PACS, MODALITY, str(source_port), str(port), plant.modality.mac())
    assert plant.echo().returncode == 0
    dump.stop()
    assert "forged" not in dump.log
    assert not [f for f in frames(dump.log) if f["to"] in (f"{MODALITY}.40000", f"{MODALITY}.{BACK}")]


NAME_SERVER = """
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("", 53))
print("up", flush=True)
while True:
    data, caller = u.recvfrom(99)
    u.sendto(data, caller)
"""
NAME_CLIENT = """
import socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(float(sys.argv[2]))
u.sendto(b"q", (sys.argv[1], 53))
u.recv(9)
"""


def test_what_the_allow_list_names_passes_and_what_it_does_not_name_does_not(plant: Plant) -> None:
    named = plant.pacs.start(["python3", "-c", NAME_SERVER], plant.folder / "dns1.log")
    other = plant.intruder.start(["python3", "-c", NAME_SERVER], plant.folder / "dns2.log")
    try:
        until(lambda: "up" in named.log and "up" in other.log, "both name servers are up")
        assert plant.modality.run("python3", "-c", NAME_CLIENT, PACS, "50").returncode == 0
        assert plant.modality.run("python3", "-c", NAME_CLIENT, INTRUDER, "3").returncode != 0
        assert plant.counters()["allow_dns"] >= 2
    finally:
        named.stop()
        other.stop()
