"""Reads one held instance: `header`, then `chunks()`, then `trailer`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wardgate.hold.header import PREFIX_BYTES, Trailer, decode_header, decode_trailer, head_size, parted
from wardgate.hold.mark import MARK_BYTES, Kind, decode_mark
from wardgate.hold.scan import Place
from wardgate.hold.seal import LENGTH, Damaged, Opener
from wardgate.hold.wrap import Wrapper


class Reader:
    """An instance of the queue, opened. Raises `FileNotFoundError` (also: it was taken back), `OSError`, `Damaged`."""

    def __init__(self, place: Place, wrapper: Wrapper) -> None:
        self.trailer: Trailer | None = None
        self._wrapper = wrapper
        self._end = place.offset + place.length
        self._file = open(place.path, "rb", buffering=0)  # noqa: SIM115  closed by `close`
        try:
            if place.offset:
                self._file.seek(place.offset)
                mark = decode_mark(self._file.read(MARK_BYTES), bytes.fromhex(place.path[-20:-4]))
                if mark is not None and mark.kind is Kind.VOID:
                    raise FileNotFoundError(2, "taken back", place.path)
            prefix = self._file.read(PREFIX_BYTES)
            text = self._file.read(head_size(prefix))
            self.header = decode_header(text)
            self.record = parted(text)[1]  # of the custody log, where the instance carries it
        except Exception:
            self._file.close()
            raise
        self._head = prefix + text

    def chunks(self) -> Iterator[bytes]:
        """Yield the data set in pieces. Each has been verified; only after the last the instance is known to be whole.

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
        if self._file.tell() != self._end:
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
