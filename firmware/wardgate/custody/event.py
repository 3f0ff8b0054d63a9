"""Records outside of any association: how they are made, and how a process other than a worker has the writer take one."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Final

from wardgate.custody import wire
from wardgate.custody.client import WriterGone
from wardgate.custody.record import MAX_RECORD, VERSION, Quality, quoted, stamp
from wardgate.custody.wire import MAX_PACKET, Op, Status

TOMBSTONE: Final = "tombstone"
STATUS: Final = "sop-instance-status"
# `event`: taken over, transferred, committed, not committed, authorized; `before` and `after`: states of the table in `status`;
# `by`: SHA-256 of the certificate of who authorized it, hex; `statement`: SHA-256 of what was signed; `transaction`, `peer`: of a transfer.
STATUS_FIELDS: Final = (
    "box", "link", "peer", "sop_class", "sop_instance", "event", "before", "after", "rule", "digest", "by", "statement", "signature",
    "transaction",
)  # fmt: skip
BYPASS: Final = "bypass"


def event_record(kind: str, time_ns: int, quality: Quality, fields: Mapping[str, object]) -> bytes:
    """Return the record of type `kind`; `fields` follow the common ones in their order. Raises `ValueError` when it is too long."""
    head = {"v": VERSION, "type": kind, "time": stamp(time_ns), "quality": quality.value}
    record = json.dumps({**head, **fields}, separators=(",", ":")).encode("ascii")
    if len(record) > MAX_RECORD:
        raise ValueError(f"record of {len(record)} bytes, at most {MAX_RECORD}")
    return record


def tombstone_record(time_ns: int, quality: Quality, below: int, policy: str) -> bytes:
    """Return the record that entries before index `below` are no longer kept. `policy`: why, in words."""
    return event_record(TOMBSTONE, time_ns, quality, {"below": below, "policy": policy[:200]})


def status_record(time_ns: int, quality: Quality, fields: Mapping[str, object]) -> bytes:
    """Return the record of a change of SOP Instance Status on a link that holds (PS3.15 A.1.1): `STATUS_FIELDS`, in their order."""
    return event_record(STATUS, time_ns, quality, {name: fields[name] for name in STATUS_FIELDS})


_BYPASS_TEXTS: Final = {"how": 32, "who": 200, "reason": 400, "targets": 400}  # bytes at most, as they stand in the record


def bypass_record(time_ns: int, quality: Quality, box: str, entry: Mapping[str, object]) -> bytes:
    """Return the record of a beginning or end of break-glass, never too long. `entry`: as `plant.bypass.Entry` has it.

    Raises `ValueError`, `KeyError` when it is none.
    """
    if entry["event"] not in ("begin", "end"):
        raise ValueError("an entry begins or ends")
    texts = ",".join(f'"{name}":{quoted(str(entry[name]), limit)}' for name, limit in _BYPASS_TEXTS.items())
    return (
        f'{{"v":{VERSION},"type":"{BYPASS}","time":"{stamp(time_ns)}","quality":"{quality.value}","event":"{entry["event"]}",'
        f'"box":{quoted(box, 96)},"id":{quoted(str(entry["id"]), 32)},"at":"{stamp(_number(entry["at_ns"]))}",{texts},'
        f'"minutes":{_number(entry["minutes"])}}}'
    ).encode("ascii")


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError(f"not a number: {str(value)[:40]!r}")
    return value


def append(path: str | os.PathLike[str], record: bytes, seconds: float, ident: bytes | None = None) -> int:
    """Have the writer at `path` make an event record durable; return its index. Blocks at most `seconds`.

    Raises `WriterGone` when it does not answer as it should, `OSError` when it cannot (disk full, broken). Asked again after a lost answer,
    the record may stand in the log twice, unless `ident` (16 random bytes) is the same: the writer knows the last 1024.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect(os.fspath(path))
            sock.send(wire.encode_item(Op.EVENT, 1, ident or os.urandom(16), 0, record))
            packet = sock.recv(MAX_PACKET)
        except OSError as error:
            raise WriterGone(f"no answer from the custody writer at {os.fspath(path)}: {error}") from error
    if not packet:
        raise WriterGone("the custody writer closed its socket")
    try:
        ((_, status, index),) = wire.decode_answers(packet)
    except (wire.WireError, ValueError) as error:  # of another release, on trial
        raise WriterGone(f"the custody writer speaks otherwise: {error}") from error
    if status is not Status.OK:
        raise OSError(28 if status is Status.NO_SPACE else 5, f"the custody writer answered {status.name}")
    return index
