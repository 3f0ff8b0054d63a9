"""Our own report to an update server, as `wardgate-hawkbit-begin` makes it, and goosebit under TLS. No client, no box, no RAUC."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support import goose
from support.goose import Goose, small_bundle
from support.imagekit import authority
from support.processes import free_port
from wardgate.codes import Code
from wardgate.log import Log
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.updates import Updates
from wardgate.update import reporting
from wardgate.update.box import Box
from wardgate.update.installing import Refused
from wardgate.update.owed import Ending, Owed
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAME, SECRET, BOARD = "ward-test", "4f2d0a51b9c64f2d0a51b9c6", "wardgate-qemu-x86_64"


class Place:
    """A server that knows one device, and the state and release of that device."""

    def __init__(self, folder: Path, pki: Pki, server: Goose, port: int) -> None:
        self.folder, self.server = folder, server
        (folder / "state").mkdir()
        (folder / "run").mkdir()
        (folder / "release").write_text(f'IMAGE_ID={BOARD}\nIMAGE_VERSION="1.0.0"\n')
        (folder / "token").write_text(f"{SECRET}\n")
        self.updates = Updates(Endpoint("127.0.0.1", port), pki.root, folder / "token", NAME, retry_seconds=5)
        self.box = Box(Log("test"), str(folder / "state"), os_release=str(folder / "release"))

    def wanted(self, version: str) -> str:
        """Have the server want a new bundle on the device; return its digest."""
        bundle = small_bundle(self.folder, BOARD, version, "ours")
        self.server.assign(NAME, self.server.upload(bundle))
        return hashlib.sha1(bundle.read_bytes(), usedforsecurity=False).hexdigest()

    def begin(self, updates: Updates | None = None) -> None:
        config = cast(Any, SimpleNamespace(updates=updates or self.updates))
        reporting.begin(self.box, config, Log("test"), str(self.folder / "run"))

    @property
    def given(self) -> bool:
        """Has the client its configuration?"""
        return (self.folder / "run/client.conf").exists()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Place]:
    if shutil.which("mksquashfs") is None:
        pytest.skip("mksquashfs is not installed: no bundle can be made")
    if reason := goose.server_missing():
        pytest.skip(reason)
    folder, port = tmp_path_factory.mktemp("report"), free_port()
    leaf = pki.issue("goose", dns=("localhost",), addresses=("127.0.0.1",))
    with Goose(folder, port, leaf, pki.root) as server:
        server.device(NAME, SECRET)
        server.introduce(NAME, SECRET, BOARD)
        yield Place(folder, pki, server, port)


@pytest.mark.parametrize(
    ("version", "ending", "missing", "state", "words"),
    [
        ("2.0.0", Ending.ROLLED_BACK, "missing: service", "Error", "version 2.0.0: rolled back, missing: service"),
        ("2.1.0", Ending.GOOD, "", "Finished", "version 2.1.0: good"),
    ],
)
def test_how_an_update_ended_is_told_once_to_the_action_that_wanted_it(
    place: Place, version: str, ending: Ending, missing: str, state: str, words: str
) -> None:
    place.box.owe(Owed(place.wanted(version), version, ending, missing))
    place.begin()
    assert place.server.state(NAME) == state and words in place.server.told(NAME)
    assert place.box.owed() is None and place.given
    told = place.server.told(NAME)
    place.begin()
    assert place.server.told(NAME) == told


def test_the_ending_of_a_bundle_that_is_wanted_no_more_is_not_told_of_another(place: Place) -> None:
    place.wanted("2.2.0")
    before = place.server.state(NAME)
    place.box.owe(Owed("0" * 40, "1.9.0", Ending.ROLLED_BACK))
    place.begin()
    assert place.server.state(NAME) == before and "1.9.0" not in place.server.told(NAME)
    assert place.box.owed() is None and place.given


def test_a_server_that_does_not_know_us_or_that_we_do_not_know_leaves_it_owed_and_the_client_out(place: Place) -> None:
    owed = Owed("0" * 40, "1.9.0", Ending.GOOD)
    place.box.owe(owed)
    stranger = place.folder / "stranger"
    stranger.write_text("another-token\n")
    elsewhere = authority(place.folder / "elsewhere", "TEST ONLY elsewhere").anchor
    for updates, named in (
        (place.updates._replace(token=stranger), "401"),
        (place.updates._replace(anchors=elsewhere), "CERTIFICATE_VERIFY_FAILED"),
    ):
        with pytest.raises(Refused, match=named) as refused:
            place.begin(updates)
        assert refused.value.code is Code.UPDATE_SERVER_AWAY
        assert place.box.owed() == owed and not place.given
