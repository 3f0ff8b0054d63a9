"""What the custody writer has loaded: it is one of three processes whose memory counts on the box."""

from __future__ import annotations

from pathlib import Path

from support.custody import Study, WriterProcess, answers, connect


def test_the_writer_makes_checkpoints_without_openssl_in_its_memory(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    asked = [study.open(), study.store(), study.close()]
    client.flush()
    answers(client, len(asked))
    maps = Path(f"/proc/{writer.process.pid}/maps").read_text()
    assert "python3" in maps
    assert "libcrypto" not in maps
    assert writer.stop() == 0
    assert len(writer.entries()) == len(asked)
