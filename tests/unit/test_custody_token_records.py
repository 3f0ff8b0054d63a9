"""Token records and notes of type 0x02: written, read back, refused when wrong; the writer's word on whether it can sign."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from wardgate.custody.frames import Frame, Kind
from wardgate.custody.logkey import SignerAway
from wardgate.custody.note import Kind as KeyKind
from wardgate.custody.note import NoteError, VerifierKey, add_signature, key_from_spki, open_note, parse_key
from wardgate.custody.parse import RecordError, parse_record
from wardgate.custody.record import MAX_RECORD, Quality, TokenEvent, TokenNews, token_record
from wardgate.custody.signing import Signing
from wardgate.custody.state import State

NAME = "ward.example/custody"
TEXT = "ward.example/custody\n1\nAAAA\n"
SERIAL = hashlib.sha256(b"1234").hexdigest()


def p256() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_note_of_type_2_is_opened_and_a_changed_one_is_not() -> None:
    private, spki = p256()
    key = key_from_spki(NAME, spki)
    note = add_signature(TEXT, key, private.sign(TEXT.encode(), ec.ECDSA(hashes.SHA256()))).encode()
    assert open_note(note, key) == TEXT
    with pytest.raises(NoteError, match="wrong"):
        open_note(note.replace(b"\n1\n", b"\n2\n"), key)
    _, other = p256()
    with pytest.raises(NoteError, match="no signature"):
        open_note(note, key_from_spki(NAME, other))


def test_the_key_id_of_type_2_is_that_of_the_spki_alone() -> None:
    """C2SP signed-note, Signature types: 0x02."""
    _, spki = p256()
    key = key_from_spki(NAME, spki)
    assert key.kind is KeyKind.ECDSA_P256
    assert key.key_id == hashlib.sha256(spki).digest()[:4] == key._replace(name="another").key_id
    assert key.text == f"{NAME}+{key.key_id.hex()}+{base64.b64encode(bytes((2,)) + spki).decode()}"
    assert parse_key(key.text + "\n") == key


def test_only_p256_and_ed25519_can_sign_a_log() -> None:
    spki = ec.generate_private_key(ec.SECP384R1()).public_key()
    der = spki.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(NoteError, match="neither"):
        key_from_spki(NAME, der)


def test_a_vkey_is_refused_whose_type_id_or_point_is_not_that_of_its_key() -> None:
    _, spki = p256()
    good = key_from_spki(NAME, spki)
    for data in (b"\x03" + spki, b"\x02" + spki[:-1], b"\x02" + spki[27:], b"\x01" + spki, b"\x02"):
        with pytest.raises(NoteError):
            parse_key(f"{NAME}+{good.key_id.hex()}+{base64.b64encode(data).decode()}")
    with pytest.raises(NoteError):
        parse_key(f"{NAME}+00000000+{base64.b64encode(bytes((2,)) + spki).decode()}")
    off_curve = VerifierKey(NAME, spki[:-1] + bytes((spki[-1] ^ 1,)), KeyKind.ECDSA_P256)
    with pytest.raises(NoteError, match="no key"):
        open_note(add_signature(TEXT, off_curve, b"x" * 70).encode(), off_curve)


def news(**words: str) -> TokenNews:
    return TokenNews(
        TokenEvent.REMOVED, **{"box": "ward", "token": "ward-ct1", "serial": SERIAL, "users": "ct1/pacs", "code": "WG740", **words}
    )


def test_a_token_record_is_read_back_as_it_was_written() -> None:
    record = parse_record(token_record(1, Quality.UNSYNCHRONISED, news(detail="wanted ward-ct1"), signing=False, unsigned=17))
    assert record.known and record.type == "token" and record.quality == "unsynchronised" and record.association == ""
    assert (record.text("event"), record.text("token"), record.text("serial")) == ("removed", "ward-ct1", SERIAL)
    assert (record.text("signing"), record.number("unsigned"), record.text("detail")) == ("out", 17, "wanted ward-ct1")


@given(st.text(max_size=400), st.text(max_size=400))
def test_whatever_a_card_calls_itself_makes_a_record_within_the_bound(name: str, detail: str) -> None:
    data = token_record(1, Quality.UNKNOWN, news(token=name, detail=detail, users=name, box=detail), signing=True, unsigned=2**64)
    assert len(data) <= MAX_RECORD
    assert parse_record(data).known


@pytest.mark.parametrize(
    "change",
    [
        (b'"event":"removed"', b'"event":"eaten"'),
        (b'"signing":"out"', b'"signing":"maybe"'),
        (b'"unsigned":1', b'"unsigned":-1'),
        (SERIAL.encode(), b"1234"),
        (b'"code":"WG740"', b'"code":740'),
        (b'"box"', b'"xob"'),
    ],
)
def test_a_token_record_with_a_wrong_field_is_refused(change: tuple[bytes, bytes]) -> None:
    data = token_record(1, Quality.UNKNOWN, news(), signing=False, unsigned=1)
    assert change[0] in data
    with pytest.raises(RecordError):
        parse_record(data.replace(*change))


def test_a_token_record_takes_an_index_and_belongs_to_no_association() -> None:
    state = State(5)
    state.replay(Frame(5, Kind.TOKEN, bytes(16), 0, b"{}", 0, 0), 0)
    assert state.next_index == 6 and not state.open


def test_signing_is_out_from_the_first_word_until_a_checkpoint_was_signed() -> None:
    signing = Signing()
    signing.tell(("WG740", "gone"), 10.0)
    signing.tell(("WG747", "away"), 20.0)
    assert signing.is_out and signing.told and (signing.code, signing.since) == ("WG747", 10.0)
    signing.tell(None, 30.0)
    assert signing.is_out and not signing.told, "until it is proved by a signature"
    assert signing.signed() and not signing.is_out
    assert not signing.signed()


def test_attempts_that_fail_for_the_tokens_sake_become_rarer() -> None:
    signing = Signing()
    waits = [signing.failed(SignerAway("WG716", "slow"), 1.0) for _ in range(8)]
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30] and signing.is_out and not signing.told
    signing.tell(None, 2.0)
    assert signing.failed(SignerAway("WG716", "slow"), 3.0) == 1
