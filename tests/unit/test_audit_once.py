"""Updates, and what was kept while the log was away, in the audit: once, when the log has it, with the time at which it happened."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.auditkit import told
from unit.test_audit_message import as_line
from unit.test_audit_outbox import desk
from wardgate.audit.once import code_named
from wardgate.audit.outbox import NAME
from wardgate.codes import Code
from wardgate.custody.client import WriterGone
from wardgate.custody.record import Quality
from wardgate.log import Log
from wardgate.provision import keeping, kept
from wardgate.provision.kept import BoxEvent
from wardgate.update import box as box_module
from wardgate.update.box import Box
from wardgate.update.trial import Side

OLD, NEW = Side("A", "1.0.0"), Side("B", "2.0.0")


def _config(folder: Path, audit: object = True) -> Any:
    box = SimpleNamespace(name="ward", run_dir=folder, state=folder)
    return SimpleNamespace(box=box, audit=audit, writer_socket=folder / "custody.sock", audit_socket=folder / NAME)


@pytest.fixture
def log_takes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A stand-in for the custody writer that takes everything."""
    taken: list[bytes] = []

    def append(_path: object, record: bytes, *_more: object) -> int:
        taken.append(record)
        return len(taken)

    monkeypatch.setattr("wardgate.audit.once.SECONDS", 60.0)
    monkeypatch.setattr(box_module, "append", append)
    monkeypatch.setattr(keeping, "append", append)
    return taken


@pytest.mark.parametrize(
    ("event", "code", "outcome"),
    [("installed", Code.UPDATE_INSTALLED, "0"), ("rolled-back", Code.UPDATE_ROLLED_BACK, "8"), ("refused", Code.UPDATE_OLDER, "8")],
)
def test_an_update_is_an_alert_of_software_configuration(
    folder: Path, log_takes: list[bytes], event: str, code: Code, outcome: str
) -> None:
    with desk(folder) as one:
        Box(Log("update"), str(folder)).record(_config(folder), event, OLD, NEW, code, "service")
        (message,) = (told(as_line(event)) for event in one.kept)
    assert len(log_takes) == 1
    assert (message.event, message.types, message.outcome) == ("110113", ["110131"], outcome)
    assert message.details["Alert Description"].endswith(": A 1.0.0 > B 2.0.0 service")
    assert message.details["Failure Code"] == str(code)


def test_what_the_log_could_not_take_is_audited_when_it_has_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, log_takes: list[bytes]
) -> None:
    (folder / "kept").mkdir()

    def away(*_: object) -> int:
        raise WriterGone("away")

    with desk(folder) as one:
        with monkeypatch.context() as patch:
            patch.setattr(box_module, "append", away)
            Box(Log("update"), str(folder), record_seconds=0).record(_config(folder), "good", OLD, NEW, Code.UPDATE_GOOD)
        assert not one.kept
        kept.keep(folder, BoxEvent.STATE_REFUSED, str(Code.STATE_ROLLED_BACK), "number 1, this box has seen 2", time_ns=10**18)
        assert keeping.run(_config(folder), Log("keeping"))
        old, update = (told(as_line(event)) for event in one.kept)
    assert len(log_takes) == 2
    assert not kept.waiting(folder, "ward", 0, Quality.UNKNOWN)
    assert (old.types, old.outcome, old.time) == (["110129"], "8", "2001-09-09T01:46:40.000Z")
    assert (update.types, update.outcome) == (["110131"], "0")


def test_a_box_that_audits_nothing_asks_no_sender(folder: Path, log_takes: list[bytes], capsys: pytest.CaptureFixture[str]) -> None:
    Box(Log("update"), str(folder)).record(_config(folder, None), "good", OLD, NEW, Code.UPDATE_GOOD)
    assert len(log_takes) == 1
    assert str(Code.AUDIT_EVENTS_LOST) not in capsys.readouterr().err


def test_codes_are_found_by_their_printed_form() -> None:
    assert code_named("WG904") is Code.UPDATE_INSTALLED
    assert code_named("") is None
