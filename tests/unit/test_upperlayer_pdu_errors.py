"""Wrong PDUs are refused with byte, clause, sentence and abort reason, before anything is allocated for them."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from support.pdu_vectors import APPLICATION, RQ, USER, associate, context_ac, context_rq, item, pdu
from wardgate.codes import Code
from wardgate.upperlayer.errors import LocalError, PduError
from wardgate.upperlayer.frame import text
from wardgate.upperlayer.identity import UserIdentityRQ
from wardgate.upperlayer.items import ApplicationContext, PresentationContextRQ
from wardgate.upperlayer.pdu import PDV, AssociateRQ, Limits, PDataTF, ae_field, decode, header
from wardgate.upperlayer.subitems import MaximumLength
from wardgate.upperlayer.terms import AbortReason
from wardgate.upperlayer.userinfo import UserInformation

UID65 = b"1" * 65


def rq(*items: bytes) -> bytes:
    return associate(1, *items)


def user(*sub_items: bytes) -> bytes:
    return rq(APPLICATION, context_rq(1), item(0x50, b"".join(sub_items)))


AT = 74  # first item
USER_AT = len(rq(APPLICATION, context_rq(1))) + 4  # first sub-item in `user()`

CASES = {
    "no byte at all": (b"", 0, "9.3.1", "header of 6"),
    "type that does not exist": (b"\x47ET / ", 0, "9.3.1", "type 47H"),
    "type zero": (pdu(0, b""), 0, "9.3.1", "type 00H"),
    "less than the header says": (RQ[:-1], 2, "9.3.1", "stand after its header"),
    "more than the header says": (RQ + b"\x00", 2, "9.3.1", "stand after its header"),
    "release with 5 bytes": (pdu(5, bytes(5)), 2, "9.3.1", "at most 4"),
    "release with 3 bytes": (pdu(6, bytes(3)), 2, "9.3.7", "must have 4"),
    "abort with nothing": (pdu(7, b""), 2, "9.3.8", "must have 4"),
    "fixed part cut": (pdu(1, bytes(67)), 73, "9.3.2", "fixed part"),
    "item header cut": (rq(b"\x10\x00\x00"), AT, "9.3.2", "item header"),
    "item past the end": (rq(b"\x10\x00\x00\x05abcd"), AT + 2, "9.3.2", "says 5 bytes, 4"),
    "two application contexts": (rq(APPLICATION, APPLICATION, context_rq(1), USER), AT + 25, "9.3.2", "10H stands twice"),
    "no application context": (rq(context_rq(1), USER), len(rq(context_rq(1), USER)), "9.3.2", "10H is missing"),
    "no user information": (rq(APPLICATION, context_rq(1)), USER_AT - 4, "9.3.2", "50H is missing"),
    "no context": (rq(APPLICATION, USER), len(rq(APPLICATION, USER)), "9.3.2", "no presentation context"),
    "even context ID": (rq(context_rq(2)), AT + 4, "9.3.2.2", "not odd"),
    "even context ID in the answer": (associate(2, context_ac(4)), AT + 4, "9.3.3.2", "not odd"),
    "same context ID twice": (rq(context_rq(1), context_rq(1)), AT + len(context_rq(1)) + 4, "9.3.2", "stands twice"),
    "context cut": (rq(item(0x20, b"\x01\x00\x00")), AT + 4, "9.3.2.2", "fixed part has 4"),
    "empty context": (rq(item(0x20, b"")), AT + 4, "9.3.2.2", "fixed part has 4"),
    "two abstract syntaxes": (rq(item(0x20, b"\x01\0\0\0" + item(0x30, b"1") * 2 + item(0x40, b"1"))), AT + 4, "9.3.2.2", "has 2 abstract"),
    "no abstract syntax": (rq(item(0x20, b"\x01\0\0\0" + item(0x40, b"1"))), AT + 4, "9.3.2.2", "has 0 abstract"),
    "no transfer syntax": (rq(item(0x20, b"\x01\0\0\0" + item(0x30, b"1"))), AT + 4, "9.3.2.2", "no transfer syntax"),
    "UID too long": (rq(item(0x10, UID65)), AT + 4, "9.3.2.1", "longer than 64"),
    "accepted without transfer syntax": (associate(2, item(0x21, b"\x01\0\0\0")), AT + 4, "9.3.3.2", "has 0 transfer"),
    "two transfer syntaxes accepted": (associate(2, item(0x21, b"\x01\0\0\0" + item(0x40, b"1") * 2)), AT + 4, "9.3.3.2", "has 2 transfer"),
    "sub-item past its parent": (user(b"\x51\x00\x00\x05abcd"), USER_AT + 2, "9.3.2.3", "says 5 bytes, 4"),
    "maximum length of 2 bytes": (user(item(0x51, b"ab")), USER_AT + 2, "D.1.1", "must have 4"),
    "window of 5 bytes": (user(item(0x53, bytes(5))), USER_AT + 2, "D.3.3.3", "must have 4"),
    "two maximum lengths": (user(item(0x51, bytes(4)) * 2), USER_AT + 8, "9.3.2.3", "51H stands twice"),
    "role selection cut": (user(item(0x54, b"\x00\x011")), USER_AT + 7, "D.3.3.4", "roles"),
    "role selection UID past the end": (user(item(0x54, b"\x00\x091")), USER_AT + 4, "D.3.3.4", "says 9 bytes, 1"),
    "extended negotiation empty": (user(item(0x56, b"")), USER_AT + 4, "D.3.3.5", "cut short"),
    "related class past its list": (user(item(0x57, b"\x00\x011\x00\x012\x00\x03\x00\x023")), USER_AT + 12, "D.3.3.6", "says 2 bytes, 1"),
    "identity cut": (user(item(0x58, b"\x01")), USER_AT + 4, "D.3.3.7.1", "cut short"),
    "identity without second length": (user(item(0x58, b"\x01\x00\x00\x01a")), USER_AT + 9, "D.3.3.7.1", "secondary"),
    "identity with a tail": (user(item(0x58, b"\x01\x00\x00\x01a\x00\x00z")), USER_AT + 11, "D.3.3.7.1", "after the last"),
    "identity answer with a tail": (user(item(0x59, b"\x00\x00z")), USER_AT + 6, "D.3.3.7.2", "after the last"),
    "P-DATA without PDV": (pdu(4, b""), 6, "9.3.5", "no presentation data value"),
    "PDV header cut": (pdu(4, bytes(5)), 6, "9.3.5.1", "PDV header"),
    "PDV of 1 byte": (pdu(4, b"\0\0\0\x01\x01\x03"), 6, "9.3.5.1", "2 to 2"),
    "PDV past the end": (pdu(4, b"\0\0\0\x03\x01\x03"), 6, "9.3.5.1", "2 to 2"),
    "PDV on an even context": (pdu(4, b"\0\0\0\x02\x02\x03"), 10, "9.3.2.2", "not odd"),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_pdu_is_refused_at_its_byte_with_its_clause(name: str) -> None:
    data, offset, clause, words = CASES[name]
    with pytest.raises(PduError) as caught:
        decode(data)
    assert (caught.value.offset, caught.value.clause.split()[1]) == (offset, clause)
    assert words in caught.value.message
    assert f"byte {offset}: " in str(caught.value) and caught.value.clause in str(caught.value)


def test_abort_reason_tells_the_kind_of_mistake() -> None:
    reasons = {}
    for name in ("type zero", "two maximum lengths", "even context ID"):
        with pytest.raises(PduError) as caught:
            decode(CASES[name][0])
        reasons[name] = caught.value.reason
    assert reasons == {
        "type zero": AbortReason.UNRECOGNIZED_PDU,
        "two maximum lengths": AbortReason.UNEXPECTED_PARAMETER,
        "even context ID": AbortReason.INVALID_PARAMETER_VALUE,
    }


def test_ten_thousand_contexts_are_refused_at_the_129th() -> None:
    contexts = [context_rq(2 * (n % 128) + 1) for n in range(10_000)]
    data = rq(APPLICATION, *contexts, USER)
    assert len(data) < Limits().associate_bytes
    tracemalloc.start()
    try:
        with pytest.raises(PduError, match="more than 128 presentation contexts") as caught:
            decode(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code is Code.PDU_TOO_MANY
    assert caught.value.offset == AT + len(APPLICATION) + 128 * len(context_rq(1)) + 4
    assert peak < 300_000


def test_128_contexts_are_taken() -> None:
    decoded = decode(rq(APPLICATION, *(context_rq(2 * n + 1) for n in range(128)), USER))
    assert isinstance(decoded, AssociateRQ) and len(decoded.contexts) == 128


@pytest.mark.parametrize(
    "data, words",
    [
        (rq(*[item(0x90, b"")] * 257), "more than 256 items"),
        (rq(item(0x20, b"\x01\0\0\0" + item(0x40, b"1") * 129)), "more than 128 items"),
        (user(item(0x90, b"") * 1025), "more than 1024 items"),
        (user(item(0x57, struct.pack(">HHH", 0, 0, 600) + bytes(600))), "more than 256 related"),
        (pdu(4, b"\0\0\0\x02\x01\x00" * 65537), "more than 65536 presentation data values"),
    ],
)
def test_every_count_has_its_bound(data: bytes, words: str) -> None:
    with pytest.raises(PduError, match=words):
        decode(data)


@pytest.mark.parametrize("pdu_type, most", [(1, 1 << 20), (2, 1 << 20), (3, 4), (4, 128 << 20), (5, 4), (6, 4), (7, 4)])
def test_header_alone_refuses_a_length_beyond_its_bound(pdu_type: int, most: int) -> None:
    assert header(struct.pack(">BxI", pdu_type, most)) == (pdu_type, most)
    for length in (most + 1, 0xFFFFFFFF):
        with pytest.raises(PduError, match=f"says {length} bytes; at most {most}") as caught:
            header(struct.pack(">BxI", pdu_type, length))
        assert caught.value.code is Code.PDU_TOO_LONG and caught.value.offset == 2


def test_limits_given_are_those_that_count() -> None:
    with pytest.raises(PduError, match="at most 100"):
        decode(RQ, Limits(associate_bytes=100))
    with pytest.raises(PduError, match="more than 1 presentation contexts"):
        decode(RQ, Limits(contexts=1))


def test_unacceptable_is_not_undecodable() -> None:
    """Version 0, strange AE titles and UIDs are for policy to refuse, with an A-ASSOCIATE-RJ instead of an A-ABORT."""
    data = bytearray(associate(1, APPLICATION, context_rq(1, "not a uid"), USER, called=bytes(16), calling=b"\r\n" * 8))
    data[6:8] = b"\0\0"
    decoded = decode(bytes(data))
    assert isinstance(decoded, AssociateRQ)
    assert not decoded.speaks_version_1
    assert (decoded.called_ae, decoded.calling_ae) == ("", r"\x0d\x0a" * 8)


@pytest.mark.parametrize(
    "raw, shown",
    [
        (b"CT1             ", "CT1"),
        (b"  CT 1 ", "CT 1"),
        (b"CT1\0\0", "CT1"),
        (b"CT1\0 \0", "CT1"),
        (b"CT1\0JUNK", r"CT1\x00JUNK"),
        (b"\0CT1", r"\x00CT1"),
        (b"CT1\x1b[2J", r"CT1\x1b[2J"),
        (rb"CT1\x00", r"CT1\x5cx00"),
        (b"M\xdcNCHEN", r"M\xdcNCHEN"),
        (b"", ""),
    ],
)
def test_text_of_a_field_is_printable_and_cannot_pose_as_another(raw: bytes, shown: str) -> None:
    assert text(raw) == shown
    assert text(raw).isascii() and text(raw).isprintable()


def test_secrets_and_data_are_never_printed() -> None:
    identity = UserIdentityRQ(2, 1, b"tech", b"hunter2")
    shown = repr(UserInformation((identity,))) + repr(PDataTF((PDV(1, 2, b"DOE^JANE"),)))
    assert "hunter2" not in shown and "tech" not in shown and "DOE" not in shown
    assert "<7 bytes>" in shown


@pytest.mark.parametrize("title", ["", " " * 4, "A" * 17, "M\xdcNCHEN", "A\\B", "A\nB"])
def test_wrong_ae_title_of_our_own_is_a_local_error(title: str) -> None:
    with pytest.raises(LocalError):
        ae_field(title)


def test_what_does_not_fit_its_length_field_is_a_local_error() -> None:
    with pytest.raises(LocalError):
        ApplicationContext(bytes(65536)).encode()
    with pytest.raises(LocalError):
        UserIdentityRQ(4, 0, bytes(65536)).encode()
    with pytest.raises(LocalError):
        AssociateRQ(b"short", b"short", ()).encode()
    with pytest.raises(LocalError):
        _ = AssociateRQ(bytes(16), bytes(16), ()).user_information


def test_values_never_change_and_compare_by_type_and_fields() -> None:
    item_51 = MaximumLength(16384)
    with pytest.raises(AttributeError):
        item_51.value = 0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del item_51.value
    with pytest.raises(AttributeError):
        item_51.other = 0  # type: ignore[attr-defined]
    assert item_51 == MaximumLength(16384) and hash(item_51) == hash(MaximumLength(value=16384, reserved=0))
    assert item_51 != MaximumLength(16384, 1)
    assert item_51.replace(value=7) == MaximumLength(7)
    assert PresentationContextRQ.of(1, "1.2", "1.3") != PresentationContextRQ.of(1, "1.2", "1.4")
    for wrong in (lambda: MaximumLength(), lambda: MaximumLength(1, 2, 3), lambda: MaximumLength(1, size=2)):  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            wrong()


def test_upper_layer_and_edits_add_no_heavy_import() -> None:
    import subprocess
    import sys

    program = (
        "import sys; import wardgate.codes; before = set(sys.modules)\n"
        "import wardgate.upperlayer.pdu, wardgate.upperlayer.machine, wardgate.edit.associate, wardgate.edit.response\n"
        "print([name for name in sorted(set(sys.modules) - before) if not name.startswith('wardgate')])"
    )
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    loaded = done.stdout.strip()
    for heavy in ("inspect", "dataclasses", "asyncio", "logging", "urllib", "http"):
        assert f"'{heavy}'" not in loaded
