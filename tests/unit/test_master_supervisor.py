"""What ends a generation must not end the master."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wardgate.master.supervisor import Supervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    yield Supervisor(str(tmp_path / "wardgate.toml"))
    signal.set_wakeup_fd(-1)


@pytest.mark.parametrize("there", [True, False])
def test_a_generation_whose_openssl_file_was_swept_away_goes_like_any_other(supervisor: Supervisor, tmp_path: Path, there: bool) -> None:
    path = tmp_path / "openssl-1.cnf"
    if there:
        path.touch()
    gone: Any = SimpleNamespace(past={"codes": {"WG501": 1}}, answer={"openssl_conf_path": str(path)})
    supervisor._generations.append(gone)
    supervisor._on_generation_gone(cast(Any, gone))
    assert not supervisor._generations and not path.exists()
    assert supervisor._past == gone.past
