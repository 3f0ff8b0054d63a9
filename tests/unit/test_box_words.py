"""What tests say to a box's shell."""

import base64
import io
import tarfile
from pathlib import Path

import pytest

from support import boxwords

Info = tarfile.TarInfo


def _carried(log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shrinks: int) -> bytes:
    """Carry a log out of a box whose writer makes the file shorter between the look and the reading, `shrinks` times."""
    look = tarfile.TarFile.gettarinfo
    looks = 0

    def shrinking(self: tarfile.TarFile, name: str, *words: object) -> Info:
        nonlocal looks
        found: Info = look(self, name, *words)  # type: ignore[arg-type]
        if found.isfile():
            looks += 1
            if looks <= shrinks:
                with open(name, "r+b") as file:
                    file.truncate(found.size - 1)
        return found

    monkeypatch.setattr(tarfile.TarFile, "gettarinfo", shrinking)
    exec(boxwords.LOG_PROGRAM.replace("/var/lib/custody/log", str(log)), {})
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(capsys.readouterr().out))) as archive:
        file = archive.extractfile("custody/wal-1")
        assert file is not None
        return file.read()


def test_a_log_whose_file_becomes_shorter_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wal-1").write_bytes(b"twelve bytes")
    assert _carried(tmp_path, monkeypatch, capsys, 2) == b"twelve byt"


def test_a_log_that_is_never_at_rest_is_not_called_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wal-1").write_bytes(b"twelve bytes of it")
    with pytest.raises(SystemExit, match="the log is not read: unexpected end of data"):
        _carried(tmp_path, monkeypatch, capsys, 10)
