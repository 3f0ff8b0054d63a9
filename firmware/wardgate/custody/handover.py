"""Takes over for the account `custody` what the gateway's account had: `python -m wardgate.custody.handover`.

Run with root's rights before the custody writer of that account starts, by a unit of its own: in one that has a directory of the vault for
itself nothing can be moved in or out. A log that the gateway's own writer kept is moved, once, to where
the gateway may only read it; in its old place a file stays, so that no gateway, of this release or an older one, begins a second log there
without a word. The queue of instances in hold becomes readable for the writer's group, which looks in it after a crash. Both lie in a
directory of the gateway's account, which is not trusted: no link is followed, nothing that is not its own file is touched.

It runs at every start and the gateway waits for it, so it loads only what it needs: mostly there is nothing left to do. Where there is,
the policy is read as TOML first: a word in a comment moves nothing.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys

from wardgate.mentions import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Final

POLICY: Final = "/etc/wardgate/wardgate.toml"
NOTE: Final = b"The custody log was taken over by the account custody: /var/lib/custody/log (docs/custody.md, An account of its own).\n"
LOG: Final = "/vault/custody/log"
QUEUE: Final = "/vault/wardgate/hold"
_MARK: Final = "handing-over"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Owner:
    """An account by its numbers."""

    __slots__ = ("gid", "uid")

    def __init__(self, uid: int, gid: int) -> None:
        self.uid = uid
        self.gid = gid


def has_account(part: str, place: str) -> bool:
    """Tell whether the policy's `part.socket` is in the directory `place`, which is that of a process with an account of its own."""
    import tomllib

    try:
        with open(POLICY, "rb") as file:
            found = tomllib.load(file).get(part)
    except (OSError, ValueError, RecursionError):
        return False  # no such policy is served; everything stays where it is
    return isinstance(found, dict) and place in str(found.get("socket", ""))


def take(old: Path | str, new: Path | str, gateway: Owner, owner: Owner, note: bytes = b"") -> bool:
    """Move the directory at `old` to `new`, on the same file system, and give it to `owner`; return whether there was one.

    With `note` a file of root with it stays in the old place. Cut short anywhere it is gone on with at the next start: one at `new` that
    has the gateway's files is given again. Raises `OSError`.
    """
    parent = os.path.dirname(new)
    mark = os.path.join(parent, _MARK)
    moved = False
    if not os.path.lexists(new) and os.path.isdir(old) and not os.path.islink(old):
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
        _sync(parent)
        os.rename(old, new)
        moved = True
    if os.path.exists(mark):
        top = os.open(new, _FOLDER)
        try:
            _each(top, gateway, lambda fd, _folder: os.fchown(fd, owner.uid, owner.gid))
            os.fchown(top, owner.uid, owner.gid)
        finally:
            os.close(top)
        if note and _is_cut(old, note):
            os.unlink(old)
        if note and not os.path.lexists(old):
            fd = os.open(old, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            with os.fdopen(fd, "wb") as file:
                file.write(note)
                os.fsync(fd)
        os.sync()  # what was given, before the mark goes
        os.unlink(mark)
        _sync(parent)
    return moved


def _is_cut(path: Path | str, note: bytes) -> bool:
    """Is this the file of `note`, whose writing was cut short?"""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_size < len(note)


def _sync(directory: str) -> None:
    from wardgate.custody.files import sync_directory

    sync_directory(directory)


def have(directory: str, mode: int, owner: Owner) -> None:
    """Make a directory of the vault, or give it to `owner`, as the StateDirectory= of who has it will. Raises `OSError`."""
    try:
        os.mkdir(directory, mode)
    except FileExistsError:
        pass  # every start but a box's first
    os.chown(directory, owner.uid, owner.gid)
    os.chmod(directory, mode)


def open_queue(queue: Path | str, gateway: Owner, custody: Owner) -> None:
    """Let the writer's group read the queue, and what is made in it from now on (g+s). Made if it is not there. Raises `OSError`."""
    try:
        os.mkdir(queue, 0o700)
    except FileExistsError:
        pass
    try:
        top = os.open(queue, _FOLDER)
    except OSError:
        return  # a link, or no directory: not ours to follow
    try:
        found = os.fstat(top)
        if (found.st_gid == custody.gid and found.st_mode & stat.S_ISGID) or found.st_uid not in (0, gateway.uid):
            return

        def share(fd: int, folder: bool) -> None:
            os.fchown(fd, -1, custody.gid)
            os.fchmod(fd, 0o2750 if folder else 0o640)

        _each(top, gateway, share)
        os.fchown(top, gateway.uid, custody.gid)
        os.fchmod(top, 0o2750)
    finally:
        os.close(top)


def _is_done() -> bool:
    """Was everything handed over at an earlier start?"""
    try:
        shared = os.stat(QUEUE, follow_symlinks=False).st_mode & stat.S_ISGID
    except OSError:
        return False
    return bool(shared) and os.path.lexists(LOG) and not os.path.lexists(os.path.join(os.path.dirname(LOG), _MARK))


def _each(top: int, owner: Owner, give: Callable[[int, bool], None]) -> None:
    """Call `give(descriptor, is_folder)` for each file and folder of `owner` below an open directory."""
    for _place, folders, files, at in os.fwalk(".", dir_fd=top, topdown=False, follow_symlinks=False):
        for names, flags in ((files, _FILE), (folders, _FOLDER)):
            for name in names:
                try:
                    fd = os.open(name, flags, dir_fd=at)
                except OSError:
                    continue  # a link, a socket, or gone
                try:
                    seen = os.fstat(fd)
                    one = stat.S_ISDIR(seen.st_mode) or (stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1)
                    if one and seen.st_uid == owner.uid:
                        give(fd, stat.S_ISDIR(seen.st_mode))
                finally:
                    os.close(fd)


def main() -> int:
    """Do both for the image's places."""
    if len(sys.argv) != 1:
        sys.stderr.write("usage: python -m wardgate.custody.handover\n")
        return 2
    if not mentions(["-c", POLICY], b"wardgate-custody/") or not (_is_done() or has_account("custody", "wardgate-custody/")):
        return 0  # everything stays where it is
    gateway, custody = (Owner(each.pw_uid, each.pw_gid) for each in map(pwd.getpwnam, ("wardgate", "custody")))
    have("/vault/wardgate", 0o710, gateway)  # as its StateDirectory= would; the writer walks through to the queue
    have("/vault/custody", 0o750, custody)
    take("/vault/wardgate/custody", LOG, gateway, custody, NOTE)
    open_queue(QUEUE, gateway, custody)
    return 0


if __name__ == "__main__":
    sys.exit(main())
