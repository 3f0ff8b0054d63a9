"""PC/SC by ctypes on libpcsclite: readers, a connection to a card, transactions, waiting for cards that come and go.

Only what Wardgate needs, since neither Buildroot nor the standard library has a binding. One `Pcsc` is used by one thread; `cancel` may
be called from any. libpcsclite reads PCSCLITE_CSOCK_NAME once in a process (1.9.9, `getSocketName`).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntFlag
from typing import Any, Final, NamedTuple

from wardgate.codes import Code
from wardkeys.card.errors import CardError

_LIBRARY: Final = "libpcsclite.so.1"
_MAX_READERS: Final = 64
_MAX_ANSWER: Final = 65536 + 2
_MAX_ATR: Final = 33
_SCOPE_SYSTEM, _SHARE_EXCLUSIVE, _SHARE_SHARED, _T0_OR_T1 = 2, 1, 2, 3
_LEAVE, _RESET = 0, 1
NOTIFICATIONS: Final = "\\\\?PnP?\\Notification"  # a reader of this name changes when readers come and go (pcsc-lite)

# SCARD_E_* and SCARD_W_* (pcsclite.h)
_CANCELLED, _NO_READERS, _TIMEOUT, _SMALL = 0x80100002, 0x8010002E, 0x8010000A, 0x80100008
_CODES: Final = {
    0x8010001D: (Code.CARD_NO_SERVICE, "no service"),
    0x8010001E: (Code.CARD_NO_SERVICE, "the service stopped"),
    0x80100003: (Code.CARD_NO_SERVICE, "the service lost this client"),
    0x80100009: (Code.CARD_NO_READER, "unknown reader"),
    0x80100017: (Code.CARD_NO_READER, "the reader is not available"),
    _NO_READERS: (Code.CARD_NO_READER, ""),
    0x8010000C: (Code.CARD_ABSENT, ""),
    0x80100069: (Code.CARD_REMOVED, ""),
    0x80100067: (Code.CARD_REMOVED, "without power"),
    0x8010000B: (Code.CARD_BUSY, ""),
    0x80100066: (Code.CARD_READER_FAILED, "the card does not answer to reset"),
    0x80100016: (Code.CARD_REMOVED, "the transfer broke off"),
    0x8010002F: (Code.CARD_REMOVED, "the transfer broke off"),
}
_WAS_RESET: Final = 0x80100068


class ReaderState(IntFlag):
    """SCARD_STATE_*: what a reader is in; the upper 16 bits count its events."""

    UNAWARE = 0x0000
    CHANGED = 0x0002
    UNKNOWN = 0x0004
    UNAVAILABLE = 0x0008
    EMPTY = 0x0010
    PRESENT = 0x0020
    EXCLUSIVE = 0x0080
    IN_USE = 0x0100
    MUTE = 0x0200


class Reader(NamedTuple):
    """What a reader was when it was looked at. `seen`: to be given to the next `wait`."""

    name: str
    present: bool
    atr: bytes
    events: int  # how often a card came or went, modulo 65536
    seen: int
    changed: bool  # differs from what was given as seen


class _ReaderState(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
        ("current", ctypes.c_ulong),
        ("event", ctypes.c_ulong),
        ("atr_bytes", ctypes.c_ulong),
        ("atr", ctypes.c_ubyte * _MAX_ATR),
    )


class _IoRequest(ctypes.Structure):
    _fields_ = (("protocol", ctypes.c_ulong), ("length", ctypes.c_ulong))


@functools.cache
def _library(path: str) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise CardError(Code.CARD_NO_SERVICE, f"{path} cannot be loaded") from error
    number, handle, count = ctypes.c_ulong, ctypes.c_long, ctypes.POINTER(ctypes.c_ulong)
    signatures: dict[str, tuple[Any, ...]] = {
        "SCardEstablishContext": (number, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(handle)),
        "SCardReleaseContext": (handle,),
        "SCardListReaders": (handle, ctypes.c_char_p, ctypes.c_char_p, count),
        "SCardConnect": (handle, ctypes.c_char_p, number, number, ctypes.POINTER(handle), count),
        "SCardReconnect": (handle, number, number, number, count),
        "SCardDisconnect": (handle, number),
        "SCardBeginTransaction": (handle,),
        "SCardEndTransaction": (handle, number),
        "SCardTransmit": (handle, ctypes.POINTER(_IoRequest), ctypes.c_char_p, number, ctypes.c_void_p, ctypes.c_char_p, count),
        "SCardGetStatusChange": (handle, number, ctypes.POINTER(_ReaderState), number),
        "SCardCancel": (handle,),
    }
    for name, arguments in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, ctypes.c_long
    return library


def _check(result: int, what: str) -> None:
    number = result & 0xFFFFFFFF
    if number:
        code, detail = _CODES.get(number, (Code.CARD_READER_FAILED, f"{number:08X}"))
        raise CardError(code, f"{what}{': ' if detail else ''}{detail}")


class Pcsc:
    """A context of the PC/SC service. Raises `CardError` (CARD_NO_SERVICE) where none runs."""

    def __init__(self, library: str = _LIBRARY) -> None:
        self._library = _library(library)
        self._context = ctypes.c_long()
        _check(self._library.SCardEstablishContext(_SCOPE_SYSTEM, None, None, ctypes.byref(self._context)), "PC/SC")

    def __enter__(self) -> Pcsc:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the context back."""
        self._library.SCardReleaseContext(self._context)

    def readers(self) -> list[str]:
        """Return the names of the readers, at most 64. Raises `CardError`."""
        size = ctypes.c_ulong(0)
        for _ in range(8):  # a reader may come between the two calls
            result = self._library.SCardListReaders(self._context, None, None, ctypes.byref(size))
            if result & 0xFFFFFFFF == _NO_READERS:
                return []
            _check(result, "readers")
            names = ctypes.create_string_buffer(size.value)
            result = self._library.SCardListReaders(self._context, None, names, ctypes.byref(size))
            if result & 0xFFFFFFFF != _SMALL:
                _check(result, "readers")
                return [name.decode("utf-8", "replace") for name in names.raw[: size.value].split(b"\0") if name][:_MAX_READERS]
        return []

    def look(self) -> list[Reader]:
        """Return what every reader is now. Raises `CardError`."""
        names = self.readers()
        return list(self._status(dict.fromkeys(names, 0), 0).values()) if names else []

    def wait(self, seen: Mapping[str, int], seconds: float) -> dict[str, Reader]:
        """Wait until one of the readers differs from what `seen` says of it (0: not looked at yet) or the time is over.

        Returns all of them as they are then. Add `NOTIFICATIONS` to hear of new readers. Raises `CardError`.
        """
        return self._status(seen, max(0, int(seconds * 1000)))

    def cancel(self) -> None:
        """End a `wait` that another thread is in; it returns as if the time were over."""
        self._library.SCardCancel(self._context)

    def connect(self, reader: str, *, exclusive: bool = False) -> Connection:
        """Connect to the card in a reader. Raises `CardError`."""
        handle, protocol = ctypes.c_long(), ctypes.c_ulong()
        share = _SHARE_EXCLUSIVE if exclusive else _SHARE_SHARED
        name = reader.encode()
        result = self._library.SCardConnect(self._context, name, share, _T0_OR_T1, ctypes.byref(handle), ctypes.byref(protocol))
        _check(result, reader)
        return Connection(self._library, handle, protocol.value, share, reader)

    def _status(self, seen: Mapping[str, int], milliseconds: int) -> dict[str, Reader]:
        if len(seen) > _MAX_READERS:
            raise ValueError("too many readers")
        rows = (_ReaderState * len(seen))()
        for row, (name, state) in zip(rows, seen.items(), strict=True):
            row.name, row.current = name.encode(), state
        result = self._library.SCardGetStatusChange(self._context, milliseconds, rows, len(rows)) & 0xFFFFFFFF
        if result not in (_TIMEOUT, _CANCELLED):
            _check(result, "readers")
        changed = result == 0
        return {name: _reader(name, row, changed) for name, row in zip(seen, rows, strict=True)}


class Connection:
    """A card in a reader. After a removal every call raises `CardError`; connect again then."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_long, protocol: int, share: int, reader: str) -> None:
        self._library, self._handle, self._share = library, handle, share
        self._protocol = protocol
        self.reader = reader
        self._open, self._failed = True, False

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    def transmit(self, apdu: bytes) -> bytes:
        """Send one command APDU, return the response APDU. Raises `CardError`."""
        request = _IoRequest(self._protocol, ctypes.sizeof(_IoRequest))
        answer, length = ctypes.create_string_buffer(_MAX_ANSWER), ctypes.c_ulong(_MAX_ANSWER)
        result = self._library.SCardTransmit(self._handle, ctypes.byref(request), apdu, len(apdu), None, answer, ctypes.byref(length))
        self._failed = bool(result) or length.value < 2
        _check(result, self.reader)
        if length.value < 2:
            raise CardError(Code.CARD_REMOVED, f"{self.reader}: no answer")  # what some drivers make of a removal
        return answer.raw[: length.value]

    @contextmanager
    def transaction(self) -> Iterator[bool]:
        """Keep everybody else from the card. Gives True where somebody reset it before: what was selected and verified is gone."""
        result = self._library.SCardBeginTransaction(self._handle) & 0xFFFFFFFF
        was_reset = result == _WAS_RESET
        if was_reset:
            self._reconnect()
            result = self._library.SCardBeginTransaction(self._handle)
        _check(result, self.reader)
        try:
            yield was_reset
        finally:
            self._library.SCardEndTransaction(self._handle, _LEAVE)

    def disconnect(self, *, reset: bool = True) -> None:
        """Let go of the card; with `reset` it forgets what was verified, also for others who use it."""
        if self._open:
            self._open = False
            # A card that is gone is not reset: pcscd 1.9.9 then takes the next one for it and calls the reader empty.
            self._library.SCardDisconnect(self._handle, _RESET if reset and not self._failed else _LEAVE)

    def _reconnect(self) -> None:
        protocol = ctypes.c_ulong()
        _check(self._library.SCardReconnect(self._handle, self._share, _T0_OR_T1, _LEAVE, ctypes.byref(protocol)), self.reader)
        self._protocol = protocol.value


def _reader(name: str, row: _ReaderState, changed: bool) -> Reader:
    state = row.event if changed or row.event else row.current
    atr = bytes(row.atr[: min(row.atr_bytes, _MAX_ATR)])
    return Reader(
        name,
        bool(state & ReaderState.PRESENT),
        atr,
        state >> 16 & 0xFFFF,
        state & ~int(ReaderState.CHANGED),
        bool(state & ReaderState.CHANGED),
    )
