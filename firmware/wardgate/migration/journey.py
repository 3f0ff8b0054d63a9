"""One area brought to the format of the release that runs: forward by its steps, or back from the copies of a newer release.

The name of the folder of copies is how far it is (below `migration` of the area):

| name    | what holds | what the next start does |
|---------|------------|--------------------------|
| `new`   | copies and new bytes are being written; nothing has changed | removes it |
| `begun` | files are being replaced; the number is replaced last | by the number: calls it `kept`, or puts back |
| `kept`  | the migration is whole | nothing; puts back when the number is above what the release knows |
| `back`  | the copies are being put back | goes on |
| `old`   | of no use any more | removes it |

Copies, new bytes and number lie there before anything changes, so what follows are renames alone: they need no room on the disk, and each
can be done again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.migration import copies as manifests
from wardgate.migration import disk, steps
from wardgate.migration.areas import OWN
from wardgate.migration.copies import MAX_MANIFEST, NUMBER, Copies, CopiesError, copy_of
from wardgate.migration.disk import ForeignFile
from wardgate.migration.plan import MAX_BYTES, MigrationFailed, Plan, plan

if TYPE_CHECKING:
    from wardgate.log import Log
    from wardgate.migration.areas import Area
    from wardgate.migration.steps import Step

NEW, BEGUN, KEPT, BACK, OLD = "new", "begun", "kept", "back", "old"
MANIFEST: Final = "manifest"
_MODE: Final = 0o640  # of a file that a step makes


class MigrationStuck(Exception):
    """The area is of a format that this release does not know, or in between, and cannot be put back."""


class Journey:
    """One area, `root` its folder. `release`: the version that runs. `moved`: "1 > 2" when files were migrated; `put_back`: "2 > 1" when
    copies of a newer release were put back; each "" when not."""

    def __init__(self, area: Area, root: str, release: str, log: Log) -> None:
        self.area, self._root, self._release, self._log = area, root, release, log
        self._own = os.path.join(root, OWN)
        self.moved = ""
        self.put_back = ""

    def bring(self, all_steps: tuple[Step, ...]) -> None:
        """Bring it there. Raises `MigrationFailed`: all is as before; `MigrationStuck`; `ValueError`: steps that are none."""
        ours, known = steps.of(self.area, all_steps), steps.known(self.area, all_steps)
        try:
            self._settle(known)
            at = self.at()
        except (OSError, CopiesError, ForeignFile) as error:
            raise MigrationStuck(str(error)) from error
        if at < known:
            self._go(ours, at)

    def at(self) -> int:
        """Return the number of the area. Raises `CopiesError`, `ForeignFile`, `OSError`."""
        found = disk.read(self._root, NUMBER, 32)
        return steps.FIRST if found is None else manifests.parse_number(found[0])

    # --- what an earlier start, or a newer release, has left

    def _settle(self, known: int) -> None:
        for name in (NEW, OLD):
            disk.clear(self._place(name))
        found = [name for name in (BEGUN, KEPT, BACK) if disk.exists(self._place(name))]
        if len(found) > 1:
            raise MigrationStuck(f"{' and '.join(found)} are both there")
        at = self.at()
        if found == [BACK]:
            self._tell_back(self._restore(BACK), known)
        elif found == [BEGUN]:
            begun = self._copies(BEGUN)
            if at == begun.start:
                self._tell_back(self._restore(BEGUN), known)
            elif at == begun.to:
                self._rename(BEGUN, KEPT)
                found = [KEPT]
            else:
                raise MigrationStuck(f"a migration from {begun.start} to {begun.to} was begun, and the number is {at}")
        if found == [KEPT]:
            self._keep_or_put_back(at, known)
        elif found == [] and at > known:
            raise MigrationStuck(f"format {at}, and this release knows {known}: no copies are there")

    def _keep_or_put_back(self, at: int, known: int) -> None:
        try:
            kept = self._copies(KEPT)
        except CopiesError as error:
            if at > known:
                raise
            self._log.event(Code.MIGRATION_COPIES_DAMAGED, area=self.area.value, detail=error)
            self._drop(KEPT)
            return
        if at > known:
            if kept.to != at or kept.start > known:
                raise MigrationStuck(f"format {at}, this release knows {known}, and the copies are from {kept.start} to {kept.to}")
            self._tell_back(self._restore(KEPT), known)
        elif kept.to != at or kept.release != self._release:
            # The release that knew the older format has been written over, by the one that runs now.
            self._drop(KEPT)

    def _restore(self, name: str) -> Copies:
        """Put everything back that lies in the folder `name`. Raises `CopiesError` before anything is touched, `OSError`."""
        held = self._copies(name)
        for place, copy in enumerate(held.files):
            if copy.was_there:
                found = disk.read(self._place(name), str(place), MAX_BYTES) or disk.read(self._root, copy.path, MAX_BYTES)
                if found is None or not copy.is_of(found[0]):
                    raise CopiesError(f"the copy of {copy.path} is missing or damaged")
        if name != BACK:
            self._rename(name, BACK)
        for place, copy in enumerate(held.files):
            if copy.path == NUMBER:
                self._sync(held)
            target, blob = os.path.join(self._root, copy.path), os.path.join(self._place(BACK), str(place))
            if not copy.was_there:
                disk.remove(target)
            elif disk.exists(blob):
                disk.move(blob, target)
        disk.sync(self._own)
        self._drop(BACK)
        return held

    def _tell_back(self, held: Copies, known: int) -> None:
        said = f"{held.to} > {held.start}"
        code = Code.MIGRATION_UNDONE
        if held.to > known:  # a newer release's; else our own, that was cut short
            code, self.put_back = Code.MIGRATION_PUT_BACK, said
        self._log.event(code, area=self.area.value, format=said, files=len(held.files) - 1, release=held.release)

    # --- forward

    def _go(self, ours: tuple[Step, ...], at: int) -> None:
        modes: dict[str, int] = {}

        def read(path: str) -> bytes | None:
            found = disk.read(self._root, path, MAX_BYTES)
            if found is not None:
                modes[path] = found[1]
            return found[0] if found is not None else None

        try:
            planned = plan(ours, at, read)
            number = disk.read(self._root, NUMBER, 32)
            planned.before[NUMBER] = number[0] if number is not None else None
            planned.after[NUMBER] = manifests.number_text(planned.to)
            held = self._stage(planned, modes)
            if disk.exists(self._place(KEPT)):
                self._drop(KEPT)
            self._rename(NEW, BEGUN)
        except (OSError, ForeignFile) as error:
            self._forget_new()
            raise MigrationFailed(str(error)) from error
        try:
            self._replace(planned, held)
        except OSError as error:
            try:
                self._restore(BEGUN)
            except (OSError, CopiesError, ForeignFile) as second:
                raise MigrationStuck(f"{error}; and not put back: {second}") from error
            raise MigrationFailed(str(error)) from error
        try:
            self._rename(BEGUN, KEPT)
        except OSError:
            pass  # all is new and durable; the next start gives the folder its name
        self.moved = f"{planned.start} > {planned.to}"
        self._log.event(Code.MIGRATED, area=self.area.value, format=self.moved, files=len(planned.before) - 1)

    def _stage(self, planned: Plan, modes: dict[str, int]) -> Copies:
        """Write copies, new bytes and manifest beside each other. Raises `OSError`."""
        place = self._place(NEW)
        if not disk.exists(self._own):
            disk.make(self._own)
            disk.sync(self._root)
        disk.make(place)
        files = []
        for index, (path, data) in enumerate(planned.before.items()):
            mode = modes.get(path, _MODE)
            files.append(copy_of(path, data, mode))
            made = planned.after[path]
            if made is not None and not os.path.isdir(os.path.dirname(os.path.join(self._root, path))):
                raise FileNotFoundError(2, "its folder is not there", path)
            for name, content in ((str(index), data), (f"to{index}", made)):
                if content is not None:
                    disk.put(os.path.join(place, name), content, mode)
        held = Copies(self.area, planned.start, planned.to, self._release, tuple(files))
        disk.put(os.path.join(place, MANIFEST), manifests.write(held), _MODE)
        disk.sync(place)
        return held

    def _replace(self, planned: Plan, held: Copies) -> None:
        for index, (path, data) in enumerate(planned.after.items()):
            if path == NUMBER:
                self._sync(held)
            target = os.path.join(self._root, path)
            if data is None:
                disk.remove(target)
            else:
                disk.move(os.path.join(self._place(BEGUN), f"to{index}"), target)
        disk.sync(self._own)

    def _forget_new(self) -> None:
        try:
            disk.clear(self._place(NEW))
        except OSError:
            pass  # the next start removes it

    # --- the folder

    def _sync(self, held: Copies) -> None:
        """Make what was renamed or removed durable, before the number says so. Raises `OSError`."""
        for folder in sorted({os.path.dirname(os.path.join(self._root, copy.path)) for copy in held.files}):
            if os.path.isdir(folder):
                disk.sync(folder)

    def _copies(self, name: str) -> Copies:
        found = disk.read(self._place(name), MANIFEST, MAX_MANIFEST)
        if found is None:
            raise CopiesError("the copies have no manifest")
        return manifests.read(found[0], self.area)

    def _rename(self, old: str, new: str) -> None:
        disk.move(self._place(old), self._place(new))
        disk.sync(self._own)

    def _drop(self, name: str) -> None:
        self._rename(name, OLD)
        disk.clear(self._place(OLD))

    def _place(self, name: str) -> str:
        return os.path.join(self._own, name)
