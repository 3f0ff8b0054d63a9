"""A recording file layer: stands in for `os` in modules under test, notes every write, rename and sync in order, and gives back the
states that a disk may be in when the power goes: what was synced is there, of the rest any part.

What it takes as legal: unsynced writes of a file are lost or kept one by one, sector by sector; unsynced names in a directory (made,
renamed, removed) are lost or kept one by one, a rename as a whole; the order of nothing is kept but by a sync. A write with RWF_DSYNC
is like any other until it returns, and then durable alone. Any module that calls `os.open`, `write`, `pwrite`, `pwritev`, `fsync`,
`fdatasync`, `ftruncate`, `posix_fallocate`, `rename`, `unlink`, `mkdir`, `rmdir` can be recorded.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SECTOR = 512


@dataclass(slots=True)
class Step:
    """One operation. `kind`: create, write, landed (that write alone, `of`), allocate, cut, sync, name (renamed), remove, mkdir, rmdir,
    syncdir, mark."""

    kind: str
    folder: str = ""
    name: str = ""
    other: str = ""  # of a rename: the old name
    inode: int = -1
    offset: int = 0
    data: bytes = b""
    size: int = 0
    of: Step | None = None
    mark: Any = None


class Recorder:
    """`os` for modules under test; everything below `root` is noted in `steps`, and done.

    `fail(step)` may return an `OSError` to raise instead of doing a step. `after(step)` runs when it was done.
    """

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
        self.steps: list[Step] = []
        self.fail: Callable[[Step], OSError | None] = lambda _: None
        self.after: Callable[[Step], None] = lambda _: None
        self._inodes: dict[str, int] = {}  # path -> inode
        self._files: dict[int, int] = {}  # descriptor -> inode
        self._folders: dict[int, str] = {}
        self._positions: dict[int, int] = {}
        self._next = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def mark(self, what: Any) -> None:
        """Note something of the test's own, such as an acknowledgement."""
        self.steps.append(Step("mark", mark=what))

    def install(self, patch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        """Stand in for `os` in `modules`."""
        for module in modules:
            patch.setattr(module, "os", self)

    def _where(self, path: str) -> tuple[str, str]:
        folder, name = os.path.split(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)))
        return os.path.relpath(folder, self.root), name

    def _do(self, step: Step, call: Callable[[], Any]) -> Any:
        error = self.fail(step)
        if error is not None:
            raise error
        result = call()
        self.steps.append(step)
        self.after(step)
        return result

    # what modules call

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """os.open"""
        if os.path.isdir(path):
            fd = os.open(path, flags, mode)
            self._folders[fd] = os.path.relpath(os.path.realpath(path), self.root)
            return fd
        folder, name = self._where(path)
        full = os.path.join(self.root, folder, name)
        if flags & os.O_CREAT and not os.path.exists(path):
            self._next += 1
            inode = self._next
            fd: int = self._do(Step("create", folder, name, inode=inode), lambda: os.open(path, flags, mode))
            self._inodes[full] = inode
        else:
            fd = os.open(path, flags, mode)
            inode = self._inodes.get(full, -1)
            if flags & os.O_TRUNC and inode >= 0:
                self.steps.append(Step("cut", inode=inode, size=0))
        self._files[fd] = inode
        self._positions[fd] = os.fstat(fd).st_size if flags & os.O_APPEND else 0
        return fd

    def close(self, fd: int) -> None:
        """os.close"""
        self._files.pop(fd, None)
        self._folders.pop(fd, None)
        os.close(fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """os.write"""
        at = self._positions[fd]
        count = self.pwrite(fd, data, at)
        self._positions[fd] = at + count
        return count

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """os.pwrite"""
        step = Step("write", inode=self._files[fd], offset=offset, data=bytes(data))
        done: int = self._do(step, lambda: os.pwrite(fd, data, offset))  # not the copy: it may have to be aligned
        return done

    def pwritev(self, fd: int, parts: Sequence[bytes | memoryview], offset: int, flags: int = 0) -> int:
        """os.pwritev, as one write; with RWF_DSYNC two steps: what is written may be lost, and torn, until it has landed"""
        count = self.pwrite(fd, parts[0] if len(parts) == 1 else b"".join(parts), offset)
        if flags & os.RWF_DSYNC:
            written = next(step for step in reversed(self.steps) if step.kind == "write")
            self._do(Step("landed", inode=written.inode, of=written), lambda: None)
        return count

    def posix_fadvise(self, fd: int, offset: int, size: int, advice: int) -> None:
        """os.posix_fadvise: nothing that counts"""

    def posix_fallocate(self, fd: int, offset: int, size: int) -> None:
        """os.posix_fallocate"""
        step = Step("allocate", inode=self._files[fd], size=offset + size)
        self._do(step, lambda: os.posix_fallocate(fd, offset, size))

    def ftruncate(self, fd: int, size: int) -> None:
        """os.ftruncate"""
        self._do(Step("cut", inode=self._files[fd], size=size), lambda: os.ftruncate(fd, size))

    def fsync(self, fd: int) -> None:
        """os.fsync"""
        folder = self._folders.get(fd)
        step = Step("syncdir", folder) if folder is not None else Step("sync", inode=self._files[fd])
        self._do(step, lambda: None)

    fdatasync = fsync

    def rename(self, old: str, new: str) -> None:
        """os.rename, within one directory"""
        folder, name = self._where(new)
        inode = self._inodes[os.path.join(self.root, *self._where(old))]
        self._do(Step("name", folder, name, os.path.basename(old), inode), lambda: os.rename(old, new))
        self._inodes[os.path.join(self.root, folder, name)] = inode

    def unlink(self, path: str) -> None:
        """os.unlink"""
        folder, name = self._where(path)
        self._do(Step("remove", folder, name), lambda: os.unlink(path))
        self._inodes.pop(os.path.join(self.root, folder, name), None)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """os.mkdir"""
        self._do(Step("mkdir", *self._where(path)), lambda: os.mkdir(path, mode))

    def makedirs(self, path: str, mode: int = 0o777, exist_ok: bool = False) -> None:
        """os.makedirs, one directory after the other"""
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for folder in reversed(missing):
            self.mkdir(folder, mode)

    def rmdir(self, path: str) -> None:
        """os.rmdir"""
        self._do(Step("rmdir", *self._where(path)), lambda: os.rmdir(path))

    def drop_unsynced(self, inode: int) -> None:
        """What a kernel may do after a sync that failed: forget the pages that it could not write, and say so only once."""
        file = Disk.replay(self.steps).files[inode]
        path = next(path for path, number in self._inodes.items() if number == inode)
        content = file.content(lambda pending: (step for step in pending if file.has_landed(step)), None)
        with open(path, "r+b") as out:
            out.truncate(0)
            out.write(bytes(content))


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)
    landed: list[Step] = field(default_factory=list)  # of those pending; the others keep their place before and after them

    def has_landed(self, step: Step) -> bool:
        return any(step is one for one in self.landed)

    def content(self, some: Callable[[list[Step]], Iterator[Step]], chance: random.Random | None) -> bytearray:
        """What is on the disk when `some` of what is pending is; what has landed always is, whole."""
        kept = [step for step in some(self.pending) if not self.has_landed(step)]
        content = bytearray(self.durable)
        for step in self.pending:
            if self.has_landed(step):
                _apply(content, step, None)
            elif any(step is one for one in kept):
                _apply(content, step, chance)
        return content


@dataclass(slots=True)
class _Folder:
    durable: dict[str, int] = field(default_factory=dict)  # name -> inode; -1: a folder
    pending: list[Step] = field(default_factory=list)


@dataclass(slots=True)
class Disk:
    """A disk and what is not yet on it."""

    files: dict[int, _File] = field(default_factory=dict)
    folders: dict[str, _Folder] = field(default_factory=lambda: {".": _Folder()})

    @classmethod
    def replay(cls, steps: list[Step]) -> Disk:
        """Return the disk after `steps`."""
        self = cls()
        for step in steps:
            self._take(step)
        return self

    def _take(self, step: Step) -> None:
        if step.kind == "sync":
            file = self.files.setdefault(step.inode, _File())
            for one in file.pending:
                _apply(file.durable, one, None)
            file.pending.clear()
            file.landed.clear()
        elif step.kind == "landed":
            assert step.of is not None
            self.files[step.inode].landed.append(step.of)
        elif step.kind == "syncdir":
            folder = self.folders.setdefault(step.folder, _Folder())
            for one in folder.pending:
                _rename(folder.durable, one)
            folder.pending.clear()
        elif step.kind in ("write", "allocate", "cut"):
            self.files.setdefault(step.inode, _File()).pending.append(step)
        elif step.kind != "mark":
            if step.kind == "create":
                self.files[step.inode] = _File()
            self.folders.setdefault(step.folder, _Folder()).pending.append(step)

    def crash(self, chance: random.Random, target: Path) -> None:
        """Write one state that the disk may be in into the empty directory `target`."""
        entries = {}
        for path, folder in self.folders.items():
            names = dict(folder.durable)
            for step in _some(folder.pending, chance):
                _rename(names, step)
            entries[path] = names
        self._put(".", target, entries, chance)

    def _put(self, path: str, target: Path, entries: dict[str, dict[str, int]], chance: random.Random) -> None:
        target.mkdir(exist_ok=True)
        for name, inode in entries.get(path, {}).items():
            if inode < 0:
                self._put(os.path.normpath(os.path.join(path, name)), target / name, entries, chance)
                continue
            content = self.files[inode].content(lambda pending: _some(pending, chance), chance)
            (target / name).write_bytes(content)


def _some(pending: list[Step], chance: random.Random) -> Iterator[Step]:
    """Yield what of the pending steps reached the disk: nothing, all, a beginning, or any of them."""
    how = chance.randrange(4)
    stop = chance.randrange(len(pending) + 1) if how == 2 else len(pending)
    for place, step in enumerate(pending):
        if how == 1 or (how == 2 and place < stop) or (how == 3 and chance.random() < 0.5):
            yield step


def _apply(content: bytearray, step: Step, chance: random.Random | None) -> None:
    """Change a file; with `chance` a write may be torn at sectors."""
    if step.kind == "cut":
        del content[step.size :]
        content.extend(bytes(step.size - len(content)))
        return
    end = step.size if step.kind == "allocate" else step.offset + len(step.data)
    content.extend(bytes(max(0, end - len(content))))
    if step.kind == "allocate":
        return
    at = step.offset
    torn = chance is not None and chance.random() < 0.5
    while at < end:
        stop = min(end, (at // SECTOR + 1) * SECTOR)
        if not torn or (chance is not None and chance.random() < 0.5):
            content[at:stop] = step.data[at - step.offset : stop - step.offset]
        at = stop


def _rename(names: dict[str, int], step: Step) -> None:
    """Change a directory."""
    if step.kind == "create":
        names[step.name] = step.inode
    elif step.kind == "mkdir":
        names[step.name] = -1
    elif step.kind == "name":
        if names.get(step.other) == step.inode:
            del names[step.other]
        names[step.name] = step.inode
    else:
        names.pop(step.name, None)


@contextlib.contextmanager
def nothing_fails(recorder: Recorder) -> Iterator[None]:
    """Suspend `fail` and `after`."""
    fail, after = recorder.fail, recorder.after
    recorder.fail, recorder.after = (lambda _: None), (lambda _: None)
    try:
        yield
    finally:
        recorder.fail, recorder.after = fail, after
