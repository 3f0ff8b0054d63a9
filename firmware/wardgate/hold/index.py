"""What is in the queue, in memory: kept up by looking at what came since the last look."""

from __future__ import annotations

import os
from contextlib import suppress

from wardgate.hold.counters import Counters
from wardgate.hold.files import Files
from wardgate.hold.scan import Found, Place, SegmentView, own_files, segments


class Index:
    """The places of all instances. `look` finds what came; only `finish` changes anything on the disk."""

    def __init__(self, files: Files, queue: str, quarantine: str) -> None:
        self._files = files
        self._queue = queue
        self._quarantine = quarantine
        self._segments: dict[str, SegmentView] = {}
        self.places: dict[str, Place] = {}

    def look(self) -> None:
        """Find what came and forget what went. Raises `OSError`."""
        own = {found.stem: found.place for found in own_files(self._quarantine, True)}
        own |= {found.stem: found.place for found in own_files(self._queue, False)}
        for stem in [stem for stem, place in self.places.items() if not place.offset and stem not in own]:
            del self.places[stem]
        self.places |= own
        names = segments(self._queue)
        for name in set(self._segments) - set(names):
            self._forget(name)
        for name in names:
            view = self._segments.get(name)
            if view is None:
                view = self._segments[name] = SegmentView(os.path.join(self._queue, name))
            if not view.ended:
                try:
                    self._take(view.look())
                except FileNotFoundError:
                    self._forget(name)

    def add(self, stem: str, place: Place) -> None:
        """A worker told of an instance."""
        self.places.setdefault(stem, place)

    def finish(self, counters: Counters) -> tuple[int, list[str]]:
        """Look through segments whose writers are gone: how many ended in something unfinished, and where nothing can be read."""
        unfinished, damaged = 0, []
        for view in self._segments.values():
            if view.ended:
                continue
            try:
                ended = view.finish(self._files, counters.take_number)
            except FileNotFoundError:
                continue
            if ended is not None:
                self._take(ended.found)
                unfinished += ended.unfinished
                damaged += [f"{os.path.basename(view.path)}:{offset}" for offset in ended.damaged]
        return unfinished, damaged

    def is_logged(self, path: str) -> bool:
        """Is nothing that is carried in this segment missing in the custody log?"""
        view = self._segments.get(os.path.basename(path))
        return view is not None and view.logged

    def all_logged(self, but: set[str], unread: set[str]) -> None:
        """Say so of all segments that nobody writes, but for those with an instance among `but` and those at `unread`. Raises `OSError`."""
        for view in self._segments.values():
            if view.ended and not view.logged and not view.damaged and view.path not in unread and not view.stems & but:
                with suppress(FileNotFoundError):
                    view.say_logged(self._files)

    def spent(self, gone: set[str]) -> list[str]:
        """Return the paths of segments that nobody writes and of which everything is among `gone`."""
        return [view.path for view in self._segments.values() if view.ended and not view.damaged and view.stems <= gone]

    def forget(self, path: str) -> None:
        """A segment or a file of one instance was removed."""
        name = os.path.basename(path)
        if name in self._segments:
            self._forget(name)

    def _take(self, found: list[Found]) -> None:
        for stem, place in found:
            self.places.setdefault(stem, place)

    def _forget(self, name: str) -> None:
        view = self._segments.pop(name)
        for stem in view.stems:
            self.places.pop(stem, None)
