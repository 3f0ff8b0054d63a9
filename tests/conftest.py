"""Fixtures of every group: the test PKI, and a short-named folder (a UNIX socket's path has at most 107 bytes)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.bench import Bench
    from wardtools.pki import Pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A test PKI with its defective certificates, made once."""
    from wardtools.pki import make_test_pki

    return make_test_pki(tmp_path_factory.mktemp("pki"))


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
