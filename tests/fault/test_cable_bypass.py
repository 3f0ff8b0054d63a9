"""Break-glass: what may start it, and what the custody log says of it, whatever is dead in between."""

from __future__ import annotations

import os
import signal
import struct
import sys

import pytest

from support.netns import can
from support.peers import have
from support.plant import CLEAR, ENVIRONMENT, INTRUDER, PACS, Plant
from support.processes import until

pytestmark = [
    pytest.mark.skipif(can() is not None, reason=str(can())),
    pytest.mark.skipif(not have("storescu", "storescp", "echoscu"), reason="DCMTK is not installed"),
]
GLASS = f'[plant.break_glass]\nallow = true\nacts = ["command"]\nminutes = 5\naddresses = ["{PACS}:{CLEAR}"]\n'


def _bypass_records(plant: Plant) -> list[str]:
    """What the custody log says of break-glass, read as an outsider does."""
    shown = plant.box.run(sys.executable, "-m", "wardtools.main", "custody", "show", str(plant.folder / "custody"), env=ENVIRONMENT)
    assert shown.returncode == 0, shown.stdout
    return [line for line in shown.stdout.splitlines() if " bypass " in line]


def test_break_glass_leaves_a_beginning_and_an_end_in_the_custody_log(plant: Plant) -> None:
    plant.settings.tables.append(GLASS)
    plant.start_pacs()
    plant.start()
    assert plant.ask("break-glass", "start", "-c", str(plant.config), "the", "card", "is", "lost").returncode == 0
    assert plant.ask("break-glass", "end", "-c", str(plant.config)).returncode == 0
    until(lambda: plant.log.count("WG855") == 2, "both are recorded")
    begin, end = _bypass_records(plant)
    assert "BREAK-GLASS BEGAN" in begin and "by command (root (uid 0)): the card is lost" in begin and f"{PACS}:{CLEAR}" in begin
    assert "BREAK-GLASS ENDED" in end and begin.rpartition("id ")[2] == end.rpartition("id ")[2]
    assert (plant.folder / "state" / "bypass.jsonl").stat().st_size == 0


def test_while_the_custody_writer_is_dead_the_record_of_break_glass_is_kept_and_appended_later(plant: Plant) -> None:
    plant.settings.tables.append(GLASS)
    plant.start_pacs_in_clear()
    plant.start_netd()  # the gateway is dead, and with it the custody writer
    assert plant.ask("break-glass", "start", "-c", str(plant.config), "nothing", "works").returncode == 0
    assert plant.echo().returncode == 0
    assert plant.netd is not None
    plant.netd.signal(signal.SIGKILL)
    plant.netd.wait()
    plant.start_netd()
    assert plant.ask("break-glass", "end", "-c", str(plant.config)).returncode == 0
    assert "2 records of break-glass wait" in plant.ask("plant", "status", "-c", str(plant.config)).stdout
    plant.start_gateway()
    until(lambda: plant.log.count("WG855") == 2, "both are recorded")
    assert len(_bypass_records(plant)) == 2
    assert "wait for the custody" not in plant.ask("plant", "status", "-c", str(plant.config)).stdout


def test_a_button_that_is_held_starts_break_glass_and_a_worker_cannot(plant: Plant) -> None:
    """The input device is a pipe with the kernel's own events: `gpio-keys` and `uinput` are not on every test machine."""
    device = plant.folder / "event0"
    os.mkfifo(device)
    plant.settings.tables.append(
        GLASS.replace('acts = ["command"]', f'acts = ["button"]\nbutton = "{device}"\nbutton_key = 408\nbutton_seconds = 1')
    )
    plant.start_pacs_in_clear()
    plant.start_netd()
    refused = plant.ask("break-glass", "start", "-c", str(plant.config), "by", "hand")
    assert refused.returncode == 1 and "WG858" in refused.stdout
    with device.open("wb", buffering=0) as button:
        button.write(struct.pack("llHHi", 0, 0, 1, 408, 1))
        until(lambda: "WG848" in plant.log, "it has begun")
        button.write(struct.pack("llHHi", 0, 0, 1, 408, 0))
        assert "act=button" in plant.log
        assert plant.echo().returncode == 0
        assert f"by button ({device})" in plant.ask("plant", "status", "-c", str(plant.config)).stdout
        assert plant.modality.run("timeout", "3", "bash", "-c", f"echo >/dev/tcp/{INTRUDER}/443").returncode != 0


def test_who_only_needs_sockets_may_not_start_break_glass(plant: Plant) -> None:
    plant.settings.tables.append(GLASS)
    plant.settings.plant["allow_uids"] = [65534]
    plant.start_netd()
    plant.folder.chmod(0o755)
    netd = plant.folder / "netd" / "netd.sock"
    ask = (
        f"import socket; s = socket.socket(1, 5); s.connect('{netd}');"
        ' s.send(b\'{"op":"break-glass","do":"start","reason":"x"}\'); print(s.recv(999))'
    )
    done = plant.box.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", ask)
    assert "BREAK_GLASS_NO_ACT" in done.stdout
    status = plant.status()["break_glass"]
    assert isinstance(status, dict) and not status["lasts"] and not status["unrecorded"]
