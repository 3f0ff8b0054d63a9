"""The cable where it needs more of the kernel: `meta broute`, bridge connection tracking, VLANs, jumbo frames, real carriers.

What this kernel lacks is skipped with its name; all of it runs in the guest of `tests/image/test_guest_cable.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import datasets, nics
from support.netns import Namespace, can
from support.peers import have
from support.plant import CLEAR, MODALITY, PACS, TLS, Plant
from support.processes import Program, run, until
from wardgate.plant.features import Features
from wardtools.pki import Pki

pytestmark = [
    pytest.mark.skipif(can() is not None, reason=str(can())),
    pytest.mark.skipif(not have("storescu", "storescp", "echoscu"), reason="DCMTK is not installed"),
]
VLAN = 120
ALLOW = f"""[[plant.allow]]
name = "ping"
service = "ping"
addresses = ["{PACS}"]
[[plant.allow]]
name = "dns"
service = "dns"
addresses = ["{PACS}"]
"""


@pytest.fixture(scope="module")
def features() -> Features:
    """What this kernel has; said first."""
    from wardgate.plant.features import lines
    from wardgate.plant.probe import probe

    found = probe()
    print("\n".join(lines(found)))
    return found


def _need(features: Features, name: str) -> None:
    if not getattr(features, name):
        pytest.skip(f"this kernel or nft lacks {name}: runs in the guest of tests/image/test_guest_cable.py")


@contextmanager
def _plant(folder: Path, pki: Pki, **how: object) -> Iterator[Plant]:
    """A plant that runs, with both DCMTK ends."""
    made = Plant(folder, pki, **how)  # type: ignore[arg-type]
    try:
        made.settings.tables.append(ALLOW)
        made.start_pacs()
        made.start_modality()
        made.start()
        yield made
    finally:
        made.close()


def _dump(place: Namespace, device: str, log: Path, what: str) -> Program:
    program = place.start(["tcpdump", "-e", "-n", "-l", "--immediate-mode", "-i", device, what], log)
    until(lambda: "listening on" in program.log, "tcpdump listens")
    return program


def test_the_rule_set_uses_what_this_kernel_has(features: Features, folder: Path, pki: Pki) -> None:
    with _plant(folder, pki) as plant:
        assert plant.echo().returncode == 0, plant.log
        rules = plant.box.do("nft", "list", "ruleset")
        assert ("meta broute set 1" in rules or "broute set 1" in rules) == features.broute
        assert ("ether daddr set" in rules) != features.broute
        assert ("ct state established" in rules) == features.bridge_conntrack


def test_with_connection_tracking_an_answer_that_nobody_asked_for_does_not_pass(features: Features, folder: Path, pki: Pki) -> None:
    _need(features, "bridge_conntrack")
    send = "import socket; u = socket.socket(2, 2); u.bind(('', {own})); u.sendto(b'x', ({host!r}, {port}))"
    unasked = send.format(own=53, host=MODALITY, port=40000)
    with _plant(folder, pki) as plant:
        assert plant.echo().returncode == 0, plant.log
        heard = _dump(plant.modality, "eth0", folder / "dns.log", "udp port 40000")
        refused = plant.counters()["refused_hospital"]
        plant.pacs.do("python3", "-c", unasked)
        until(lambda: plant.counters()["refused_hospital"] > refused, "it is refused")
        plant.modality.do("python3", "-c", send.format(own=40000, host=PACS, port=53))
        plant.pacs.do("python3", "-c", unasked)
        until(lambda: f"{PACS}.53 > {MODALITY}.40000" in heard.log, "an answer passes")
        assert heard.log.count(f"{PACS}.53 > {MODALITY}.40000") == 1
        heard.stop()


def test_on_a_trunk_the_box_stands_in_the_modalitys_vlan_and_tags_are_kept(features: Features, folder: Path, pki: Pki) -> None:
    _need(features, "vlan_devices")
    with _plant(folder, pki, vlan=VLAN) as plant:
        clear = _dump(plant.modality, "trunk", folder / "v1.log", "vlan and tcp")
        secured = _dump(plant.switch, "trunk", folder / "v2.log", "vlan and tcp")
        assert plant.echo().returncode == 0, plant.log
        assert plant.back().returncode == 0, plant.log
        until(lambda: f"{PACS}.{CLEAR}" in clear.log and f"{PACS}.{TLS}" in secured.log, "both captures have the study")
        clear.stop()
        secured.stop()
        for log in (clear.log, secured.log):
            lines = [line for line in log.splitlines() if " > " in line]
            assert lines and all(f"vlan {VLAN}," in line for line in lines), log
            assert {mac for line in lines for mac in line.split(",")[0].split()[1::2]} <= {plant.modality.mac(), plant.pacs.mac()}
        assert f".{TLS}" not in clear.log and f"{PACS}.{CLEAR}" not in secured.log

        # Nothing without a tag, nothing of another VLAN, but EAPOL, which has none.
        before = plant.counters()
        inside = _dump(plant.modality, "trunk", folder / "v3.log", f"ether src {plant.switch.mac('trunk')}")
        plant.switch.do("ip", "addr", "add", "10.99.0.1/24", "dev", "trunk")
        plant.touch(plant.switch, "10.99.0.2")
        plant.forge(plant.switch, "tagged", "5", device="trunk")
        plant.forge(plant.switch, "tagged", str(VLAN + 1), device="trunk")
        plant.forge(plant.switch, "eapol", device="trunk")
        until(lambda: "EAPOL" in inside.log, "EAPOL has passed")
        inside.stop()
        assert all("EAPOL" in line for line in inside.log.splitlines() if " > " in line), inside.log
        after = plant.counters()
        assert after["tagged"] >= before["tagged"] + 2 and after["refused_trunk"] > before["refused_trunk"]
        for port in (22, CLEAR, TLS):
            assert plant.intruder.run("timeout", "2", "bash", "-c", f"echo >/dev/tcp/{MODALITY}/{port}").returncode != 0


@pytest.mark.parametrize("vlan", [0, VLAN])
def test_jumbo_frames_pass_and_are_used_on_both_legs(features: Features, folder: Path, pki: Pki, vlan: int) -> None:
    if vlan:
        _need(features, "vlan_devices")
    with _plant(folder, pki, vlan=vlan, mtu=9000) as plant:
        for device in ("mod0", "hosp0"):
            assert json.loads(plant.box.do("ip", "-j", "link", "show", "dev", device))[0]["mtu"] == 9000
        # Segmentation would be left to the device, and then even small segments look large.
        for place, device in ((plant.modality, "eth0"), (plant.pacs, "eth0"), (plant.box, "mod0"), (plant.box, "hosp0")):
            place.do("ip", "link", "set", "dev", device, "gso_max_size", "9014", "gso_max_segs", "1")
        large = "tcp and greater 4000 and less 9100"
        clear = _dump(plant.modality, "eth0", folder / "j1.log", large)
        secured = _dump(plant.pacs, "eth0", folder / "j2.log", large)
        sent = datasets.generate(folder / "sent", 1, rows=256)
        assert plant.store(*(sample.path for sample in sent)).returncode == 0, plant.log
        until(lambda: f"{PACS}.{CLEAR}" in clear.log and f"{PACS}.{TLS}" in secured.log, "large segments on both legs")
        syn = "mss 8960"
        greeting = _dump(plant.pacs, "eth0", folder / "j3.log", f"tcp[tcpflags] & tcp-syn != 0 and dst port {TLS}")
        assert plant.echo().returncode == 0
        until(lambda: syn in greeting.log, "the box offers segments of 8960 bytes")
        for dump in (clear, secured, greeting):
            dump.stop()
        # What is only bridged passes too: an echo request of 8,000 bytes that may not be cut.
        passed = plant.counters()["allow_ping"]
        plant.forge(plant.modality, "echo", MODALITY, PACS, plant.pacs.mac(), "8000")
        until(lambda: plant.counters()["allow_ping"] >= passed + 2, "a large echo request and its reply pass")


@pytest.mark.skipif(
    "WARDGATE_GUEST" not in os.environ, reason="the carrier of a real driver: runs in the guest of tests/image/test_guest_cable.py"
)
@pytest.mark.parametrize("side, gone, other", [("hospital", "hosp0", "mod0"), ("modality", "mod0", "hosp0")])
def test_a_cable_that_is_cut_is_shown_on_the_other_port_by_a_real_driver(folder: Path, pki: Pki, side: str, gone: str, other: str) -> None:
    made = Plant(folder, pki, cable=nics.cable)
    try:
        made.settings.plant["link_loss"] = True
        made.start_pacs()
        made.start()
        until(lambda: made.echo().returncode == 0, "the modality reaches the PACS")

        def flags(device: str) -> list[str]:
            return list(json.loads(made.box.do("ip", "-j", "link", "show", "dev", device))[0]["flags"])

        nics.cut(side, whole=False)
        until(lambda: "NO-CARRIER" in flags(gone), "the driver tells of the cut")
        until(lambda: "UP" not in flags(other), "the other port is put down")
        assert "WG843" in made.log
        nics.cut(side, whole=True)
        until(lambda: "LOWER_UP" in flags(other) and "LOWER_UP" in flags(gone), "both ports are up again")
        until(lambda: made.echo().returncode == 0, "the modality reaches the PACS again")
    finally:
        made.close()
        assert run(["ip", "link", "show"]).returncode == 0
