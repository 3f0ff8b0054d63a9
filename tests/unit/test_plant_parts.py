"""Small parts of the plant: frames, what is learned from them, link loss, break-glass, the wire, the dry run's report."""

from __future__ import annotations

import contextlib
import os
import socket
import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest

from support.plantconfig import BRIDGE, GATEWAY, plant_config
from wardgate.plant import wire
from wardgate.plant.features import INSTEAD, Features, lines
from wardgate.plant.frames import ask, read
from wardgate.plant.glass import Glass
from wardgate.plant.learner import Change, Learner, Stranger
from wardgate.plant.mirror import GRACE_SECONDS, Act, Mirror
from wardgate.plant.observe import report
from wardgate.policy.plant import BreakGlass, MacRule, Neighbour, Plant, Ports, Side

M, P, X = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:66"
MODALITY, PACS = "192.0.2.10", "192.0.2.20"


def syn(source: str, destination: str, source_mac: str, destination_mac: str, flags: int = 0x02) -> bytes:
    """Return a frame with a TCP header that has `flags`."""
    macs = bytes.fromhex((destination_mac + source_mac).replace(":", ""))
    header = bytes([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]) + socket.inet_aton(source) + socket.inet_aton(destination)
    return macs + b"\x08\0" + header + bytes(13) + bytes([flags]) + bytes(6)


def learner(**plant: object) -> Learner:
    """Return a learner of one modality and one PACS."""
    return Learner(Plant(Ports.BRIDGE, **plant), [ip_network(MODALITY)], [ip_network(PACS)])  # type: ignore[arg-type]


def hear(who: Learner, side: Side, frame: bytes, now: float = 0.0) -> list[Change | Stranger]:
    """Let a learner hear a frame."""
    seen = read(frame)
    assert seen is not None
    return who.frame(side, seen, now)


def test_a_frame_tells_its_addresses_and_whether_it_opens_a_connection() -> None:
    seen = read(syn(MODALITY, PACS, M, P))
    assert seen is not None
    assert (seen.source_mac, seen.destination_mac, seen.source, seen.destination, seen.opens) == (M, P, MODALITY, PACS, True)
    assert not read(syn(MODALITY, PACS, M, P, 0x12)).opens  # type: ignore[union-attr]


@pytest.mark.parametrize("length", range(60))
def test_a_frame_cut_anywhere_is_read_without_harm(length: int) -> None:
    for frame in (syn(MODALITY, PACS, M, P), ask(PACS, MODALITY, M), ask("2001:db8::20", "2001:db8::10", M)):
        read(frame[:length])


def test_questions_for_a_neighbour_are_in_the_modalitys_name() -> None:
    seen = read(ask(PACS, MODALITY, M))
    assert seen is not None and (seen.source_mac, seen.source, seen.neighbour, seen.destination_mac) == (
        M,
        MODALITY,
        True,
        "ff:ff:ff:ff:ff:ff",
    )
    six = read(ask("2001:db8::1:2:20", "2001:db8::10", M))
    assert six is not None and six.neighbour and six.destination_mac == "33:33:ff:02:00:20" and six.destination == "ff02::1:ff02:20"


def test_an_arp_whose_sender_is_not_the_frames_sender_says_nothing() -> None:
    frame = bytearray(ask(PACS, MODALITY, M))
    frame[22:28] = bytes.fromhex(X.replace(":", ""))
    assert read(bytes(frame)) is None


def test_the_modality_and_its_next_hop_are_learned_from_its_first_connection() -> None:
    who = learner()
    assert hear(who, Side.MODALITY, syn(MODALITY, PACS, M, P)) == [
        Change(Side.MODALITY, "", M), Change(Side.MODALITY, MODALITY, M), Change(Side.HOSPITAL, PACS, P),
    ]  # fmt: skip
    assert (who.stations, who.hosts) == ((M,), {MODALITY: M, PACS: P})
    assert hear(who, Side.MODALITY, syn(MODALITY, PACS, M, P)) == []


def test_addresses_that_policy_does_not_name_are_not_learned() -> None:
    who = learner()
    hear(who, Side.MODALITY, syn("192.0.2.99", "203.0.113.1", M, P))
    hear(who, Side.HOSPITAL, syn("203.0.113.7", MODALITY, X, M))
    assert who.hosts == {}


def test_the_hospital_side_cannot_become_the_modality() -> None:
    who = learner()
    hear(who, Side.MODALITY, syn(MODALITY, PACS, M, P))
    assert hear(who, Side.HOSPITAL, syn(MODALITY, PACS, X, P), 9.0) == []
    assert hear(who, Side.HOSPITAL, syn(PACS, MODALITY, M, P), 9.0) == [Stranger(Side.HOSPITAL, M)]
    assert who.hosts == {MODALITY: M, PACS: P}


def test_a_modality_with_another_mac_is_followed_when_it_is_learned_but_not_back_and_forth() -> None:
    who = learner()
    hear(who, Side.MODALITY, syn(MODALITY, PACS, M, P))
    assert hear(who, Side.MODALITY, syn(MODALITY, PACS, X, P), 1.0) == []  # two stations that fight over it
    assert hear(who, Side.MODALITY, syn(MODALITY, PACS, X, P), 3.0)[0] == Change(Side.MODALITY, "", X, M)
    assert who.stations == (X,) and who.hosts[MODALITY] == X


def test_a_modality_with_another_mac_is_a_stranger_when_it_is_bound() -> None:
    who = learner(mac=MacRule.BOUND, macs=(M,))
    assert hear(who, Side.MODALITY, syn(MODALITY, PACS, X, P), 9.0) == [Stranger(Side.MODALITY, X)]
    assert who.stations == (M,) and who.hosts == {}


def test_a_station_of_the_hospital_on_the_modalitys_port_is_a_stranger() -> None:
    who = learner()
    hear(who, Side.HOSPITAL, syn(PACS, MODALITY, P, M))
    assert hear(who, Side.MODALITY, syn(MODALITY, PACS, P, X), 9.0) == [Stranger(Side.MODALITY, P)]


def test_a_flood_in_the_name_of_the_pacs_does_not_move_its_next_hop_but_its_arp_does() -> None:
    who = learner()
    hear(who, Side.MODALITY, syn(MODALITY, PACS, M, P))
    assert hear(who, Side.HOSPITAL, syn(PACS, MODALITY, X, M), 9.0) == []
    assert hear(who, Side.HOSPITAL, ask(MODALITY, PACS, X), 9.0) == [Change(Side.HOSPITAL, PACS, X, P)]


def test_a_fixed_neighbour_never_moves() -> None:
    who = learner(neighbours=(Neighbour(PACS, P),))
    assert hear(who, Side.HOSPITAL, syn(PACS, MODALITY, X, M), 9.0) == []
    assert who.hosts[PACS] == P


def test_what_an_earlier_netd_learned_is_taken_over_as_far_as_policy_names_it() -> None:
    who = learner()
    who.remember([M], {MODALITY: M, PACS: P, "203.0.113.1": X})
    assert (who.stations, who.hosts) == ((M,), {MODALITY: M, PACS: P})


def test_the_loss_of_a_link_is_shown_on_the_other_port_and_ends_with_it() -> None:
    mirror = Mirror(0.0)
    assert mirror.step(True, False, 1.0) is None  # ports take their time after they were put up
    assert mirror.step(True, False, GRACE_SECONDS) == Act(Side.MODALITY, False)
    assert mirror.step(False, False, GRACE_SECONDS + 1) is None
    assert mirror.step(False, True, GRACE_SECONDS + 2) == Act(Side.MODALITY, True)
    assert mirror.step(False, True, GRACE_SECONDS + 3) is None
    assert mirror.step(True, True, 3 * GRACE_SECONDS) is None


def test_break_glass_outlives_a_restart_but_not_its_time(tmp_path: Path) -> None:
    policy = BreakGlass(True, minutes=10)
    glass = Glass(tmp_path / "glass.json")
    glass.start(policy, "PACS key lost", 100.0, 1_000_000.0)
    assert glass.lasts and glass.left(160.0) == 540
    again = Glass(tmp_path / "glass.json")
    again.resume(policy, 5.0, 1_000_300.0)
    assert again.left(5.0) == 300 and again.reason == "PACS key lost"
    late = Glass(tmp_path / "glass.json")
    assert late.resume(policy, 5.0, 1_000_601.0) == "its time is over" and not late.lasts and late.id == glass.id
    assert Glass(tmp_path / "glass.json").resume(BreakGlass(False), 5.0, 1_000_300.0) == "policy allows it no more"


def test_break_glass_does_not_outlive_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = BreakGlass(True, minutes=10)
    Glass(tmp_path / "glass.json").start(policy, "PACS key lost", 100.0, 1_000_000.0)
    monkeypatch.setattr("wardgate.plant.glass._boot", lambda: "another")
    again = Glass(tmp_path / "glass.json")
    assert again.resume(policy, 5.0, 1_000_300.0) == "the box started anew" and not again.lasts


def test_a_clock_set_back_does_not_make_break_glass_longer(tmp_path: Path) -> None:
    policy = BreakGlass(True, minutes=10)
    Glass(tmp_path / "glass.json").start(policy, "x", 0.0, 1_000_000.0)
    again = Glass(tmp_path / "glass.json")
    again.resume(policy, 0.0, 5.0)
    assert again.left(0.0) == 600


def test_a_message_brings_its_descriptor_along() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other, socket.socket() as given:
        wire.send(one, {"ok": True}, given.fileno())
        message, fd = wire.receive(other)
        assert message == {"ok": True} and fd is not None
        with socket.socket(fileno=fd) as got:
            assert not got.get_inheritable() and os.fstat(fd).st_ino == os.fstat(given.fileno()).st_ino


@pytest.mark.parametrize(("data", "given"), [(b"{}", 2), (b"{}", 3), (b"{", 1), (b"[]", 2), (b"", 1)])
def test_descriptors_that_nobody_wants_are_closed(data: bytes, given: int) -> None:
    """A worker that was taken over must not be able to fill `netd` with them."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe2(os.O_NONBLOCK)
    with one, other:
        socket.send_fds(one, [data], [writer] * given)
        os.close(writer)
        fd = None
        with contextlib.suppress(wire.WireError, EOFError):
            _, fd = wire.receive(other)
        if fd is not None:
            os.close(fd)
        assert os.read(reader, 1) == b"", "nobody has the other end any more"
    os.close(reader)


@pytest.mark.parametrize("data", [b"[]", b"{", b'"x"', b"\xff", b"[" * 5000])
def test_a_packet_that_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(data)


def test_what_a_kernel_lacks_is_said_with_what_is_done_instead() -> None:
    text = lines(Features(nft_bridge=True))
    assert any(line.startswith("tproxy") and "cannot start" in line for line in text)
    assert all(any(line.startswith(name) and how in line for line in text) for name, how in INSTEAD.items())
    assert Features(nft_bridge=True, nft_inet=True).missing == ("tproxy", "policy_routing", "transparent_sockets")


def test_the_report_of_a_dry_run_is_a_configuration_that_lets_pass_what_was_seen() -> None:
    text = GATEWAY + BRIDGE.replace("[plant]\n", "[plant]\nenforce = false\n")
    flows = [
        ["seen_modality4", "192.0.2.10", "203.0.113.5", "tcp", 443],
        ["seen_modality4", "192.0.2.10", "203.0.113.6", "tcp", 443],
        ["seen_modality4", "192.0.2.10", "192.0.2.2", "udp", 123],
        ["seen_hospital4", "198.51.100.3", "192.0.2.10", "tcp", 8080],
        ["seen_modality4", "192.0.2.10", "255.255.255.255", "udp", 6000],
    ]
    made = report(text, {"flows": flows}, {"counters": {"allow_names": 7, "spoofed_arp": 2}})
    config = plant_config(made)
    assert config.plant.enforce
    added = {entry.name: entry for entry in config.plant.allow if entry.name.startswith("seen-")}
    assert [str(net) for net in added["seen-tcp-443"].addresses] == ["203.0.113.5/32", "203.0.113.6/32"]
    assert added["seen-ntp"].service == "ntp" and added["seen-tcp-8080-in"].way == "to-modality" and len(added) == 3
    assert config._replace(plant=plant_config(text).plant) == plant_config(text)  # the rest is as it was
    assert "# passed by policy: allow_names 7 packets" in made and "# in another's name: spoofed_arp 2 frames" in made
    assert tomllib.loads(made)["plant"]["management"]["address"] == "192.0.2.9/24"
