"""The writer's own check of signatures says what `cryptography` says."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wardgate.custody.note import NoteError, VerifierKey, add_signature, key_from_spki, open_note
from wardgate.custody.verifying import check_signature

NAME, TEXT = "ward.example/custody", "ward.example/custody\n1\nAAAA\n"


def signed(kind: str, name: str = NAME) -> tuple[VerifierKey, bytes]:
    """Return a new key and its signature over `TEXT`."""
    if kind == "ed25519":
        edwards = Ed25519PrivateKey.generate()
        public, signature = edwards.public_key(), edwards.sign(TEXT.encode())
    else:
        curve = ec.generate_private_key(ec.SECP256R1())
        public, signature = curve.public_key(), curve.sign(TEXT.encode(), ec.ECDSA(hashes.SHA256()))  # type: ignore[assignment]
    return key_from_spki(name, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)), signature


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_a_good_signature_is_good_and_no_other_is(kind: str) -> None:
    key, signature = signed(kind)
    _, other = signed(kind)
    changed = [signature[:at] + bytes((signature[at] ^ 1,)) + signature[at + 1 :] for at in range(len(signature))]
    for given in (signature, *changed, other, b"", signature[:-1], signature + b"\0", bytes(len(signature))):
        note = add_signature(TEXT, key, given).encode()
        for verify in (None, check_signature):
            if given == signature:
                assert open_note(note, key, verify) == TEXT
            else:
                with pytest.raises(NoteError):
                    open_note(note, key, verify)


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_a_key_that_is_none_has_signed_nothing(kind: str) -> None:
    key, signature = signed(kind)
    with pytest.raises(NoteError):
        check_signature(key._replace(public=key.public[:-1]), signature, TEXT.encode())
    with pytest.raises(NoteError):
        check_signature(key._replace(public=b"\xff" * len(key.public)), signature, TEXT.encode())
