"""Grants of keys.toml at a running key service: what is not granted is refused before the token is asked, and said in the log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.keyservice import KeyService
from support.softhsm import SoftHsm
from wardgate.codes import Code
from wardkeys.errors import KeyServiceError

TLS, LOG = "pkcs11:token=ward;object=tls", "pkcs11:token=ward;object=log"
DIGEST = bytes(32)


@pytest.fixture
def service(folder: Path) -> Iterator[KeyService]:
    """A token with two keys, of which this user may use one."""
    hsm = SoftHsm(folder)
    hsm.new_token("ward")
    hsm.provision("ward", ("tls", "p256"), ("log", "p256"))
    made = KeyService(folder, hsm.env)
    made.add_token("ward", hsm.module)
    made.add_user(os.geteuid(), [TLS], ["sign"])
    yield made.start()
    made.stop()


def test_a_user_signs_with_the_granted_key_and_is_refused_every_other_use(service: KeyService) -> None:
    service.until_state("ward", "present")
    assert service.client.sign(TLS, "ecdsa-sha256", DIGEST)
    assert service.client.public(TLS)
    refused = [
        lambda: service.client.sign(LOG, "ecdsa-sha256", DIGEST),
        lambda: service.client.sign("pkcs11:token=ward;id=%02", "ecdsa-sha256", DIGEST),
        lambda: service.client.public(LOG),
        lambda: service.client.random("pkcs11:token=ward", 8),
        lambda: service.client.list("pkcs11:"),
    ]
    for ask in refused:
        with pytest.raises(KeyServiceError) as caught:
            ask()
        assert caught.value.code is Code.KEYS_NOT_GRANTED
    assert service.log.count("WG733") == 4, "once for each user and operation"
    assert service.client.sign(TLS, "ecdsa-sha256", DIGEST), "its connection is not lost"
