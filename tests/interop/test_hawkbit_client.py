"""rauc-hawkbit-updater with the configuration that we make for it, goosebit, and RAUC on a bus of its own. No box; no slot is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import goose
from support.busconf import BUS
from support.goose import MADE, Goose, small_bundle
from support.imagekit import authority
from support.processes import Program, free_port, until
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.updates import Updates
from wardgate.update.client import configuration, give
from wardgate.update.server import Server, ServerAway
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAME, SECRET, BOARD = "ward-test", "4f2d0a51b9c64f2d0a51b9c6", "wardgate-qemu-x86_64"
RAUC = "[system]\ncompatible={board}\nbootloader=noop\nbundle-formats=verity\n[keyring]\npath={anchor}\n"
SLOT = "[slot.boot.{number}]\ndevice={device}\ntype=raw\nbootname={name}\n"


class Place:
    """A server with one device, and RAUC that believes one release key."""

    def __init__(self, folder: Path, pki: Pki, server: Goose, port: int) -> None:
        self.folder, self.pki, self.server = folder, pki, server
        self.updates = Updates(Endpoint("127.0.0.1", port), pki.root, folder / "token", NAME, retry_seconds=5)
        self.bus = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder / 'bus'}", "DBUS_STARTER_BUS_TYPE": "system"}

    @contextlib.contextmanager
    def client(self, token: str = SECRET, anchors: Path | None = None) -> Iterator[Program]:
        """Run the client as the unit does, with the authorities of policy in the place of this machine's."""
        given = self.folder / f"given{len(list(self.folder.glob('given*')))}"
        given.mkdir()
        updates = self.updates._replace(anchors=anchors or self.pki.root)
        give(updates, token, BOARD, "1.0.0", str(given))
        (given / "client.conf").write_text(configuration(updates, token, BOARD, "1.0.0", str(given / "update.raucb")))
        script = f"mount --bind {given / 'certs'} /etc/ssl/certs && exec {MADE / 'rauc-hawkbit-updater'} -c {given / 'client.conf'}"
        program = Program(["unshare", "-m", "sh", "-c", script], given / "log", env=self.bus)
        try:
            yield program
        finally:
            program.stop()

    def bundle(self, version: str, of: str) -> Path:
        """Return a small bundle, signed by the release key `of`."""
        return small_bundle(self.folder, BOARD, version, of)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Place]:
    """Server, bus and RAUC run."""
    if reason := goose.missing():
        pytest.skip(reason)
    if os.geteuid() != 0:
        pytest.skip("a mount namespace and RAUC's service need root")
    folder, port = tmp_path_factory.mktemp("hawk"), free_port()
    (folder / "bus.conf").write_text(BUS.format(path=folder / "bus"))
    words = RAUC.format(board=BOARD, anchor=authority(folder / "ours", "TEST ONLY ours").anchor)
    for number, name in enumerate("AB"):
        (folder / f"slot{name}").write_bytes(bytes(100_000))
        words += SLOT.format(number=number, device=folder / f"slot{name}", name=name)
    (folder / "rauc.conf").write_text(words)
    bus = Program(["dbus-daemon", "--nofork", f"--config-file={folder / 'bus.conf'}"], folder / "bus.log")
    try:
        until((folder / "bus").exists, "the bus is there")
        env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder / 'bus'}", "DBUS_STARTER_BUS_TYPE": "system"}
        rauc = Program(["rauc", f"--conf={folder / 'rauc.conf'}", "service", "--override-boot-slot=A"], folder / "rauc.log", env=env)
        try:
            leaf = pki.issue("goose", dns=("localhost",), addresses=("127.0.0.1",))
            with Goose(folder, port, leaf, pki.root) as server:
                server.device(NAME, SECRET)
                yield Place(folder, pki, server, port)
        finally:
            rauc.stop()
    finally:
        bus.stop()


def test_another_token_is_no_device_of_the_servers(place: Place) -> None:
    with place.client(token="another-token") as client:
        until(lambda: "Failed to authenticate" in client.log, "the server refuses it")
    assert place.server.state(NAME) == "Unknown"
    with pytest.raises(ServerAway, match="401"):
        Server(place.updates, "another-token").open_action("0" * 40)


def test_a_server_of_another_authority_is_not_believed(place: Place) -> None:
    other = authority(place.folder / "elsewhere", "TEST ONLY elsewhere").anchor
    with place.client(anchors=other) as client:
        until(lambda: "certificate" in client.log.lower(), "the certificate is refused")
    assert place.server.state(NAME) == "Unknown"
    with pytest.raises(ServerAway, match="CERTIFICATE_VERIFY_FAILED"):
        Server(place.updates._replace(anchors=other), SECRET).open_action("0" * 40)


def test_a_bundle_of_another_release_key_is_refused_and_the_server_is_told(place: Place) -> None:
    foreign = place.server.upload(place.bundle("1.1.0", "strangers"))
    with place.client() as client:
        until(lambda: place.server.state(NAME) == "Registered", "the box is known")
        place.server.assign(NAME, foreign)
        until(lambda: place.server.state(NAME) == "Error", "the server is told", 90)
        assert SECRET not in client.log
    assert "LastError: signature verification failed" in place.server.told(NAME)
    assert (place.folder / "slotB").read_bytes() == bytes(100_000)
