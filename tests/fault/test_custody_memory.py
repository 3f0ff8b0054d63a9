"""What the custody writer has loaded: it is one of three processes whose memory counts on the box."""

from __future__ import annotations

from pathlib import Path

from support.custody import Study, WriterProcess, answers, connect
from support.processes import until
from wardgate.custody.checkpoint import peek_checkpoint


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


def test_a_writer_that_goes_on_with_a_log_has_its_checkpoint_judged_by_another_process(tmp_path: Path) -> None:
    for size in (2, 4):
        writer = WriterProcess(tmp_path, "--checkpoint-seconds", "0.1")
        client = connect(writer.socket)
        study = Study(client)
        study.open()
        study.close()
        answers(client, 2)
        until(lambda: signed(tmp_path / "log/checkpoint") == size, "all is signed")  # noqa: B023 - it is asked here and now
        assert "libcrypto" not in Path(f"/proc/{writer.process.pid}/maps").read_text()
        client.close()
        assert writer.stop() == 0


def signed(checkpoint: Path) -> int:
    """How many records a checkpoint is over; 0 while there is none."""
    return peek_checkpoint(checkpoint.read_bytes()).size if checkpoint.exists() else 0
