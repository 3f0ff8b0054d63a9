"""While one rule set takes the place of another: every frame meets the old rules or the new ones, never none and never a policy alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from support.netns import can
from support.plant import MODALITY, PACS, Plant
from support.processes import Program, until
from wardgate.plant import wire

pytestmark = pytest.mark.skipif(can() is not None, reason=str(can()))
NAMED, REFUSED = 5514, 5515  # UDP ports of the PACS
TIMES, TIMES_ANEW = 40, 60  # a frame went through in 0 to 5 of 100 times when tables were made anew without the last drop

# Numbered datagrams to both ports by turns, until it is told to end; then how many.
SEND = f"""
import signal, socket, sys, time
going = True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
count = 0
while going:
    out.sendto(count.to_bytes(8, "big"), ("{PACS}", {NAMED}))
    out.sendto(count.to_bytes(8, "big"), ("{PACS}", {REFUSED}))
    count += 1
    time.sleep(0.0002)
print("sent", count, flush=True)
"""

# What comes, until it is told to end; then the numbers that did not come, and how many came to the port that is refused.
TAKE = f"""
import json, select, signal, socket
going = True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
socks = []
for port in ({NAMED}, {REFUSED}):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE: what is lost is lost in the box
    sock.bind(("{PACS}", port))
    sock.setblocking(False)
    socks.append(sock)
print("takes", flush=True)
came, wrong = set(), 0
while going or select.select(socks, [], [], 0.2)[0]:
    for sock in select.select(socks, [], [], 0.1)[0]:
        try:
            data = sock.recv(64)
        except BlockingIOError:
            continue
        if sock is socks[0]:
            came.add(int.from_bytes(data, "big"))
        else:
            wrong += 1
last = max(came, default=-1)
print("came", json.dumps([len(came), last, sorted(set(range(last + 1)) - came)[:50], wrong]), flush=True)
"""


def _allow(name: str, port: int) -> str:
    words = [f'name = "{name}"', 'service = "udp"', 'way = "from-modality"', f"ports = [{port}]", f'addresses = ["{PACS}"]']
    return "\n".join(["[[plant.allow]]", *words, ""])


def _policy(plant: Plant, *allowed: tuple[str, int]) -> None:
    plant.settings.tables[:] = [_allow(name, port) for name, port in allowed]
    plant.write()


def _settle(plant: Plant) -> None:
    """Let the box learn who is there."""

    def quiet() -> bool:
        plant.touch(plant.modality, PACS, NAMED)
        before = _rules(plant)
        time.sleep(1)
        return bool(plant.status()["stations"]) and _rules(plant) == before

    until(quiet, "what is to be learned is known")


def _reload(plant: Plant) -> None:
    answer, _ = wire.ask(str(plant.folder / "netd" / "netd.sock"), {"op": "reload"}, 40.0)
    assert answer["ok"], answer


def _start(plant: Plant, at: str, code: str) -> Program:
    place = plant.modality if at == "modality" else plant.pacs
    program = place.start(["python3", "-c", code], Path(plant.folder / f"{at}-{time.monotonic_ns()}.log"))
    plant.programs.append(program)
    return program


def _ended(program: Program, word: str) -> str:
    program.signal(15)
    until(lambda: f"{word} " in program.log, f"it says {word}")
    return program.log.split(f"{word} ")[1].splitlines()[0]


@pytest.mark.parametrize("anew", [False, True], ids=["filled again", "made anew"])
def test_no_frame_is_lost_and_none_passes_while_rules_are_replaced(plant: Plant, anew: bool) -> None:
    _policy(plant, ("logs", NAMED))
    plant.start_netd()
    _settle(plant)
    taker = _start(plant, "pacs", TAKE)
    until(lambda: "takes" in taker.log, "it takes")
    sender = _start(plant, "modality", SEND)
    until(lambda: plant.counters()["allow_logs"] > 100, "frames pass")
    for turn in range(TIMES_ANEW if anew else TIMES):
        _policy(plant, ("logs", NAMED), *([("more", 5600 + turn)] if turn % 2 else []))
        if anew:  # something strange in a table: both are deleted and made
            plant.box.do("nft", "add quota inet wardgate strange 10 bytes")
        _reload(plant)
    sent = int(_ended(sender, "sent"))
    count, last, lost, wrong = json.loads(_ended(taker, "came"))
    print(f"{sent} frames of each kind sent while the rules were replaced")
    assert sent > 2000
    assert not wrong, f"{wrong} of {sent} passed that policy does not name"
    if anew:
        return  # then one may be lost
    assert not lost and last == sent - 1, f"{sent - count} of {sent}: {lost}"
    counters = plant.counters()
    assert counters["allow_logs"] >= sent and counters["refused_modality"] >= sent  # each was counted once, over all of them


def test_what_policy_no_longer_names_passes_no_more_the_moment_that_it_is_in_force(plant: Plant) -> None:
    _policy(plant, ("logs", NAMED))
    plant.start_netd()
    taker = _start(plant, "pacs", TAKE)
    until(lambda: "takes" in taker.log, "it takes")
    sender = _start(plant, "modality", SEND)
    until(lambda: plant.counters()["allow_logs"] > 100, "frames pass")
    _policy(plant)
    _reload(plant)
    _ended(taker, "came")
    taker = _start(plant, "pacs", TAKE)
    until(lambda: "takes" in taker.log, "it takes")
    refused = plant.counters()["refused_modality"]
    until(lambda: plant.counters()["refused_modality"] > refused + 200, "frames are refused")
    assert json.loads(_ended(taker, "came"))[0] == 0
    _policy(plant, ("logs", NAMED))
    _reload(plant)
    passed = plant.counters()["allow_logs"]
    until(lambda: plant.counters()["allow_logs"] > passed + 100, "frames pass again")
    assert int(_ended(sender, "sent")) > 300


def test_what_was_noted_and_counted_stays_when_rules_are_replaced(plant: Plant) -> None:
    _policy(plant, ("logs", NAMED), ("gone", 5700))
    plant.start_netd()
    until(lambda: plant.touch(plant.modality, PACS, 5700) is None and plant.counters()["allow_gone"] > 2, "it passes")
    plant.touch(plant.modality, PACS, REFUSED)
    until(lambda: plant.counters()["refused_modality"] > 0, "it is refused")
    until(lambda: [MODALITY, PACS, "udp", REFUSED] in [flow[1:] for flow in _noted(plant)], "it is noted")
    before, noted = plant.counters(), _noted(plant)
    expires = _expires(plant)
    time.sleep(1.1)
    _policy(plant, ("logs", NAMED))
    _reload(plant)
    after = plant.counters()
    assert after["allow_gone"] == before["allow_gone"] and after["refused_modality"] >= before["refused_modality"]
    assert _noted(plant) == noted
    assert _expires(plant) < expires  # the same note, not one made anew
    rules = plant.box.do("nft", "list", "ruleset")
    assert "allow_gone" not in rules and "5700" not in rules


def _noted(plant: Plant) -> list[list[object]]:
    answer, _ = wire.ask(str(plant.folder / "netd" / "netd.sock"), {"op": "seen"}, 40.0)
    return sorted(answer["flows"])


def _expires(plant: Plant) -> int:
    listed = json.loads(plant.box.do("nft", "-j", "list", "set", "bridge", "wardgate", "seen_modality4"))
    return min(row["elem"]["expires"] for one in listed["nftables"] if "set" in one for row in one["set"]["elem"])


def test_tables_that_somebody_changed_are_made_whole_again(plant: Plant) -> None:
    _policy(plant, ("logs", NAMED))
    plant.start_netd()
    _settle(plant)
    whole = _rules(plant)
    for harm in (
        "flush chain bridge wardgate forward; add rule bridge wardgate forward accept",
        "add chain bridge wardgate another { type filter hook forward priority -10; policy accept; }",
        "add set inet wardgate strange { type ipv4_addr; }",
        "add quota inet wardgate strange 10 bytes",
        "delete table inet wardgate",
        "add element bridge wardgate station { 02:00:00:00:00:99 }",
    ):
        plant.box.do("nft", harm)
        assert _rules(plant) != whole, harm
        _reload(plant)
        assert _rules(plant).splitlines() == whole.splitlines(), harm


def _rules(plant: Plant) -> str:
    """The rule set without what moves."""
    return "\n".join(line for line in plant.box.do("nft", "-s", "list", "ruleset").splitlines() if "expires" not in line)
