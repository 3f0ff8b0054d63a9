"""What is kept between signatures: a connection for each thread, a signature begun ahead. Neither outlives what it stands for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.keyservice import KeyService
from support.processes import open_files, until
from support.softhsm import SoftHsm
from support.tlskit import peer_context, shake
from support.tokenkit import TokenKit
from wardkeys.errors import KeyServiceError

DIGEST = bytes(32)


@pytest.fixture
def hsm(folder: Path) -> SoftHsm:
    made = SoftHsm(folder)
    made.new_token("ward")
    made.provision("ward", *((f"key{number}", "p256") for number in range(6)))
    return made


@pytest.fixture
def service(folder: Path, hsm: SoftHsm) -> Iterator[KeyService]:
    made = KeyService(folder, hsm.env)
    made.add_token("ward", hsm.module)
    yield made.start()
    made.stop()


def _sign(service: KeyService, number: int = 0) -> bytes:
    return service.client.sign(f"pkcs11:token=ward;object=key{number}", "ecdsa-sha256", DIGEST)


def test_nothing_is_signed_with_a_token_that_is_gone_although_it_was_begun_ahead(service: KeyService, hsm: SoftHsm) -> None:
    service.until_state("ward", "present")
    for _ in range(100):  # it has to show that it is quick
        _sign(service)
    hsm.remove()
    with pytest.raises(KeyServiceError):
        _sign(service)  # at once, before the service looks at the token by itself
    hsm.put_back()
    service.until_state("ward", "present")
    assert _sign(service)


def test_more_keys_than_are_begun_ahead_take_turns(service: KeyService) -> None:
    service.until_state("ward", "present")
    for turn in range(60):
        assert _sign(service, turn % 6)
        assert _sign(service, turn % 6)
    assert "WG708" not in service.log


def test_a_thread_keeps_one_connection_and_leaves_none_behind() -> None:
    kit = TokenKit("box-ecdsa")
    try:
        server, client = kit.context("box-ecdsa", server=True), peer_context("pacs-ecdsa", server=False)
        counted: list[int] = []

        def work() -> None:
            for _ in range(5):
                shake(server, client)
                counted.append(len(open_files() - before))

        before = open_files()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert counted == [1] * 5
        until(lambda: not open_files() - before, "the kernel's thread has ended too")
    finally:
        kit.close()
