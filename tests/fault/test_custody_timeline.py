"""An instance's life in plain words, and the page with its proof."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from support.logmaker import MadeLog, make_log
from wardgate.custody import parse
from wardgate.custody.event import STATUS_FIELDS, event_record, status_record
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope, TokenEvent, TokenNews, token_record
from wardtools.custody import main

UID = "1.2.826.0.1.3680043.8.1055.7"
DATA_SET = b"\x08\x00\x16\x00UI\x08\x001.2.840\0" + bytes(200)
EVIL = '<script>alert("x")</script>'


def dicom(path: Path, uid: str = UID, data_set: bytes = DATA_SET) -> Path:
    """Write a DICOM file (PS3.10 7.1) around a data set."""
    value = uid.encode() + b"\0" * (len(uid) % 2)
    meta = b"\x02\x00\x03\x00UI" + len(value).to_bytes(2, "little") + value + b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    path.write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + len(meta).to_bytes(4, "little") + meta + data_set)
    return path


@pytest.fixture
def made(tmp_path: Path) -> MadeLog:
    """A log in which `UID` was refused once, then stored, then committed in a record of a type unknown here."""
    caller, called = Leg(EVIL, "192.0.2.10:4242"), Leg("PACS", "198.51.100.5:2762", "ab" * 32, "TLSv1.3 TLS_AES_256_GCM_SHA384")
    scope = Scope("ward", "ct1", "to-hospital", uuid.uuid4().bytes, caller, called)
    held = Scope("ward", "ct1", "to-hospital", uuid.uuid4().bytes, Leg("CT1", "hold"), called)
    now, sync = time.time_ns(), Quality.SYNCHRONISED
    digest = [("sha256", "dataset", hashlib.sha256(DATA_SET).hexdigest())]
    common = ("1.2", UID, "1.2.840.10008.1.2.1", len(DATA_SET), digest)
    entries = [
        token_record(now, sync, TokenNews(TokenEvent.INSERTED, "ward", "ward-ct1"), True, 0),
        scope.open(now + 1, sync),
        scope.store(now + 2, Quality.UNSYNCHRONISED, 1, *common, 0xA700, Outcome.STATUS, Flow.ACCEPTOR),
        scope.store(now + 3, sync, 2, *common, 0, Outcome.STATUS, Flow.ACCEPTOR),
        scope.store(now + 3, sync, 3, "1.2", UID + "8", *common[2:], None, Outcome.UNKNOWN, Flow.ACCEPTOR),
        scope.commitment(now + 4, sync, 4, "1.2.77", "1.2", UID, -1, Flow.REQUESTOR),
        scope.close(now + 4, sync, 3, "released"),
        held.store(now + 5, sync, 1, *common, 0, Outcome.STATUS, Flow.ACCEPTOR),
        status_record(
            now + 5,
            sync,
            {
                **dict.fromkeys(STATUS_FIELDS, ""),
                "link": "ct1",
                "sop_instance": UID,
                "event": "authorized",
                "before": "OR",
                "after": "AO",
                "by": "cd" * 32,
            },
        ),
        event_record("later-kind", now + 5, sync, {"instances": [UID], "by": EVIL}),
    ]
    return make_log(tmp_path / "log", len(entries), entries=entries)


def test_life_of_an_instance_is_told_in_plain_words(made: MadeLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(made.path), UID]) == 0
    text = capsys.readouterr().out
    for words in (
        "Arrived from",
        "left for PACS (198.51.100.5:2762, under TLSv1.3 TLS_AES_256_GCM_SHA384)",
        "answered A700: not stored",
        "answered 0000: success",
        "clock NOT synchronised",
        "clock synchronised",
        "card: ward-ct1 inserted",
        "association ended",
        "left byte for byte as it arrived",
        "record 3, signed",
        "Later kind.",
        "Committed: PACS reported to",
        "Forwarded by box ward, link ct1, for CT1, to PACS",
        "Authorized for diagnostic use by the person with certificate cdcdcdcdcdcdcdcd",
        "original (OR), now authorized original (AO)",
    ):
        assert words in text, (words, text)
    assert text.count("Arrived from") == 2  # the instance whose UID only begins so is another


def test_commitment_of_what_never_passed_the_box_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope = Scope("ward", "ct1", "to-modality", uuid.uuid4().bytes, Leg("PACS", "198.51.100.5:4242"), Leg("CT1", "192.0.2.10:104"))
    now, sync = time.time_ns(), Quality.SYNCHRONISED
    digest = [("sha256", "dataset", hashlib.sha256(DATA_SET).hexdigest())]
    entries = [
        scope.open(now, sync),
        scope.commitment(now, sync, 1, "1.2.77", "1.2", UID, -1, Flow.ACCEPTOR),
        scope.store(now, sync, 2, "1.2", UID, "1.2.840.10008.1.2.1", len(DATA_SET), digest, 0, Outcome.STATUS, Flow.ACCEPTOR),
        scope.commitment(now, sync, 3, "1.2.78", "1.2", UID, 0x0112, Flow.ACCEPTOR),
        scope.close(now, sync, 1, "released"),
    ]
    log = make_log(tmp_path / "log", len(entries), entries=entries)
    assert main(["show", str(log.path), UID]) == 0
    text = capsys.readouterr().out
    assert text.count("NO record before this one says that the instance passed the box") == 1
    assert "Committed: PACS reported to CT1" in text and "NOT committed: PACS reported to CT1" in text and "reason 0112" in text


def test_instance_without_records_is_said_to_have_none(made: MadeLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(made.path), "1.2.3"]) == 11
    assert "the log has no record of it" in capsys.readouterr().out


class Page(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_report_stands_alone_and_its_proof_checks(made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    dicom(folder / "good.dcm")
    (folder / "README").write_text("no DICOM")
    key = str(made.path / "vkey")
    report = tmp_path / "report.html"
    assert main(["show", str(made.path), "--dicom", str(folder), "--key", key, "--report", str(report)]) == 0
    text = report.read_text()
    page = Page()
    page.feed(text)
    assert "script" not in page.tags and EVIL not in text and "&lt;script&gt;" in text
    assert page.links and all(link.startswith("data:") for link in page.links)
    assert "good.dcm: identical" in text and "record 9 is under the signed checkpoint of 10 records" in text
    proof = tmp_path / "x.tlog-proof"
    proof.write_bytes(b64decode(re.findall(r"base64,([^\"]+)\"", text)[0]))
    assert main(["check-proof", str(proof), "--key", key]) == 0


def test_report_without_the_key_is_refused(made: MadeLog, tmp_path: Path) -> None:
    assert main(["show", str(made.path), UID, "--report", str(tmp_path / "r.html")]) == 1


@pytest.mark.parametrize(
    ("uid", "data_set", "status", "words"),
    [
        (UID, DATA_SET, 0, "identical: the data set is the one of record"),
        (UID, DATA_SET + b"!", 10, "same UID, but another encoding or other content"),
        ("1.2.3.4", DATA_SET, 11, "unknown UID"),
    ],
)
def test_file_in_hand_gets_one_of_three_answers(
    made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str], uid: str, data_set: bytes, status: int, words: str
) -> None:
    path = dicom(tmp_path / "x.dcm", uid, data_set)
    assert main(["verify", str(made.path), "--key", str(made.path / "vkey"), "--dicom", str(path)]) == status
    text = capsys.readouterr().out
    assert words in text and "altered" not in text


def test_file_stored_in_another_transfer_syntax_is_written_back_and_found_identical(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
    import io

    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

    def encoded(syntax: str) -> bytes:
        out = io.BytesIO()
        pydicom.dcmwrite(out, _data_set(pydicom, uid, syntax), enforce_file_format=True)
        return out.getvalue()

    uid = generate_uid()
    sent = encoded(ExplicitVRLittleEndian)
    stored = tmp_path / "stored.dcm"
    stored.write_bytes(encoded(ImplicitVRLittleEndian))
    from wardtools.dicomfile import data_set_digest

    (tmp_path / "sent.dcm").write_bytes(sent)
    digest = data_set_digest(tmp_path / "sent.dcm", "sha256")
    leg = Leg("A", "192.0.2.1:1")
    scope = Scope("ward", "ct1", "to-hospital", uuid.uuid4().bytes, leg, leg)
    record = scope.store(
        1, Quality.UNKNOWN, 1, "1.2", uid, ExplicitVRLittleEndian, 1, [("sha256", "dataset", digest)], 0, Outcome.STATUS, Flow.ACCEPTOR
    )
    made = make_log(tmp_path / "log", 2, entries=[scope.open(1, Quality.UNKNOWN), record])
    key = str(made.path / "vkey")
    assert main(["verify", str(made.path), "--key", key, "--dicom", str(stored)]) == 0
    assert "identical once written in Explicit VR Little Endian" in capsys.readouterr().out
    changed = pydicom.dcmread(stored)
    changed.PatientID = "other"
    changed.save_as(stored)
    assert main(["verify", str(made.path), "--key", key, "--dicom", str(stored)]) == 10
    text = capsys.readouterr().out
    assert "compared in: Implicit VR Little Endian" in text and "Explicit VR Little Endian" in text


def _data_set(pydicom, uid: str, syntax: str):  # type: ignore[no-untyped-def]
    data_set = pydicom.Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", uid
    data_set.PatientID, data_set.Rows, data_set.Columns = "P1", 4, 4
    data_set.PixelData = bytes(32)
    data_set["PixelData"].VR = "OW"
    data_set.file_meta = pydicom.dataset.FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = syntax
    return data_set


def test_what_the_sender_was_told_in_place_of_a_late_record_is_shown_and_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope = Scope("ward", "ct1", "to-hospital", uuid.uuid4().bytes, Leg("CT1", "192.0.2.10:4242"), Leg("PACS", "198.51.100.5:104"))
    log = make_log(tmp_path / "log", 4, entries=_told_otherwise(scope))
    assert main(["show", str(log.path), UID]) == 0
    text = capsys.readouterr().out
    assert "The receiver answered 0000: success." in text
    assert "CT1 was told A700 for it (WG428), because its record was not durable in time." in text
    assert main(["verify", str(log.path), "--key", str(log.path / "vkey"), "--strict"]) == 0
    text = capsys.readouterr().out
    assert "1 answer" in text
    assert "record 2: the sender of sequence number 1 was told A700, whatever its record says" in text


def test_a_verifier_from_before_answer_records_passes_over_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(parse._KEYS, "answer")
    scope = Scope("ward", "ct1", "to-hospital", uuid.uuid4().bytes, Leg("CT1", "192.0.2.10:4242"), Leg("PACS", "198.51.100.5:104"))
    log = make_log(tmp_path / "log", 4, entries=_told_otherwise(scope))
    assert main(["verify", str(log.path), "--key", str(log.path / "vkey"), "--strict"]) == 0
    assert main(["verify", str(log.path), "--key", str(log.path / "vkey")]) == 0
    assert "The log is intact." in capsys.readouterr().out


def _told_otherwise(scope: Scope) -> list[bytes]:
    now, sync = time.time_ns(), Quality.SYNCHRONISED
    digest = [("sha256", "dataset", hashlib.sha256(DATA_SET).hexdigest())]
    return [
        scope.open(now, sync),
        scope.store(now, sync, 1, "1.2", UID, "1.2.840.10008.1.2.1", len(DATA_SET), digest, 0, Outcome.STATUS, Flow.ACCEPTOR),
        scope.answer(now, sync, 1, "1.2", UID, 0xA700, "WG428", Flow.ACCEPTOR),
        scope.close(now, sync, 1, "released"),
    ]
