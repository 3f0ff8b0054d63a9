"""A DICOM file in hand against the records of its SOP Instance. Three answers, none of which is "altered": a PACS may store the same
instance in another encoding, and from a digest alone that cannot be told from other content."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from wardgate.custody.parse import Record
from wardtools.dicomfile import data_set_digest, read_meta

_EXPLICIT: Final = "1.2.840.10008.1.2.1"
# Transfer syntaxes without compression: a data set can be written in each of them from any other (PS3.5 A.1, A.2, A.3, A.5).
_WRITABLE: Final = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    _EXPLICIT: "Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
}


class Answer(Enum):
    """The value is the exit status of `wardtool custody verify --dicom`."""

    IDENTICAL = 0
    OTHER = 10
    UNKNOWN = 11


@dataclass(slots=True)
class InHand:
    """The answer, and what it stands on."""

    answer: Answer
    instance: str
    transfer_syntax: str
    tried: list[str] = field(default_factory=list)  # transfer syntaxes whose bytes were compared
    recorded: list[str] = field(default_factory=list)  # transfer syntaxes of the records
    place: int | None = None  # of the record that it is identical with
    time: str = ""
    reencoded: str = ""  # the transfer syntax in which it is identical, when it is not the file's own
    hint: str = ""

    def lines(self, name: str) -> list[str]:
        """Return the answer in plain words."""
        if self.answer is Answer.UNKNOWN:
            return [f"{name}: unknown UID: the log has no record of SOP Instance {self.instance}"]
        if self.answer is Answer.IDENTICAL:
            how = f" once written in {syntax_name(self.reencoded)}" if self.reencoded else ""
            return [f"{name}: identical{how}: the data set is the one of record {self.place}, {self.time}, SOP Instance {self.instance}"]
        tried = ", ".join(syntax_name(uid) for uid in self.tried)
        recorded = ", ".join(syntax_name(uid) for uid in self.recorded)
        lines = [f"{name}: same UID, but another encoding or other content than was recorded of SOP Instance {self.instance}"]
        lines.append(f"  compared in: {tried}; the records are in: {recorded}")
        return [*lines, f"  {self.hint}"] if self.hint else lines


def compare(path: Path, records: Iterable[tuple[int, Record]]) -> InHand:
    """Compare a file with the store records of its SOP Instance (with all of them when it names none).

    Raises `DicomFileError`, `OSError`.
    """
    meta = read_meta(path)
    found = InHand(Answer.UNKNOWN, meta.sop_instance, meta.transfer_syntax)
    wanted: list[tuple[int, Record, str, str]] = []
    for place, record in records:
        if record.type != "store" or meta.sop_instance not in ("", record.text("sop_instance")):
            continue
        wanted += [(place, record, algorithm, value) for algorithm, _, value in record.digests()]
        syntax = record.text("transfer_syntax")
        if syntax not in found.recorded:
            found.recorded.append(syntax)
    if not found.recorded:
        return found
    found.answer = Answer.OTHER
    own = {algorithm: data_set_digest(path, algorithm) for algorithm in {algorithm for _, _, algorithm, _ in wanted}}
    found.tried.append(meta.transfer_syntax)
    if _match(found, wanted, own):
        return found
    for syntax in found.recorded:
        if syntax in _WRITABLE and syntax != meta.transfer_syntax and meta.transfer_syntax in _WRITABLE:
            data = _written(path, syntax)
            if data is None:
                found.hint = "pydicom is not installed here: other transfer syntaxes could not be tried"
                break
            found.tried.append(syntax)
            if _match(found, wanted, {algorithm: hashlib.new(algorithm, data).hexdigest() for algorithm in own}):
                found.reencoded = syntax
                return found
    return found


def _match(found: InHand, wanted: list[tuple[int, Record, str, str]], digests: dict[str, str]) -> bool:
    for place, record, algorithm, value in wanted:
        if digests.get(algorithm) == value:
            found.answer, found.place, found.time = Answer.IDENTICAL, place, record.time
            return True
    return False


def syntax_name(uid: str) -> str:
    """Return a transfer syntax with its name, where it has one here."""
    return f"{_WRITABLE[uid]} ({uid})" if uid in _WRITABLE else uid or "no transfer syntax"


def _written(path: Path, syntax: str) -> bytes | None:
    """Return the data set as bytes of another transfer syntax; None without pydicom, b"" when it cannot be written."""
    try:
        import pydicom
        from pydicom.uid import UID
    except ImportError:
        return None
    whole = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data_set = pydicom.dcmread(path)
            uid = UID(syntax)
            data_set.file_meta.TransferSyntaxUID = uid
            pydicom.dcmwrite(whole, data_set, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian, enforce_file_format=False)
    except Exception:  # whatever a file of a stranger makes of the library: it could not be tried
        return b""
    data = whole.getvalue()
    return data[_meta_end(data) :]


def _meta_end(data: bytes) -> int:
    """Return where the data set begins: (0002,0000) counts what follows it (PS3.10 7.1)."""
    at = data.find(b"DICM") + 4
    return at + 12 + int.from_bytes(data[at + 8 : at + 12], "little") if data[at : at + 4] == b"\x02\x00\x00\x00" else at
