"""The legacy ISCL-style channel between two boxes with their keys in SoftHSM tokens behind a key service, DCMTK at both ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import datasets, peers
from support.isclboxes import TwoBoxes
from support.keyservice import KeyService
from support.processes import until
from support.softhsm import SoftHsm
from support.tokenbench import knows
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")
DES = {
    "auth-1-c2s": bytes.fromhex("0123456789abcdef"), "auth-1-s2c": bytes.fromhex("fedcba9876543210"),
    "enc-1": bytes.fromhex("2345678998badcef"), "enc-2": bytes.fromhex("98badcef23456789"),
}  # fmt: skip
AES = {"aes-auth-1-c2s": bytes(range(16)), "aes-auth-1-s2c": bytes(range(16, 32))}
OTHER = {**DES, "auth-1-s2c": bytes.fromhex("1032547698badcfe")}


@pytest.fixture(scope="module")
def service() -> Iterator[KeyService]:
    with tempfile.TemporaryDirectory(prefix="wk-") as name:
        hsm = SoftHsm(Path(name))
        tokens: dict[str, dict[str, bytes]] = {"box-a": {**DES, **AES}, "box-b": {**DES, **AES}, "stranger": OTHER, "empty": {}}
        for label, keys in tokens.items():
            hsm.new_token(label)
            hsm.provision(label, secrets={f"iscl-{key}": value for key, value in keys.items()})
        made = KeyService(Path(name), hsm.env)
        for label in tokens:
            made.add_token(label, hsm.module)
        made.hsm = hsm  # type: ignore[attr-defined]
        made.start()
        yield made
        made.stop()


SUITES = [
    {},
    {"r1": {"master_to_server": 1, "master_to_client": 2}},
    {"encryption": "none", "mac": "des-mac"},
    {"method": "iso-9798-2", "encryption": "aes-128-cbc", "mac": "aes-cmac", "unsafe_allow_des": False},
    {"method": "iso-9798-4", "encryption": "aes-256-gcm", "mac": "integrated", "unsafe_allow_des": False},
]


@pytest.mark.parametrize("words", SUITES, ids=["des-cbc-md5", "master-keys", "des-mac", "iso-9798-2", "iso-9798-4"])
def test_a_series_passes_with_keys_that_never_leave_their_tokens(
    folder: Path, pki: Pki, service: KeyService, words: dict[str, object]
) -> None:
    boxes = TwoBoxes(folder, pki, ("pkcs11:token=box-a", "pkcs11:token=box-b"), key_socket=service.socket, **words)
    try:
        boxes.start().serve()
        series = datasets.generate(folder / "in", 3)
        done = boxes.send(series)
        assert done.returncode == 0, done.stdout + boxes.log + service.log[-1000:]
        boxes.assert_delivered(series)
    finally:
        boxes.close()


def test_a_box_whose_token_has_another_key_is_refused_and_named(folder: Path, pki: Pki, service: KeyService) -> None:
    boxes = TwoBoxes(folder, pki, ("pkcs11:token=stranger", "pkcs11:token=box-b"), key_socket=service.socket)
    try:
        boxes.start()
        boxes.refused("ISCL_AUTHENTICATION_FAILURE")
    finally:
        boxes.close()


def test_a_token_that_cannot_answer_is_a_card_error(folder: Path, pki: Pki, service: KeyService) -> None:
    boxes = TwoBoxes(folder, pki, ("pkcs11:token=empty", "pkcs11:token=box-b"), key_socket=service.socket)
    try:
        boxes.start()
        boxes.refused("ISCL_CARD_ERROR")
    finally:
        boxes.close()


def test_a_party_whose_token_is_not_there_is_not_served(folder: Path, pki: Pki, service: KeyService) -> None:
    boxes = TwoBoxes(folder, pki, ("pkcs11:token=nobody", "pkcs11:token=box-b"), key_socket=service.socket)
    try:
        boxes.start()
        boxes.refused("TOKEN_IS_ABSENT", "TOKEN_HAS_FAILED", "TOKEN_IS_ANOTHER")
    finally:
        boxes.close()


def test_a_token_that_is_out_refuses_the_modality_and_serves_it_when_it_is_back(folder: Path, pki: Pki, service: KeyService) -> None:
    boxes = TwoBoxes(folder, pki, ("pkcs11:token=box-a", "pkcs11:token=box-b"), key_socket=service.socket)
    hsm: SoftHsm = service.hsm  # type: ignore[attr-defined]
    try:
        boxes.start().serve()
        hsm.remove()
        knows(boxes.a, "TOKEN_IS_ABSENT")
        done = boxes.echo()
        assert done.returncode != 0 and "Temporary Congestion" in done.stdout, done.stdout
        assert "REFUSED: WG740 token box-a: absent" in boxes.a.status().stdout
        hsm.put_back()
        until(lambda: boxes.echo().returncode == 0, "served again")
    finally:
        boxes.close()
