"""Records: what is made can be read back, whatever a peer sends; bounds; what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.custody.parse import RecordError, parse_record
from wardgate.custody.record import MAX_RECORD, Flow, Leg, Outcome, Quality, Scope, parse, stamp

ASSOCIATION = bytes(range(16))
TEXT = st.text(max_size=200)
DIGEST = st.sampled_from([("sha256", "dataset", "0a" * 32), ("sha512", "dataset-sent", "f0" * 64), ("sha384", "dataset", "11" * 48)])


def scope(box: str = "ward", leg: Leg | None = None) -> Scope:
    """A scope for tests."""
    return Scope(box, "ct1", "to-hospital", ASSOCIATION, leg or Leg("CT1", "192.0.2.10:1"), Leg("PACS", "198.51.100.5:2762"))


@settings(deadline=None)
@given(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.lists(DIGEST, max_size=5), st.none() | st.integers(0, 65535), st.integers(0, 2**63))
def test_whatever_a_peer_sends_a_record_is_one_bounded_line_that_can_be_read(
    box: str, ae: str, address: str, tls: str, uid: str, instance: str, digests: list[tuple[str, str, str]], status: int | None, seq: int
) -> None:
    leg = Leg(ae, address, "ab" * 32, tls)
    made = Scope(box, box, "to-modality", ASSOCIATION, leg, leg)
    for data in (
        made.open(1, Quality.UNKNOWN),
        made.store(2, Quality.SYNCHRONISED, seq, uid, instance, uid, 2**40, digests, status, Outcome.STATUS, Flow.REQUESTOR),
        made.close(3, Quality.UNSYNCHRONISED, seq, tls, seq),
    ):
        assert len(data) <= MAX_RECORD and b"\n" not in data and data.isascii()
        record = parse(data)
        assert record.known and record.association == ASSOCIATION.hex()


def test_store_record_says_what_went_in() -> None:
    digests = [("sha256", "dataset", "ab" * 32), ("sha256", "dataset-sent", "cd" * 32)]
    made = scope()
    made.set_requestor(Leg("PACS", "198.51.100.5:2762", "ef" * 32, "TLSv1.3 TLS_AES_256_GCM_SHA384"))
    time_ns = 1_700_000_000_123_456_789
    data = made.store(time_ns, Quality.UNKNOWN, 7, "1.2", "1.2.3", "1.2.840.10008.1.2", 99, digests, 0xA700, Outcome.STATUS, Flow.ACCEPTOR)
    record = parse(data)
    assert record.time == "2023-11-14T22:13:20.123456789Z"
    assert (record.number("seq"), record.text("sop_instance"), record.text("status")) == (7, "1.2.3", "A700")
    assert record.digests() == digests
    assert record.leg("requestor")["certificate"] == "ef" * 32 and record.leg("acceptor")["tls"] == ""
    assert json.loads(data)["v"] == 1


def test_uid_with_other_characters_is_sanitised_and_cut() -> None:
    data = scope().store(0, Quality.UNKNOWN, 1, '1.2"}', "9" * 100, "\u00e9\n1", 0, [], None, Outcome.ABORTED, Flow.ACCEPTOR)
    record = parse(data)
    assert record.text("sop_class") == "1.2??" and record.text("sop_instance") == "9" * 64 and record.text("transfer_syntax") == "??1"
    assert record.text("outcome") == "aborted" and record.text("status") == ""


def test_close_with_a_place_says_that_outcomes_are_unknown() -> None:
    unknown, complete = (
        parse(scope().close(0, Quality.UNKNOWN, 2, "worker-lost", 41)),
        parse(scope().close(0, Quality.UNKNOWN, 2, "released")),
    )
    assert (unknown.text("outcome"), unknown.number("after")) == ("unknown", 41)
    assert (complete.text("outcome"), complete.number("after")) == ("complete", None)


def test_digest_of_an_unknown_kind_is_not_written() -> None:
    for digest in (
        ("md5", "dataset", "ab" * 16),
        ("sha256", "x", "ab" * 32),
        ("sha256", "dataset", "ab" * 31),
        ("sha256", "dataset", 'a"' * 32),
    ):
        with pytest.raises(ValueError):
            scope().store(0, Quality.UNKNOWN, 1, "1", "1", "1", 0, [digest], 0, Outcome.STATUS, Flow.ACCEPTOR)


def test_seconds_change_in_the_stamp() -> None:
    assert stamp(0) == "1970-01-01T00:00:00.000000000Z"
    assert stamp(1_999_999_999) == "1970-01-01T00:00:01.999999999Z"
    assert stamp(86_400_000_000_000) == "1970-01-02T00:00:00.000000000Z"


def test_type_that_is_not_known_is_read_as_such() -> None:
    record = parse_record(b'{"v":1,"type":"commit","time":"x","more":[1]}')
    assert not record.known and record.type == "commit" and record.fields["more"] == [1]


@pytest.mark.parametrize(
    "change",
    [
        (b'"v":1', b'"v":2'),
        (b'"v":1', b'"v":true'),
        (b'"outcome":"status"', b'"outcome":"fine"'),
        (b'"seq":1', b'"seq":-1'),
        (b'"seq":1', b'"seq":true'),
        (b'"quality":"unknown"', b'"quality":"good"'),
        (b'"status":"0000"', b'"status":"0"'),
        (b'"seq":1', b'"seq":1,"seq":1'),
        (b'"seq":1', b'"seq":1,"patient":"x"'),
        (b'"alg":"sha256"', b'"alg":"sha512"'),
        (b'"scope":"dataset"', b'"scope":"file"'),
        (b'"alg":"sha256"', b'"alg":["sha256"]'),
        (b'"scope":"dataset"', b'"scope":{"dataset":1}'),
        (b"}", b""),
    ],
)
def test_known_type_with_a_wrong_field_is_refused(change: tuple[bytes, bytes]) -> None:
    digest = [("sha256", "dataset", "ab" * 32)]
    data = scope().store(0, Quality.UNKNOWN, 1, "1", "1", "1", 0, digest, 0, Outcome.STATUS, Flow.ACCEPTOR)
    parse_record(data)
    assert change[0] in data
    with pytest.raises(RecordError):
        parse_record(data.replace(*change))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_record_or_an_error(data: bytes) -> None:
    try:
        parse_record(data)
    except RecordError:
        pass
