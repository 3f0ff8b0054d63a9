"""Audit messages: every field, escaping, the published schema's facts (PS3.15 A.5.1), and what each audited code becomes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.auditkit import told
from wardgate.audit.alerts import AUDITED, MEANINGS, message_of
from wardgate.audit.event import AuditEvent, EventError, decode, event_in, packet
from wardgate.audit.message import MAX_OCTETS, MAX_TEXT, AuditMessage, AuditSource, Participant, instant, xml
from wardgate.audit.syslog import encode
from wardgate.audit.terms import Action, EventId, EventType, Outcome
from wardgate.codes import Code

NS = 1_764_459_845_123_456_789
WORDS = {
    "at": "[2001:db8::7]:2762",
    "link": "ct1",
    "side": "requestor",
    "phase": "established",
    "detail": "bad record mac",
    "repeated": "7",
}
SCHEMA = Path(__file__).parents[1] / "support" / "a5.rng"


def event(code: Code, peer: str = "CT1 -> PACS", **words: str) -> AuditEvent:
    return AuditEvent.of(code, NS, "wardgate[1.0]", peer, words)


def as_line(one: AuditEvent, site: str = "") -> str:
    message = message_of(one, "ward-ct1", "gate 7", site)
    assert message is not None
    return encode(one.time_ns, "ward-ct1", "wardgate", one.who, "DICOM+RFC3881", xml(message)).decode()


def test_an_integrity_failure_has_every_field() -> None:
    found = told(as_line(event(Code.TLS_INTEGRITY, **WORDS), "Ward 3"))
    root = found.root
    assert [child.tag for child in root] == [
        *("EventIdentification", "ActiveParticipant", "AuditSourceIdentification", "ParticipantObjectIdentification"),
    ]
    assert root[0].attrib == {"EventActionCode": "E", "EventDateTime": "2025-11-29T23:44:05.123Z", "EventOutcomeIndicator": "8"}
    assert [child.tag for child in root[0]] == ["EventID", "EventTypeCode", "EventOutcomeDescription"]
    assert root[0][0].attrib == _coded("110113", "Security Alert")
    assert root[0][1].attrib == _coded("110126", "Node Authentication")
    assert root[0][2].text == f"WG316 {Code.TLS_INTEGRITY.value.sentence}"
    assert root[1].attrib == {
        **{"UserID": "wardgate[1.0]", "UserName": "Wardgate", "UserIsRequestor": "false"},
        **{"NetworkAccessPointID": "ward-ct1", "NetworkAccessPointTypeCode": "1"},
    }
    assert not list(root[1])
    assert root[2].attrib == {"AuditEnterpriseSiteID": "Ward 3", "AuditSourceID": "gate 7"}
    assert root[2][0].attrib == {"csd-code": "4"}
    assert root[3].attrib == {
        **{"ParticipantObjectID": "2001:db8::7", "ParticipantObjectTypeCode": "2", "ParticipantObjectTypeCodeRole": "13"},
    }
    assert root[3][0].attrib == _coded("110182", "Node ID")
    assert (root[3][1].tag, root[3][1].text) == ("ParticipantObjectName", "CT1 -> PACS")
    assert found.details == {
        "Alert Description": f"WG316 {Code.TLS_INTEGRITY.value.sentence}: bad record mac",
        **{"Failure Code": "WG316", "Provider Reason": "0", "Network Address": "[2001:db8::7]:2762"},
        **{"Link": "ct1", "Leg": "requestor", "Phase": "established", "Repeated": "7"},
    }


def _coded(code: str, text: str) -> dict[str, str]:
    return {"csd-code": code, "codeSystemName": "DCM", "displayName": text, "originalText": text}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *(("ISCL_MAC_FAILURE", "0x10"), ("ISCL_DECRYPT_FAILURE", "0x11"), ("ISCL_AUTHENTICATION_FAILURE", "0x12")),
        *(("ISCL_FRAMING_ERROR", "0x13"), ("ISCL_TIMEOUT", "0x14"), ("ISCL_CARD_ERROR", "0x15"), ("TLS_INTEGRITY", "0")),
    ],
)
def test_every_documented_provider_reason_is_in_its_alert(name: str, reason: str) -> None:
    found = told(as_line(event(Code[name])))
    assert (found.event, found.types, found.details["Provider Reason"]) == ("110113", ["110126"], reason)


@pytest.mark.parametrize(("name", "kind"), [("STARTED", "110120"), ("STOPPED", "110121")])
def test_start_and_stop_are_application_activity_without_an_object(name: str, kind: str) -> None:
    root = told(as_line(event(Code[name]))).root
    assert [child.tag for child in root] == ["EventIdentification", "ActiveParticipant", "AuditSourceIdentification"]
    assert (root[0][0].get("csd-code"), root[0][1].get("csd-code"), root[0].get("EventOutcomeIndicator")) == ("110100", kind, "0")
    assert root[1][0].attrib == _coded("110150", "Application")


def test_what_is_not_audited_becomes_no_message() -> None:
    assert message_of(event(Code.ASSOCIATION_BEGAN), "b", "b") is None
    assert Code.ASSOCIATION_BEGAN.value.number not in AUDITED


@pytest.mark.skipif(shutil.which("xmllint") is None, reason="xmllint (libxml2-utils) is not installed")
def test_every_message_fits_the_schema(tmp_path: Path) -> None:
    """xmllint, with what the standard's schema fixes: one file a code; and one that does not fit is refused."""
    for code in MEANINGS:
        for number, one in enumerate((event(code), event(code, "", **WORDS), event(code, "\x00<&>", detail="\x01\ud800 ]]>\n"))):
            message = message_of(one, "ward-ct1", "gate 7", "Ward 3" if number else "")
            assert message is not None
            (tmp_path / f"{code}-{number}.xml").write_bytes(xml(message))
    words = ["xmllint", "--noout", "--nonet", "--relaxng", str(SCHEMA)]
    done = subprocess.run([*words, *map(str, tmp_path.glob("*.xml"))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    bad = (tmp_path / "WG316-0.xml").read_text().replace('EventOutcomeIndicator="8"', 'EventOutcomeIndicator="7"')
    (tmp_path / "bad.xml").write_text(bad)
    assert subprocess.run([*words, str(tmp_path / "bad.xml")], capture_output=True, check=False).returncode != 0


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=600), st.text(max_size=600), st.text(max_size=600))
def test_any_text_comes_out_as_it_went_in_or_replaced(who: str, peer: str, detail: str) -> None:
    one = AuditEvent.of(Code.TLS_INTEGRITY, NS, who, peer, {"detail": detail, "at": "192.0.2.1:1"})
    message = message_of(one, "box", "box")
    assert message is not None
    root = ElementTree.fromstring(xml(message))
    name = root.findtext("ParticipantObjectIdentification/ParticipantObjectName", "")
    assert name == (_carried(peer[:MAX_TEXT]) or "192.0.2.1").replace("\r", "\r")
    assert root[1].get("UserID", "") == _carried(who[:MAX_TEXT])


def _carried(text: str) -> str:
    def may(c: str) -> bool:
        return c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and ord(c) & 0xFFFE != 0xFFFE)

    return "".join(c if may(c) else "\ufffd" for c in text)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.dictionaries(
        st.sampled_from(["at", "detail", "link", "side", "phase", "port", "users", "repeated", "by"]),
        st.text('&"\u20ac\U0001f600\n', max_size=400),
    )
)
def test_no_event_makes_a_message_longer_than_a_repository_must_take(words: dict[str, str]) -> None:
    message = message_of(AuditEvent.of(Code.TLS_INTEGRITY, NS, "\n" * 400, "\n" * 400, words), "b" * 64, "\U0001f600" * 255, '"' * 255)
    assert message is not None
    assert len(xml(message)) <= MAX_OCTETS


def test_a_message_without_participant_is_refused() -> None:
    source = AuditSource("x")
    with pytest.raises(ValueError, match="ActiveParticipant"):
        xml(AuditMessage(EventId.SECURITY_ALERT, (EventType.NODE_AUTHENTICATION,), Action.EXECUTE, 0, Outcome.SUCCESS, source, ()))
    whole = AuditMessage(EventId.SECURITY_ALERT, (), Action.EXECUTE, 0, Outcome.SUCCESS, source, (Participant("p"),))
    assert b"EventTypeCode" not in xml(whole)


def test_time_is_utc_with_its_zone() -> None:
    assert instant(0) == "1970-01-01T00:00:00.000Z"
    assert instant(NS) == "2025-11-29T23:44:05.123Z"


def test_an_event_travels_whole_and_only_with_words_that_may() -> None:
    one = AuditEvent.of(Code.TLS_INTEGRITY, NS, "w", "p", {"detail": ValueError("x"), "patient": "Doe", "where": "file.py:1", "at": "h:1"})
    assert one.words == {"detail": "x", "at": "h:1"}
    assert event_in(decode(packet(7, one))) == (7, one)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{", b'{"n":1}', b'{"n":true,"event":{}}', b'{"n":1,"event":{"code":1}}', b"[" * 60000, b" " * 70000),
        b'{"n":1,"event":{"code":1,"time":-1,"who":"","peer":"","words":{}}}',
        b'{"n":1,"event":{"code":1,"time":1,"who":"","peer":"","words":{"patient":"x"}}}',
        b'{"n":1,"event":{"code":1,"time":1,"who":"","peer":"","words":{"at":7}}}',
    ],
)
def test_a_malformed_packet_is_refused(data: bytes) -> None:
    with pytest.raises(EventError):
        event_in(decode(data))
