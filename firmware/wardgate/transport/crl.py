"""Certificate revocation lists: files named in the configuration and those that `crlfetch` brought; reloaded when they change.

A CRL counts only when the issuer itself signed it (RFC 5280 6.3). Delta, indirect and reason-limited CRLs are not used.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.transport.crllist import CrlList
from wardgate.transport.errors import CrlError

if TYPE_CHECKING:
    from wardgate.transport.chain import Facts

MAX_BYTES: Final = 32 << 20  # of one CRL
MAX_FETCHED: Final = 256  # files looked at in the directory
MAX_WANTED: Final = 64
SKEW_SECONDS: Final = 300  # thisUpdate may be that far ahead of our clock
_MAX_VERDICTS: Final = 4096
_MIN_HASH_BITS: Final = 256


class State(Enum):
    """What the CRLs say of one certificate."""

    GOOD = "good"
    REVOKED = "revoked"  # also by a stale CRL
    STALE = "stale"  # not listed, but the CRL is past its nextUpdate
    MISSING = "missing"


class _Crl:
    """One list, where it came from, and what was found out about it."""

    __slots__ = ("crl", "listed", "signed_by", "source")

    def __init__(self, source: Path, crl: CrlList) -> None:
        self.source = source
        self.crl = crl
        self.signed_by: dict[str, bool] = {}  # by fingerprint of the issuer's certificate
        self.listed: dict[int, bool] = {}  # verdicts by serial


class CrlStore:
    """All CRLs that one or more parties use. Give it out freely: a CRL is only ever applied to certificates of its own issuer."""

    def __init__(
        self,
        files: Iterable[Path] = (),
        directory: Path | None = None,
        every_seconds: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`directory` is RUN_DIR/crl, where `crlfetch` writes; `every_seconds` is how often files are looked at for changes."""
        self._files = tuple(files)
        self._directory = directory
        self._every = every_seconds
        self._clock = clock
        self._looked = -1.0
        self._stamps: dict[Path, tuple[int, int, int]] = {}
        self._loaded: dict[Path, _Crl] = {}
        self._by_issuer: dict[bytes, list[_Crl]] = {}
        self._wanted: set[str] = set()
        self._lock = threading.Lock()
        self.problems: dict[Path, CrlError] = {}  # of the files as last read, for log and status

    def state(self, subject: Facts, issuer: Facts, now: float) -> State:
        """Return what the newest usable CRL of `issuer` says of certificate `subject` at `now` (seconds since 1970)."""
        self.refresh()
        newest: _Crl | None = None
        for crl in self._by_issuer.get(subject.issuer, ()):
            newer = newest is None or crl.crl.this_update > newest.crl.this_update
            if newer and crl.crl.this_update <= now + SKEW_SECONDS and _covers(crl.crl, subject) and self._signed(crl, issuer):
                newest = crl
        if newest is None:
            return State.MISSING
        if _listed(newest, subject.serial):
            return State.REVOKED
        return State.STALE if newest.crl.next_update < now else State.GOOD

    def refresh(self, *, force: bool = False) -> None:
        """Read again what changed on disk, at most once in `every_seconds` unless forced."""
        moment = self._clock()
        if not force and self._looked >= 0 and moment - self._looked < self._every:
            return
        with self._lock:
            self._looked = moment
            stamps = {path: stamp for path in self._paths() if (stamp := _stamp(path)) is not None}
            missing = {path: CrlError(Code.CRL_UNREADABLE, f"{path}: not there") for path in self._files if path not in stamps}
            if stamps == self._stamps and missing.keys() == (self.problems.keys() - stamps.keys()):
                return
            problems = {path: problem for path, problem in self.problems.items() if self._stamps.get(path) == stamps.get(path)}
            loaded = {}
            for path, stamp in stamps.items():
                if self._stamps.get(path) == stamp:
                    if path in self._loaded:
                        loaded[path] = self._loaded[path]
                    continue
                try:
                    loaded[path] = _read(path)
                except CrlError as error:
                    problems[path] = error
                    if path in self._loaded:
                        loaded[path] = self._loaded[path]  # half written: the old one serves until it is stale
            by_issuer: dict[bytes, list[_Crl]] = {}
            for crl in loaded.values():
                by_issuer.setdefault(crl.crl.issuer, []).append(crl)
            self._stamps, self._loaded, self._by_issuer, self.problems = stamps, loaded, by_issuer, problems | missing

    def want(self, points: Iterable[str]) -> None:
        """Ask `crlfetch` for the distribution points of a peer's verified certificate: one small file each in `directory`/wanted."""
        if self._directory is None:
            return
        for url in points:
            if url in self._wanted or not url.lower().startswith("http://") or len(url) > 1024 or len(self._wanted) >= MAX_WANTED:
                continue
            self._wanted.add(url)
            folder = self._directory / "wanted"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if len(os.listdir(folder)) < MAX_WANTED:
                    (folder / url_name(url)).write_text(url, "utf-8")
            except OSError:
                self._wanted.discard(url)  # asked again at the next certificate

    def _signed(self, crl: _Crl, issuer: Facts) -> bool:
        known = crl.signed_by.get(issuer.fingerprint)
        if known is None:
            if len(crl.signed_by) >= 64:
                crl.signed_by.clear()
            strong = issuer.signs_crls and crl.crl.hash_bits >= _MIN_HASH_BITS
            known = crl.signed_by[issuer.fingerprint] = strong and crl.crl.signed_with(issuer.der)
            if not known:
                self.problems[crl.source] = CrlError(Code.CRL_WRONG_SIGNER, str(crl.source))
        return known

    def _paths(self) -> list[Path]:
        fetched: list[Path] = []
        if self._directory is not None:
            try:
                names = sorted(name for name in os.listdir(self._directory) if name.endswith(".crl"))
            except OSError:
                names = []
            fetched = [self._directory / name for name in names[:MAX_FETCHED]]
        return [*self._files, *fetched]


def url_name(url: str) -> str:
    """Return the file name (without suffix) under which a fetched URL lies."""
    return hashlib.sha256(url.encode()).hexdigest()


def read_bounded(path: Path) -> bytes:
    """Read a CRL file. Raises `CrlError` when it cannot be read or is over 32 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CrlError(Code.CRL_UNREADABLE, f"{path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise CrlError(Code.CRL_UNREADABLE, f"{path}: over {MAX_BYTES} bytes")
    return data


def _read(path: Path) -> _Crl:
    try:
        return _Crl(path, CrlList(read_bounded(path)))
    except ValueError as error:
        raise CrlError(Code.CRL_UNREADABLE, f"{path}: {str(error)[:120]}") from error


def _covers(crl: CrlList, subject: Facts) -> bool:
    """RFC 5280 6.3.3 (b): the CRL's scope takes in this certificate."""
    if (crl.only_users and subject.is_authority) or (crl.only_authorities and not subject.is_authority):
        return False
    return not crl.points or not crl.points.isdisjoint(subject.points)


def _listed(crl: _Crl, serial: int) -> bool:
    known = crl.listed.get(serial)
    if known is None:
        if len(crl.listed) >= _MAX_VERDICTS:
            crl.listed.clear()
        known = crl.listed[serial] = crl.crl.lists(serial)
    return known


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
