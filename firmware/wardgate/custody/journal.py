"""The writer's heart without its sockets: items become frames in a batch, `commit` makes the batch durable with one sync.

After a failed write or sync the batch is lost and so is the file (the kernel may drop pages it could not write, and say so only
once): `repair` reads back from the disk what was acknowledged and goes on in a new file.
"""

from __future__ import annotations

import os
from typing import Final

from wardgate.custody import wire
from wardgate.custody.clock import Clock
from wardgate.custody.frames import OVERHEAD, Kind, encode
from wardgate.custody.ledger import admit
from wardgate.custody.record import MAX_RECORD, TokenNews, close_record, token_record
from wardgate.custody.recover import Damaged, Recovered, Segment, recover
from wardgate.custody.state import CLOSE_ROOM, COMMITMENT, Entry, State
from wardgate.custody.wal import CHUNK, Wal, create
from wardgate.custody.wire import NO_INDEX, Status

_OPEN, _STORE, _CLOSE, _RESERVE = int(Kind.OPEN), int(Kind.STORE), int(Kind.CLOSE), int(Kind.RESERVE)
_EVENT, _TOKEN = int(Kind.EVENT), int(Kind.TOKEN)
_BEGINS: Final = {_OPEN: b'{"v":1,"type":"open"', _STORE: b'{"v":1,"type":"store"', _CLOSE: b'{"v":1,"type":"close"'}
_REFUSED: Final = (int(Status.REFUSED), NO_INDEX)
_NO_SPACE: Final = (int(Status.NO_SPACE), NO_INDEX)
_UNSIGNED: Final = (int(Status.UNSIGNED), NO_INDEX)
_OK: Final = int(Status.OK)
NO_BOUND: Final = 2**63


class Journal:
    """The write-ahead files of one log directory and the state that they give. `directory` is locked by the caller."""

    def __init__(self, directory: str, sync: bool, checkpoint_size: int) -> None:
        self.directory = directory
        self._sync = sync
        self._clock = Clock()
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self.broken = False
        self.prepared: Wal | None = None  # the next file, made ready beside the loop
        self.signed = checkpoint_size
        self.closed = 0  # associations that ended, ever
        self.stop_at = NO_BOUND  # index from which on no new association and no store is taken, because nothing is signed
        self._begin(recover(directory, checkpoint_size))

    def _begin(self, found: Recovered) -> None:
        state = found.state
        self._next_number = found.next_number
        head = encode(0, state.next_index, Kind.STATE, wire.NO_ASSOCIATION, 0, state.encode())
        wal = create(self.directory, self.take_number(), len(head) + state.reserved + CHUNK // 4)
        try:
            wal.write(head)
            wal.sync()
        except OSError:
            wal.close()
            raise
        self.state: State = state  # from here on nothing fails
        self.segments: list[Segment] = found.segments
        self.torn, self.missing = found.torn, found.missing
        self.wal: Wal = wal
        self._wal_start = self.state.next_index
        self.durable = self.state.next_index
        self._old_bytes = sum(os.stat(segment.path).st_size for segment in self.segments)

    def take_number(self) -> int:
        """Return a number for a new file, never given before."""
        self._next_number += 1
        return self._next_number - 1

    @property
    def unsealed(self) -> int:
        """Bytes of write-ahead files that no checkpoint covers yet."""
        return self._old_bytes + self.wal.position

    @property
    def pending(self) -> bool:
        """Is there something to commit?"""
        return bool(self._batch)

    def submit(self, owner: object, kind: int, association: bytes, seq: int, payload: bytes) -> tuple[int, int]:
        """Put a STORE or CLOSE into the batch: (status, index), true once `commit` returned. Other kinds: see `begin`, `extend`."""
        state = self.state
        entry = state.open.get(association)
        if entry is None or entry.owner is not owner or seq <= entry.last_seq:
            again = self._again(owner, entry or state.closed.get(association), seq) if seq else _REFUSED
            if entry is None or again is not None:
                return again or _REFUSED
        size = len(payload)
        is_store = payload.startswith(_BEGINS[kind])
        if size > MAX_RECORD or not (is_store or (kind == _STORE and payload.startswith(COMMITMENT))):
            return _REFUSED
        need = size + OVERHEAD
        if kind == _STORE:
            if state.next_index >= self.stop_at:
                return _UNSIGNED
            if need + CLOSE_ROOM > entry.reserved and not self._more(entry, need + CLOSE_ROOM - entry.reserved):
                return _NO_SPACE
            entry.stores += is_store
        elif need > entry.reserved and not self._more(entry, need - entry.reserved):
            return _NO_SPACE
        index = self._store(entry, kind, seq, payload)
        if kind == _CLOSE:
            state.end(entry)
            self.closed += 1
        return _OK, index

    def _store(self, entry: Entry, kind: int, seq: int, payload: bytes) -> int:
        state, need = self.state, len(payload) + OVERHEAD
        index = state.next_index
        state.next_index = index + 1
        entry.reserved -= need
        state.reserved -= need
        entry.note(seq, index)
        self._batch.append(encode(self.wal.synced, index, kind, entry.association, seq, payload))
        self._batch_bytes += need
        return index

    def begin(self, owner: object, association: bytes, seq: int, payload: bytes) -> tuple[int, int]:
        """Put an OPEN into the batch and reserve its space: (status, index)."""
        state = self.state
        known = state.open.get(association) or state.closed.get(association)
        if known is not None:
            return self._again(owner, known, 0) or _REFUSED
        reserve = wire.decode_reserve(payload)
        need = len(payload) + OVERHEAD
        if seq or need > MAX_RECORD + OVERHEAD + 4 or not payload.startswith(_BEGINS[_OPEN], 4):
            return _REFUSED
        if state.next_index >= self.stop_at:
            return _UNSIGNED
        if not self._admit(reserve + CLOSE_ROOM + need):
            return _NO_SPACE
        self._batch.append(encode(self.wal.synced, state.next_index, _OPEN, association, 0, payload))
        self._batch_bytes += need
        entry = state.begin(association, reserve)
        entry.owner = owner
        return _OK, entry.opened

    def extend(self, owner: object, association: bytes, payload: bytes) -> tuple[int, int]:
        """Reserve more for an open association: (status, no index)."""
        entry = self.state.open.get(association)
        if entry is None or self._again(owner, entry, entry.last_seq + 1) is not None:
            return _REFUSED
        more = wire.decode_reserve(payload)
        if not self._more(entry, more + OVERHEAD + 4):
            return _NO_SPACE
        entry.reserved -= OVERHEAD + 4
        self.state.reserved -= OVERHEAD + 4
        self._batch.append(encode(self.wal.synced, self.state.next_index, _RESERVE, association, 0, wire.encode_reserve(more)))
        self._batch_bytes += OVERHEAD + 4
        return _OK, NO_INDEX

    def event(self, association: bytes, payload: bytes) -> tuple[int, int]:
        """Put a record outside of any association into the batch: (status, index). `association`: 16 bytes of its own."""
        state = self.state
        known = state.closed.get(association)
        if known is not None:
            return _OK, known.opened
        need = len(payload) + OVERHEAD
        is_ours = payload.startswith(tuple(_BEGINS.values())) or not payload.startswith(b'{"v":1,"type":"')
        if is_ours or len(payload) > MAX_RECORD or association in state.open:
            return _REFUSED
        if not self._admit(need):
            return _NO_SPACE
        self._batch.append(encode(self.wal.synced, state.next_index, _EVENT, association, 0, payload))
        self._batch_bytes += need
        return _OK, state.event(association).opened

    def has(self, association: bytes, seq: int) -> int:
        """Is that record in the log, once `commit` has returned? REFUSED: its association was closed without it.

        An association that is not remembered ended long ago, with all that it had.
        """
        entry = self.state.open.get(association) or self.state.closed.get(association)
        if entry is None or seq <= entry.last_seq:
            return _OK
        return int(Status.NOT_YET if association in self.state.open else Status.REFUSED)

    def catch_up(self, association: bytes, seq: int, payload: bytes) -> bool | None:
        """Put the record of an instance that was acknowledged with it into the batch: by whom it was sent does not matter, nor what is
        signed. False: it is there, or is no such record; None: there is no room."""
        entry = self.state.open.get(association)
        if entry is None or seq <= entry.last_seq or not payload.startswith(_BEGINS[_STORE]) or len(payload) > MAX_RECORD:
            return False
        need = len(payload) + OVERHEAD + CLOSE_ROOM
        if need > entry.reserved and not self._more(entry, need - entry.reserved):
            return None
        self._store(entry, _STORE, seq, payload)
        entry.stores += 1
        return True

    def give_up(self, entry: Entry, why: str) -> None:
        """Close an entry whose worker is gone: instances after its last record have an unknown outcome."""
        now, quality = self._clock.now()
        record = close_record(entry.association, now, quality, entry.stores, why, entry.last_index)
        # The frame repeats the last sequence number: the next one is the worker's, and if it comes after all it is refused.
        self._batch.append(encode(self.wal.synced, self.state.next_index, _CLOSE, entry.association, entry.last_seq, record))
        self._batch_bytes += len(record) + OVERHEAD
        self.state.next_index += 1
        self.state.end(entry)
        self.closed += 1

    def add_token(self, news: TokenNews, signing: bool) -> bool:
        """Put a token record into the batch; False when there is no room for it."""
        unsigned = self.state.next_index - self.signed
        record = token_record(*self._clock.now(), news, signing, unsigned)
        if not self._admit(len(record) + OVERHEAD):
            return False
        self._batch.append(encode(self.wal.synced, self.state.next_index, _TOKEN, wire.NO_ASSOCIATION, 0, record))
        self._batch_bytes += len(record) + OVERHEAD
        self.state.next_index += 1
        return True

    def commit(self) -> None:
        """Write the batch and sync it. Raises `OSError`: nothing of the batch counts, `broken` is set, call `repair` later."""
        if not self._batch:
            return
        data = b"".join(self._batch)
        self._batch.clear()
        self._batch_bytes = 0
        try:
            self.wal.write(data)
            if self._sync:
                self.wal.sync()
        except OSError:
            self.broken = True
            raise
        self.durable = self.state.next_index

    def drop(self) -> None:
        """Forget the batch: used while `broken`."""
        self._batch.clear()
        self._batch_bytes = 0

    def repair(self) -> None:
        """Read back what was acknowledged, begin a new file. Raises `OSError` (try again later), `Damaged` (do not)."""
        self.drop()
        known = (*self.state.open.values(), *self.state.closed.values())  # closed: by the batch that failed
        owners = {entry.association: entry.owner for entry in known}
        if self.prepared is not None:  # recovery removes what is only prepared
            self.prepared.close()
            self.prepared = None
        found = recover(self.directory, self.signed, self.durable)
        if found.state.next_index != self.durable:
            raise Damaged(f"{self.durable} records were acknowledged, the disk has {found.state.next_index}")
        old = self.wal
        self._next_number = max(self._next_number, found.next_number)
        self._begin(found._replace(next_number=self._next_number))
        old.close()
        for entry in self.state.open.values():
            entry.owner = owners.get(entry.association)
        self.broken = False

    def rotate(self) -> None:
        """Go on in the prepared file, with a state frame first; the batch must be empty. Raises `OSError`; `broken` may be set then."""
        state, prepared = self.state, self.prepared
        if prepared is None:
            raise OSError(11, "the next write-ahead file is not ready")
        prepared.position = 0
        head = encode(0, state.next_index, Kind.STATE, wire.NO_ASSOCIATION, 0, state.encode())
        prepared.reserve(len(head) + state.reserved)
        if self.wal.synced != self.wal.position:
            try:
                self.wal.sync()
            except OSError:
                self.broken = True
                raise
        try:
            prepared.write(head)
            prepared.sync()  # the sealer removes the old files, and only they and this frame know which associations are open
        except OSError:
            self.broken = True  # `repair` reads back whichever of the two is on the disk
            raise
        old, self.wal, self.prepared = self.wal, prepared, None
        self.segments.append(Segment(old.path, self._wal_start, state.next_index))
        self._wal_start = state.next_index
        self._old_bytes += old.position
        os.ftruncate(old.fd, old.position)
        old.close()

    def sealed(self, size: int) -> None:
        """A checkpoint covers `size` records: forget the files that it makes superfluous (the sealer removed them)."""
        self.signed = size
        self.segments = [segment for segment in self.segments if segment.stop > size]
        self._old_bytes = sum(os.stat(segment.path).st_size for segment in self.segments)

    def close(self) -> None:
        """Sync and close the file."""
        try:
            if not self.broken:
                self.wal.sync()
        finally:
            self.wal.close()

    def _again(self, owner: object, entry: Entry | None, seq: int) -> tuple[int, int] | None:
        """Answer an item that was written before or may not be written; None: go on. An entry of nobody becomes `owner`'s."""
        if entry is None:
            return _REFUSED
        if entry.association in self.state.open and entry.owner is None:
            entry.owner = owner
        if seq <= entry.last_seq and (seq > 0 or entry.owner is owner):
            return _OK, entry.place(seq)
        if entry.owner is not owner or entry.association not in self.state.open:
            return _REFUSED
        return None

    def _more(self, entry: Entry, size: int) -> bool:
        if not self._admit(size):
            return False
        entry.reserved += size
        self.state.reserved += size
        return True

    def _admit(self, size: int) -> bool:
        return admit(self.wal, self.state.reserved + self._batch_bytes, self.unsealed, size)
