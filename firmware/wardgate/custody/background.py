"""What the writer has done beside its loop, in one thread at a time: the next write-ahead file, and checkpoints."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from wardgate.codes import Code
from wardgate.custody.journal import NO_BOUND, Journal
from wardgate.custody.logkey import LogKey, SignerAway
from wardgate.custody.note import NoteError
from wardgate.custody.options import Options
from wardgate.custody.record import TokenEvent
from wardgate.custody.recover import Damaged
from wardgate.custody.seal import Sealer, TileError, read_checkpoint
from wardgate.custody.signing import Signing
from wardgate.custody.wal import CHUNK, Wal, create
from wardgate.log import Log

RETRY_SECONDS: Final = 1.0
NEVER: Final = float("inf")
_FATAL_RETRY_SECONDS: Final = 60.0
_SMALL_FILE: Final = 65536
_SETTLE_SECONDS: Final = 0.2  # associations mostly end together with others
_CONTRADICTIONS: Final = (Damaged, TileError, NoteError)


class Background:
    """Decides when a checkpoint is due and has it made; `wake` is written to when a job has ended, then `collect`."""

    def __init__(self, options: Options, log: Log, journal: Journal, sealer: Sealer, key: LogKey, wake: int) -> None:
        self._options = options
        self._log = log
        self._journal = journal
        self._sealer = sealer
        self._key = key
        self._wake = wake
        self.signing = Signing()
        self.news: list[tuple[TokenEvent, str, str]] = []  # for the writer to record: event, code, detail
        self._job: threading.Thread | None = None
        self._done: list[Callable[[], None]] = []
        self._has_checkpoint = journal.signed > 0
        self._waiting_since = self._made_at = time.monotonic()
        self._retry_at = 0.0
        self._closed = journal.closed  # associations ended when the last checkpoint was begun
        self._closed_at = NEVER
        self.checkpoint_time: float | None = None  # UTC seconds of the last one made by this process

    @property
    def busy(self) -> bool:
        """Is a job running?"""
        return self._job is not None

    def look(self) -> None:
        """Note the time while all is signed: `checkpoint_seconds` count from the first record that is not."""
        if self._journal.durable == self._journal.signed:
            self._waiting_since = time.monotonic()
        if self._journal.closed != self._closed and self._closed_at == NEVER:
            self._closed_at = time.monotonic()

    def due(self) -> float:
        """Return when there is something to do, in monotonic seconds; `NEVER` while a job runs."""
        journal = self._journal
        if self.busy or journal.broken:
            return NEVER
        if journal.prepared is None:
            return self._retry_at
        if self.signing.told:
            return NEVER
        waiting = journal.durable - journal.signed
        if self.signing.is_out:
            return self._retry_at
        if waiting == 0:
            return NEVER if self._has_checkpoint else self._retry_at  # an empty log gets its first checkpoint at once
        if waiting >= self._options.checkpoint_records:
            return self._retry_at
        # At most every `checkpoint_seconds`; at the end of an association as soon as that allows.
        seconds = self._options.checkpoint_seconds
        due = min(self._waiting_since + seconds, max(self._closed_at + _SETTLE_SECONDS, self._made_at + seconds))
        return max(due, self._retry_at)

    def tell(self, reason: tuple[str, str] | None) -> None:
        """The master says that the token cannot be used (code, detail), or that it can: then what waits is signed at once."""
        if reason is None and not self.signing.is_out:
            return
        self._stopping(lambda: self.signing.tell(reason, time.time()))
        if reason is None:
            self._key.forget()
            self._retry_at = 0.0

    def _stopping(self, change: Callable[[], object]) -> None:
        """Do what may begin a time without signatures, and see to what follows from it."""
        was_out = self.signing.is_out
        change()
        signing = self.signing
        if signing.is_out and not was_out:
            self._journal.stop_at = self._journal.signed + self._options.unsigned_records
            self._log.event(Code.CUSTODY_UNSIGNED, reason=signing.code, detail=signing.detail)
            self.news.append((TokenEvent.SIGNING_STOPPED, signing.code, signing.detail))

    def work(self) -> None:
        """Begin what is due."""
        if self._journal.prepared is None:
            self.prepare()
        else:
            self._seal()

    def prepare(self) -> None:
        """Make the next write-ahead file ready."""
        number, size = self._journal.take_number(), self._journal.state.reserved + CHUNK
        self._start(lambda: self._create(number, size))

    def collect(self) -> None:
        """Take up what a job has done."""
        while self._done:
            self._join()
            self._done.pop(0)()

    def finish(self, sign: bool) -> None:
        """End the job; with `sign`, let it end and make the last checkpoint. The loop has ended."""
        if not sign:  # another writer waits for the log, and all workers for it: a card may take 15 s to sign
            self._key.cancel()
            self._join()
            return
        self._join()
        self.collect()
        journal = self._journal
        if journal.broken or journal.durable == journal.signed:
            return
        if self.signing.told:
            self._log.event(Code.CUSTODY_UNSIGNED, reason=self.signing.code, unsigned=journal.durable - journal.signed)
            return
        try:
            if journal.prepared is None:  # there was no room for it when it was wanted
                self._create(journal.take_number(), CHUNK)()
            journal.rotate()
            journal.sealed(self._sealer.seal(list(journal.segments), paced=False))
        except (OSError, ValueError, SignerAway, *_CONTRADICTIONS) as error:
            self._failed(error)

    def _join(self) -> None:
        if self._job is not None:
            self._job.join()
            self._job = None

    def _start(self, work: Callable[[], Callable[[], None]]) -> None:
        """Run `work` in a thread; what it returns runs in the loop afterwards."""

        def body() -> None:
            self._done.append(work())
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake, b"d")

        self._job = threading.Thread(target=body, name="sealer")
        self._job.start()

    def _create(self, number: int, size: int) -> Callable[[], None]:
        wal: Wal | None = None
        problem = ""
        for attempt in (size, _SMALL_FILE):
            try:
                wal = create(self._journal.directory, number, attempt)
                break
            except OSError as error:  # no room for it: the file in use goes on, signing waits
                problem = str(error)

        def after() -> None:
            self._journal.prepared = wal
            if wal is None:
                self._failed(OSError(problem))

        return after

    def _seal(self) -> None:
        journal = self._journal
        try:
            journal.rotate()
        except OSError as error:
            self._failed(error)
            return
        segments = list(journal.segments)
        number, size = journal.take_number(), journal.state.reserved + CHUNK
        self._closed, self._closed_at = journal.closed, NEVER

        def work() -> Callable[[], None]:
            problem: Exception | None = None
            sealed = 0
            try:
                sealed = self._sealer.seal(segments)
            except Exception as error:  # whatever it is: records stay durable, and signing is tried again
                problem = error
            created = self._create(number, size)

            def after() -> None:
                created()
                if problem is None:
                    self._succeeded(sealed)
                else:
                    self._take_checkpoint()
                    self._failed(problem)

            return after

        self._start(work)

    def _succeeded(self, size: int) -> None:
        self._journal.sealed(size)
        self._has_checkpoint = True
        self._waiting_since = self._made_at = time.monotonic()
        self.checkpoint_time = time.time()
        if self.signing.signed():
            self._journal.stop_at = NO_BOUND
            self._log.event(Code.CUSTODY_SIGNED_AGAIN, signed=size)
            self.news.append((TokenEvent.SIGNING_RESUMED, "", ""))

    def _take_checkpoint(self) -> None:
        """After a failure the new checkpoint may still be in place: believe the directory."""
        with contextlib.suppress(OSError, Damaged):
            checkpoint = read_checkpoint(self._journal.directory)
            if checkpoint is not None and checkpoint.size > self._journal.signed:
                self._journal.sealed(checkpoint.size)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, SignerAway):
            self._key.forget()
            away = error
            self._stopping(lambda: self._wait(self.signing.failed(away, time.time())))
            return
        fatal = isinstance(error, _CONTRADICTIONS)
        self._log.event(Code.CUSTODY_CONTRADICTION if fatal else Code.CUSTODY_SEAL_FAILED, detail=error)
        self._retry_at = time.monotonic() + (_FATAL_RETRY_SECONDS if fatal else RETRY_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._retry_at = time.monotonic() + seconds
