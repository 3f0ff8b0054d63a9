"""Fixtures of every group: the test PKI, and a short-named folder (a UNIX socket's path has at most 107 bytes)."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

with contextlib.suppress(ImportError):  # an emulated machine runs groups that need no Hypothesis
    from hypothesis import HealthCheck, settings

    # Speed is never a test: a busy machine takes its time over an example, and the same one quickly the next time.
    settings.register_profile("wardgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("wardgate")

# In an environment that was activated pynetdicom's programs would come before DCMTK's, whose names some of them have.
_OWN = Path(sys.prefix, "bin")
os.environ["PATH"] = os.pathsep.join(place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(place) != _OWN)

if TYPE_CHECKING:
    from typing import Any

    from support.bench import Bench
    from support.card import CardFile, Slot
    from support.pcscd import Pcscd
    from support.plant import Plant
    from wardtools.pki import Pki


def pytest_configure(config: pytest.Config) -> None:
    """What a worker in a thread logs while pytest takes nothing goes with its test, not among the dots."""
    if config.getoption("capture") != "no":
        from support import threadlog

        threadlog.install()


def pytest_runtest_setup() -> None:
    """What threads of the test before said last is not this one's."""
    from support import threadlog

    threadlog.take()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Tell with a failure what its threads logged between the phases."""
    from support import threadlog

    made: Any = yield
    report = made.get_result()
    if report.failed and (said := threadlog.take()):
        report.sections.append(("Log lines of threads between the phases", said))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A test PKI with its defective certificates, made once."""
    from wardtools.pki import Pki, make_test_pki

    directory = tmp_path_factory.mktemp("pki")
    if made := os.environ.get("WARDGATE_TEST_PKI"):  # in an emulated machine a key takes its time: made outside
        return Pki.load(Path(shutil.copytree(made, directory, dirs_exist_ok=True)))
    return make_test_pki(directory)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        yield Path(name)


@pytest.fixture
def bench(folder: Path, pki: Pki) -> Iterator[Bench]:
    """A box between a DCMTK PACS and a DCMTK modality, none of them started yet."""
    from support.bench import Bench

    made = Bench(folder, pki)
    yield made
    made.close()


@pytest.fixture(scope="session")
def pcscd() -> Iterator[Pcscd]:
    """A private pcscd with four readers for the whole run, found by this process and its children: libpcsclite looks only once."""
    from support.pcscd import Pcscd, missing

    if reason := missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        made = Pcscd(Path(name), readers=4).start()
        os.environ.update(made.environment)
        yield made
        made.stop()


@pytest.fixture
def card(folder: Path) -> CardFile:
    """A card as it leaves the factory, in no reader."""
    from support.card import CardFile

    return CardFile(folder / "card", serial=bytes.fromhex("00c0ffee00000001"), label="ward-ct1")


@pytest.fixture
def slot(pcscd: Pcscd, card: CardFile) -> Iterator[Slot]:
    """The first reader, and the card to insert into it."""
    from support.card import Slot

    made = Slot(pcscd, card)
    yield made
    made.remove()


@pytest.fixture
def plant(folder: Path, pki: Pki) -> Iterator[Plant]:
    """A plant in network namespaces, of which nothing runs yet."""
    from support.plant import Plant

    made = Plant(folder, pki)
    try:
        yield made
    finally:
        made.close()
