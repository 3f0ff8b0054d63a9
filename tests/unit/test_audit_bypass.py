"""Break-glass in the audit: what `netd` keeps becomes an alert when the custody log has it, and never keeps the log waiting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.auditkit import told
from unit.test_audit_message import as_line
from unit.test_audit_outbox import desk
from wardgate.audit import once
from wardgate.audit.outbox import NAME, Outbox
from wardgate.codes import Code
from wardgate.custody.record import Quality
from wardgate.log import Log
from wardgate.plant import recording

BEGIN = {
    "number": 1,
    "event": "begin",
    "id": "ab" * 16,
    "at_ns": 10**18,
    "how": "button",
    "who": "Dr Ward",
    "reason": "PACS down",
    "targets": "x",
    "minutes": 30,
}
END = {**BEGIN, "number": 2, "event": "end", "at_ns": 2 * 10**18, "who": ""}


@pytest.fixture
def netd(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What netd keeps; a stand-in for it and for the writer, which takes everything."""
    entries = [BEGIN, END]

    def ask(_netd: str, request: dict[str, Any]) -> dict[str, Any]:
        if "done" in request:
            entries[:] = [entry for entry in entries if entry["number"] > request["done"]]
        return {"entries": list(entries)}

    monkeypatch.setattr(recording, "_ask", ask)
    monkeypatch.setattr(recording, "append", lambda *_: 7)
    return entries


def test_beginning_and_end_are_alerts_with_who_and_why(folder: Path, netd: list[dict[str, Any]]) -> None:
    with desk(folder) as one:
        assert recording.record("n", "w", "box", Quality.UNKNOWN, Log("recording"), Outbox(folder / NAME, "recording"))
        begin, end = (told(as_line(event)) for event in one.kept)
    assert not netd
    assert (begin.types, begin.outcome, end.types, end.outcome) == (["110127"], "12", ["110138"], "0")
    assert begin.time == "2001-09-09T01:46:40.000Z"
    assert [each.get("UserID") for each in begin.root.iter("ActiveParticipant")] == ["recording", "Dr Ward"]
    assert [each.get("UserID") for each in end.root.iter("ActiveParticipant")] == ["recording", "button"]
    assert begin.details["Alert Description"].endswith(": PACS down")


def test_a_sender_that_is_away_does_not_keep_the_log_waiting(
    folder: Path, netd: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(once, "SECONDS", 0.1)
    assert recording.record("n", "w", "box", Quality.UNKNOWN, Log("recording"), Outbox(folder / NAME, "recording"))
    assert not netd
    assert str(Code.AUDIT_EVENTS_LOST) in capsys.readouterr().err
