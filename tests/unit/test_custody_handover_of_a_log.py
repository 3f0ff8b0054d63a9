"""What the gateway's account had is handed to the custody account: moved once, gone on with where it was cut, no link followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from wardgate.custody import handover
from wardgate.custody.handover import NOTE, Owner, open_queue

GATEWAY, CUSTODY, OTHER = Owner(61900, 61900), Owner(61908, 61908), Owner(61901, 61901)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to other accounts needs root")


def give(path: Path, owner: Owner) -> Path:
    os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    return path


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """A vault of a box that has a log and a queue."""
    for name in ("wardgate", "wardgate/custody", "wardgate/custody/tile", "wardgate/hold", "wardgate/hold/queue"):
        (tmp_path / name).mkdir(mode=0o700)
        give(tmp_path / name, GATEWAY)
    for name in ("wardgate/custody/checkpoint", "wardgate/custody/tile/0", "wardgate/hold/queue/1"):
        (tmp_path / name).write_text(name)
        give(tmp_path / name, GATEWAY).chmod(0o600)
    (tmp_path / "custody").mkdir()
    return tmp_path


def take(vault: Path) -> bool:
    return handover.take(vault / "wardgate/custody", vault / "custody/log", GATEWAY, CUSTODY, NOTE)


def test_a_log_is_moved_once_and_its_old_place_takes_no_other(vault: Path) -> None:
    assert take(vault)
    new = vault / "custody/log"
    owned = [new, *new.rglob("*")]
    assert {path.stat().st_uid for path in owned} == {CUSTODY.uid} == {path.stat().st_gid for path in owned}
    assert (new / "checkpoint").read_text() == "wardgate/custody/checkpoint" and (new / "tile/0").exists()
    assert (vault / "wardgate/custody").read_bytes() == NOTE
    with pytest.raises(FileExistsError):
        os.makedirs(vault / "wardgate/custody", exist_ok=True)
    assert not take(vault) and os.listdir(vault / "custody") == ["log"]


def test_a_box_without_a_log_has_nothing_to_move(tmp_path: Path) -> None:
    (tmp_path / "wardgate").mkdir()
    (tmp_path / "custody").mkdir()
    assert not take(tmp_path) and os.listdir(tmp_path / "custody") == [] == os.listdir(tmp_path / "wardgate")


def test_a_move_that_was_cut_short_is_gone_on_with(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> None:
        raise OSError(5, "cut")

    with monkeypatch.context() as patch:
        patch.setattr("wardgate.custody.handover.os.fchown", cut)
        with pytest.raises(OSError, match="cut"):
            take(vault)
    take(vault)
    assert {path.stat().st_uid for path in (vault / "custody/log").rglob("*")} == {CUSTODY.uid}
    assert (vault / "wardgate/custody").read_bytes() == NOTE


@pytest.mark.parametrize("steps", range(32))
def test_whatever_step_is_the_last_before_a_cut_the_next_start_goes_on(vault: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    left = [steps]

    def until_cut(call: Callable[..., object]) -> Callable[..., object]:
        def step(*words: object, **more: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "cut")
            return call(*words, **more)

        return step

    with monkeypatch.context() as patch:
        for name in ("open", "rename", "fchown", "fdopen", "fsync", "sync", "unlink"):
            patch.setattr(os, name, until_cut(getattr(os, name)))
        with contextlib.suppress(OSError):
            take(vault)
    take(vault)
    assert {path.stat().st_uid for path in (vault / "custody/log", *(vault / "custody/log").rglob("*"))} == {CUSTODY.uid}
    assert (vault / "wardgate/custody").read_bytes() == NOTE and os.listdir(vault / "custody") == ["log"]
    assert (vault / "custody/log/tile/0").read_text() == "wardgate/custody/tile/0"
    assert steps < 31 or left[0] >= 0, "the last of these is not cut: all steps were tried"


def test_two_logs_are_never_made_one(vault: Path) -> None:
    (vault / "custody/log").mkdir()
    assert not take(vault)
    assert (vault / "wardgate/custody/checkpoint").exists() and os.listdir(vault / "custody/log") == []


def test_what_is_not_a_file_of_the_gateway_is_left_as_it_is(vault: Path) -> None:
    secret = give(vault / "secret", OTHER) if (vault / "secret").touch() is None else None
    assert secret is not None
    log, queue = vault / "wardgate/custody", vault / "wardgate/hold/queue"
    for place in (log, queue):
        os.link(secret, place / "hard")
        (place / "soft").symlink_to(secret)
        (place / "folder").symlink_to(vault, target_is_directory=True)
    take(vault)
    open_queue(vault / "wardgate/hold", GATEWAY, CUSTODY)
    found = secret.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (OTHER.uid, OTHER.gid, 0o644)
    assert vault.stat().st_uid == os.getuid()


@pytest.mark.parametrize("name", ["wardgate/custody", "wardgate/hold"])
def test_a_link_in_place_of_a_directory_is_not_followed(vault: Path, name: str) -> None:
    (vault / "keys").mkdir(mode=0o700)
    place = vault / name
    place.rename(vault / "aside")
    place.symlink_to(vault / "keys", target_is_directory=True)
    take(vault)
    open_queue(vault / "wardgate/hold", GATEWAY, CUSTODY)
    found = (vault / "keys").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.getuid(), 0o700)


def test_the_queue_becomes_readable_for_the_writers_group_also_what_is_made_later(vault: Path) -> None:
    from wardgate.hold.files import Files

    queue = vault / "wardgate/hold"
    open_queue(queue, GATEWAY, CUSTODY)
    mask = os.umask(0o077)
    try:
        Files().make_directory(str(queue / "contexts"))
        os.close(Files().create(str(queue / "queue/2")))
    finally:
        os.umask(mask)
    for path, mode in ((queue, 0o2750), (queue / "queue", 0o2750), (queue / "contexts", 0o2750), (queue / "queue/1", 0o640)):
        assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (CUSTODY.gid, mode), path
    assert (queue / "queue/2").stat().st_gid == CUSTODY.gid and stat.S_IMODE((queue / "queue/2").stat().st_mode) == 0o640


def test_a_folder_for_the_group_is_made_while_the_umask_of_the_process_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of every thread: what another one makes meanwhile would be for the group too."""
    from wardgate.hold.files import Files

    queue, seen = tmp_path / "hold", []
    queue.mkdir()
    queue.chmod(0o2750)
    real = os.umask
    mask = real(0o077)
    monkeypatch.setattr(os, "umask", lambda wanted: (seen.append(wanted), real(wanted))[1])
    try:
        for name in ("contexts", "contexts", "it's"):
            Files().make_directory(str(queue / name))
        with pytest.raises(OSError, match="nowhere"):
            Files().make_directory(str(queue / "contexts/nowhere/queue"))
    finally:
        real(mask)
    assert [stat.S_IMODE((queue / name).stat().st_mode) for name in ("contexts", "it's")] == [0o2750, 0o2750] and not seen


def test_without_such_a_group_the_queue_is_the_gateways_alone(tmp_path: Path) -> None:
    from wardgate.hold.files import Files

    Files().make_directory(str(tmp_path / "hold"))
    os.close(Files().create(str(tmp_path / "hold/1")))
    assert stat.S_IMODE((tmp_path / "hold").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "hold/1").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "policy",
    [
        None,
        '[custody]\nlog = "/var/lib/wardgate/custody"\n',
        '[custody]\nlog = "/var/lib/wardgate/custody"\n# socket = "/run/wardgate-custody/custody.sock"\n',
        '[box]\nname = "not wardgate-custody/"\n',
        'custody = "/run/wardgate-custody/custody.sock"\n',
        '[custody]\nsocket = "/run/wardgate-custody/custody.sock"\nno policy\n',
    ],
)
def test_where_the_policy_names_no_such_writer_everything_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str | None
) -> None:
    monkeypatch.setattr(handover, "POLICY", str(tmp_path / "wardgate.toml"))
    monkeypatch.setattr(handover.sys, "argv", ["handover"])
    monkeypatch.setattr(handover.pwd, "getpwnam", lambda _name: pytest.fail("it goes on"))
    if policy is not None:
        (tmp_path / "wardgate.toml").write_text(policy)
    assert handover.main() == 0


@pytest.mark.parametrize(
    "policy",
    [
        'custody.socket = "/run/wardgate-custody/custody.sock"\n',
        '[custody]\nsocket = "/run/wardgate\\u002dcustody/custody.sock"\n',
        '[custody]\nsocket = """/run/wardgate-\\\n  custody/custody.sock"""\n',
    ],
)
def test_where_the_policy_names_it_in_any_spelling_it_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    asked: list[str] = []

    def account(name: str) -> None:
        asked.append(name)
        raise KeyError(name)

    monkeypatch.setattr(handover, "POLICY", str(tmp_path / "wardgate.toml"))
    monkeypatch.setattr(handover.sys, "argv", ["handover"])
    monkeypatch.setattr(handover.pwd, "getpwnam", account)
    (tmp_path / "wardgate.toml").write_text(policy)
    with pytest.raises(KeyError, match="wardgate"):
        handover.main()
    assert asked == ["wardgate"]


def test_a_start_that_has_nothing_to_hand_over_does_not_read_the_policy_as_toml(
    vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(vault)
    open_queue(vault / "wardgate/hold", GATEWAY, CUSTODY)
    monkeypatch.setattr(handover, "LOG", str(vault / "custody/log"))
    monkeypatch.setattr(handover, "QUEUE", str(vault / "wardgate/hold"))
    monkeypatch.setattr(handover, "POLICY", str(tmp_path / "wardgate.toml"))
    monkeypatch.setattr(handover, "has_account", lambda *_: pytest.fail("it is read"))
    monkeypatch.setattr(handover.sys, "argv", ["handover"])
    done: list[str] = []
    monkeypatch.setattr(handover.pwd, "getpwnam", lambda _name: SimpleNamespace(pw_uid=GATEWAY.uid, pw_gid=CUSTODY.gid))
    monkeypatch.setattr(handover, "have", lambda place, *_: done.append(place))
    (tmp_path / "wardgate.toml").write_text('[custody]\nsocket = "/run/wardgate-custody/custody.sock"\n')
    assert handover.main() == 0 and done == ["/vault/wardgate", "/vault/custody"]
