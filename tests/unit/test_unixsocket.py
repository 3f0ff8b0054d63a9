"""UNIX sockets by which processes of the box call each other: who may, from the first moment on, and with no other umask for any thread."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.units import TREE
from wardgate.unixsocket import bound, listening


@pytest.fixture
def wide() -> Iterator[None]:
    """A process whose umask takes nothing away."""
    mask = os.umask(0)
    yield
    os.umask(mask)


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_nothing_in_the_gateway_or_the_key_service_changes_the_umask_for_a_while() -> None:
    """It is that of every thread: what another one makes meanwhile would be open to others, or closed to its group."""
    once = TREE / "hsm/wardkeys/harden.py"  # before anything is made, and for ever
    files = [path for part in ("firmware", "hsm/wardkeys") for path in (TREE / part).rglob("*.py") if path != once]
    assert len(files) > 300
    assert [str(path) for path in files if re.search(r"\bos\.umask\(", path.read_text())] == []


@pytest.mark.parametrize("wanted", [0o600, 0o660])
def test_a_socket_is_never_open_to_more_than_it_is_for(folder: Path, wide: None, monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    seen: list[int] = []
    change = os.chmod
    monkeypatch.setattr(os, "chmod", lambda path, bits: (seen.append(mode(path)), change(path, bits)))
    with bound(str(folder / "s"), socket.SOCK_DGRAM, wanted):
        assert mode(folder / "s") == wanted
    assert seen == [wanted], "before it was said a second time"


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o777])
def test_an_umask_takes_nothing_from_a_socket_that_is_its_groups(folder: Path, wide: None, mask: int) -> None:
    os.umask(mask)
    with listening(str(folder / "s"), 1, 0o660):
        assert mode(folder / "s") == 0o660


def test_one_that_nobody_serves_is_replaced(folder: Path) -> None:
    path = str(folder / "s")
    listening(path, 1).close()
    with listening(path, 1) as ours, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        assert not ours.getblocking() and not ours.get_inheritable()
        caller.connect(path)


def test_where_nothing_can_be_made_no_socket_stays(folder: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        listening(str(folder / "none" / "s"), 1)
