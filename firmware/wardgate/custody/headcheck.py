"""Is a checkpoint signed by the log's key? A short-lived child says so: the custody writer itself has no OpenSSL (decision 084).

`python -m wardgate.custody.headcheck VKEY`, the note on standard input. Exit status: 0 it is, 1 it is not.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Final

from wardgate.custody.checkpoint import open_checkpoint
from wardgate.custody.note import MAX_NOTE, NoteError, VerifierKey, parse_key

_SECONDS: Final = 60.0  # on the slowest board at a start; then it hangs


def must_be_signed(note: bytes, key: VerifierKey) -> None:
    """Raise `NoteError` unless `note` is a checkpoint that `key` signed, `OSError` when that cannot be found out. Takes about 0.2 s."""
    file = os.memfd_create("checkpoint", os.MFD_CLOEXEC)
    try:
        os.write(file, note)
        os.lseek(file, 0, os.SEEK_SET)
        argv = [sys.executable, "-P", "-m", "wardgate.custody.headcheck", key.text]
        pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, file, 0)])
    finally:
        os.close(file)
    status = _status(pid)
    if status == 1:
        raise NoteError(f"the checkpoint is not one that {key.name} with key id {key.key_id.hex()} signed")
    if status:
        raise OSError(5, f"whether the checkpoint is signed could not be found out (status {status})")


def _status(pid: int) -> int:
    """Wait for a child, not for ever; return its exit status, or minus the signal that ended it."""
    fd = os.pidfd_open(pid)
    try:
        ended = select.poll()
        ended.register(fd, select.POLLIN)
        if not ended.poll(_SECONDS * 1000):
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(arguments: list[str]) -> int:
    """Judge the note on standard input; 2 on wrong usage, so that no defect passes for a verdict."""
    try:
        (vkey,) = arguments
        key = parse_key(vkey)
    except (ValueError, NoteError):
        return 2
    try:
        open_checkpoint(os.read(0, MAX_NOTE + 1), key)
    except NoteError:
        return 1
    return 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except BaseException:  # Python's own status of an exception is 1, which is a verdict here
        code = 3
    sys.exit(code)
