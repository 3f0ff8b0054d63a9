"""The directory of the queue. A file's name is its state; every change of state is one rename.

queue/0000-ID.part          being written; removed when its writer is gone (nobody was told that it is stored)
queue/NUMBER-ID.held        whole and durable: waits to be sent, lowest number first
queue/NUMBER-ID.sent-XXXX   the destination answered with status XXXX; not sent again, removed when its record is durable
quarantine/NUMBER-ID.held   not sent until a person decides; NUMBER-ID.why says why (JSON)
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wardgate.hold.counters import Counters
from wardgate.hold.files import Files
from wardgate.hold.header import PREFIX_BYTES, Header, Trailer, decode_header, decode_trailer, head_size
from wardgate.hold.seal import CHUNK_BYTES, LENGTH, Damaged, Opener, Sealer
from wardgate.hold.wrap import KEY_BYTES, Wrapper

_NAME: Final = re.compile(r"([0-9]{16}-[0-9a-f]{16})\.(held|sent-([0-9A-F]{4}))")
_PART: Final = re.compile(r"0{16}-[0-9a-f]{16}\.part")
STEM: Final = re.compile(r"[0-9]{16}-[0-9a-f]{16}")
_MAX_WHY: Final = 4096
_FRESH_SECONDS: Final = 2.0
_NOTHING: Final = memoryview(b"")


class Entry(NamedTuple):
    """One file of the queue by its name. `status`: the destination's answer, -1 while it waits."""

    stem: str
    name: str
    status: int

    @property
    def number(self) -> int:
        """Its place in the order."""
        return int(self.stem[:16])


class Store:
    """The directory. Blocking: what may take long is called from a thread."""

    def __init__(self, directory: str | os.PathLike[str], wrapper: Wrapper, files: Files | None = None) -> None:
        """Open it, make it if it is not there. Raises `OSError`."""
        self.directory = os.path.abspath(directory)
        self.files = files or Files()
        self.wrapper = wrapper
        wrapper.unwrap(wrapper.name, wrapper.wrap(bytes(KEY_BYTES)))  # it works; and its library is loaded before the first instance
        Sealer(bytes(KEY_BYTES), b"").trailer(b"")
        self.queue = os.path.join(self.directory, "queue")
        self.quarantine = os.path.join(self.directory, "quarantine")
        self.contexts = os.path.join(self.directory, "contexts")
        for path in (self.directory, self.queue, self.quarantine, self.contexts):
            self.files.make_directory(path)
        self._spares: deque[tuple[int, str]] = deque()
        self.counters = Counters(os.path.join(self.directory, "counters"))
        numbers = [entry.number for entry in (*self.entries(), *self.quarantined())]
        self.counters.at_least(max(numbers, default=0) + 1)

    def begin(self, header: Header) -> Body:
        """Make the file of a new instance; `key_name` and `wrapped` of the header are filled in. Raises `OSError`, `WrapError`."""
        key = os.urandom(KEY_BYTES)
        head = header._replace(key_name=self.wrapper.name, wrapped=self.wrapper.wrap(key).hex()).encode()
        fd, path = self._spares.popleft() if self._spares else self._empty()
        body = Body(self.files, fd, path, Sealer(key, head))
        try:
            body.write_raw(head)
        except OSError:
            self.drop(body)
            raise
        return body

    def lay_in(self, count: int) -> None:
        """Make empty files ahead: the file system may let the one who makes a file wait for a commit. Raises `OSError`."""
        while len(self._spares) < count:
            self._spares.append(self._empty())

    def put_away(self) -> None:
        """Remove the empty files that were not needed."""
        while self._spares:
            fd, path = self._spares.popleft()
            self.files.close(fd)
            self.files.unlink(path)

    @property
    def spares(self) -> int:
        """How many empty files are ready."""
        return len(self._spares)

    def _empty(self) -> tuple[int, str]:
        path = os.path.join(self.queue, f"{0:016d}-{os.urandom(8).hex()}.part")
        fd = self.files.create(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # tells `leftovers` that its writer lives
        except OSError:
            self.files.close(fd)
            self.files.unlink(path)
            raise
        return fd, path

    def keep(self, body: Body) -> str:
        """Give the finished `body` its name and number and make it durable; the directory is not synced yet. Returns its name.

        Rename before sync: one commit of the file system's journal then carries both. A power cut between the two can leave a `.held`
        file that is cut off; nobody was told that it is stored, and it goes to quarantine, because it looks like a damaged one.
        """
        number = self.counters.take_number()
        name = f"{number:016d}-{body.path[-21:-5]}.held"
        path = os.path.join(self.queue, name)
        self.files.rename(body.path, path)
        body.path = path
        self.files.sync(body.fd)
        self.files.close(body.fd)
        self.counters.add_bytes(body.size)
        return name

    def drop(self, body: Body, kept: bool = False) -> None:
        """Remove a file that nobody was told of. `kept`: `keep` returned."""
        if kept:
            self.counters.add_bytes(-body.size)
        else:
            self.files.close(body.fd)
        self.files.unlink(body.path)

    def entries(self) -> list[Entry]:
        """Return what waits or was answered, in order."""
        return sorted(_entries(self.queue))

    def entry(self, name: str) -> Entry | None:
        """Return the entry of a file's name; None when it is no such name."""
        match = _NAME.fullmatch(name)
        return Entry(match[1], name, int(match[3], 16) if match[3] else -1) if match else None

    def quarantined(self) -> list[Entry]:
        """Return what is in quarantine, in order."""
        return sorted(_entries(self.quarantine))

    def read(self, name: str, quarantined: bool = False) -> Reader:
        """Open a file of the queue. Raises `Damaged`, `WrapError`, `OSError`."""
        return Reader(os.path.join(self.quarantine if quarantined else self.queue, name), self.wrapper)

    def answered(self, entry: Entry, status: int) -> Entry:
        """Write down that the destination answered for good: it is not sent again. The directory is not synced yet."""
        name = f"{entry.stem}.sent-{status & 0xFFFF:04X}"
        self.files.rename(os.path.join(self.queue, entry.name), os.path.join(self.queue, name))
        return Entry(entry.stem, name, status & 0xFFFF)

    def remove(self, name: str) -> None:
        """Remove a file of the queue."""
        path = os.path.join(self.queue, name)
        self.counters.add_bytes(-_size(path))
        self.files.unlink(path)

    def set_aside(self, entry: Entry, why: dict[str, Any]) -> None:
        """Put a file into quarantine with the reason. Durable when it returns."""
        self.files.write_whole(os.path.join(self.quarantine, f"{entry.stem}.why"), json.dumps(why).encode("ascii")[:_MAX_WHY])
        self.files.rename(os.path.join(self.queue, entry.name), os.path.join(self.quarantine, f"{entry.stem}.held"))
        self.files.sync_directory(self.quarantine)
        self.files.sync_directory(self.queue)

    def put_back(self, stem: str) -> None:
        """Put a file from quarantine back at its place in the queue. Durable when it returns."""
        name = f"{stem}.held"
        self.files.rename(os.path.join(self.quarantine, name), os.path.join(self.queue, name))
        self.files.sync_directory(self.queue)
        self.files.unlink(os.path.join(self.quarantine, f"{stem}.why"))
        self.files.sync_directory(self.quarantine)

    def release(self, stem: str) -> None:
        """Remove a file from quarantine for ever. Durable when it returns."""
        path = os.path.join(self.quarantine, f"{stem}.held")
        self.counters.add_bytes(-_size(path))
        self.files.unlink(path)
        self.files.unlink(os.path.join(self.quarantine, f"{stem}.why"))
        self.files.sync_directory(self.quarantine)

    def why(self, stem: str) -> dict[str, Any]:
        """Return why a file is in quarantine; empty when that is not known."""
        try:
            with open(os.path.join(self.quarantine, f"{stem}.why"), "rb") as file:
                found = json.loads(file.read(_MAX_WHY))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def leftovers(self) -> int:
        """Remove unfinished files whose writer is gone; return how many of them something had been written to."""
        removed = 0
        for name in os.listdir(self.queue):
            if not _PART.fullmatch(name):
                continue
            path = os.path.join(self.queue, name)
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if os.path.exists(path) and time.time() - os.fstat(fd).st_mtime > _FRESH_SECONDS:  # not renamed, not just made
                    removed += os.fstat(fd).st_size > 0
                    self.files.unlink(path)
            except BlockingIOError:
                pass
            finally:
                os.close(fd)
        return removed

    def count_bytes(self) -> int:
        """Count the bytes held and tell the other processes."""
        size = 0
        for folder in (self.queue, self.quarantine):
            with os.scandir(folder) as found:
                for file in found:
                    try:
                        size += file.stat().st_size
                    except FileNotFoundError:
                        continue
        self.counters.set_bytes(size)
        return size


class Body:
    """A file being written. Bytes are gathered to chunks; `written` counts plain ones, `size` those of the file."""

    __slots__ = ("_chunk", "_files", "_have", "_sealer", "fd", "path", "size", "written")

    def __init__(self, files: Files, fd: int, path: str, sealer: Sealer) -> None:
        self._files = files
        self.fd = fd
        self.path = path
        self._sealer = sealer
        self._chunk = memoryview(bytearray(CHUNK_BYTES))
        self._have = 0
        self.size = 0
        self.written = 0

    def write_raw(self, data: bytes | memoryview) -> None:
        """Write bytes as they are. Raises `OSError`."""
        self._files.write(self.fd, data)
        self.size += len(data)

    def write(self, data: memoryview) -> None:
        """Take the next bytes of the data set. Raises `OSError`."""
        size = len(data)
        self.written += size
        have = self._have
        if have + size < CHUNK_BYTES:
            self._chunk[have : have + size] = data
            self._have = have + size
            return
        at = 0
        while at < size:
            piece = min(size - at, CHUNK_BYTES - self._have)
            self._chunk[self._have : self._have + piece] = data[at : at + piece]
            self._have += piece
            at += piece
            if self._have == CHUNK_BYTES:
                self._flush()

    def finish(self, sha256: str) -> None:
        """Write the last chunk and the trailer. Raises `OSError`."""
        if self._have:
            self._flush()
        self._chunk = _NOTHING
        self.write_raw(self._sealer.trailer(Trailer(self.written, sha256).encode()))

    def _flush(self) -> None:
        sealed = self._sealer.chunk(self._chunk[: self._have])
        self._have = 0
        self.write_raw(sealed)


class Reader:
    """A file of the queue, opened: `header`, then `chunks()`, then `trailer`."""

    def __init__(self, path: str, wrapper: Wrapper) -> None:
        self.trailer: Trailer | None = None
        self._wrapper = wrapper
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  closed by `close`
        try:
            prefix = self._file.read(PREFIX_BYTES)
            text = self._file.read(head_size(prefix))
            self.header = decode_header(text)
        except Exception:
            self._file.close()
            raise
        self._head = prefix + text

    def chunks(self) -> Iterator[bytes]:
        """Yield the data set in pieces. Each has been verified; only after the last the file is known to be whole.

        Raises `Damaged`, `WrapError`.
        """
        try:
            wrapped = bytes.fromhex(self.header.wrapped)
        except ValueError as error:
            raise Damaged("the wrapped key is not hexadecimal") from error
        opener = Opener(self._wrapper.unwrap(self.header.key_name, wrapped), self._head)
        total = 0
        while True:
            length = self._file.read(LENGTH.size)
            data = opener.open(length, _read(self._file, opener.size(length)))
            if opener.ended:
                break
            total += len(data)
            yield data
        if self._file.read(1):
            raise Damaged("something follows the trailer")
        self.trailer = decode_trailer(data)
        if self.trailer.length != total:
            raise Damaged(f"{total} bytes of data set, the trailer says {self.trailer.length}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read(file: Any, size: int) -> bytes:
    data: bytes = file.read(size)
    while len(data) < size:
        more = file.read(size - len(data))
        if not more:
            break
        data += more
    return data


def _entries(folder: str) -> Iterator[Entry]:
    for name in os.listdir(folder):
        match = _NAME.fullmatch(name)
        if match:
            yield Entry(match[1], name, int(match[3], 16) if match[3] else -1)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
