"""What `wardgate check` warns of a queue: a token key that nothing replaces, and a disk on which nothing would be taken. Each once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from wardgate.policy.holdcheck import check_hold
from wardgate.policy.keyref import TokenKey
from wardgate.policy.loader import config_from
from wardgate.policy.mistakes import Mistake
from wardgate.policy.model import Config

KEY = TokenKey("pkcs11:token=ward;object=queue")
MUCH = 1 << 60
LINK = """
[[link]]
name = "ct{n}"
delivery = "hold"
sop_classes = ["*"]
[link.modality]
ae_titles = ["*"]
addresses = ["127.0.0.{n}"]
listen = ["127.0.0.1:1110{n}"]
transport = "plain"
[[link.peer]]
name = "pacs{n}"
ae_titles = ["*"]
addresses = ["127.0.1.{n}"]
connect = "127.0.1.{n}:104"
transport = "plain"
unsafe_allow_clear_hospital = true
hold_transfer_syntaxes = ["1.2.840.10008.1.2"]
"""
TEXT = """
[box]
name = "ward"
run_dir = "run"
[custody]
log = "log"
origin = "ward.example.org/custody"
key = "custody.pem"
[hold]
directory = "{folder}/hold"
key = "hold.key"
unsafe_allow_file_key = true
keep_free_bytes = 1048576
""" + "".join(LINK.replace("{n}", str(number)) for number in (1, 2, 3))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Three links that hold, one queue, its key in a file."""
    return config_from(tomllib.loads(TEXT.replace("{folder}", str(tmp_path))), tmp_path, files=False)


def warned(config: Config, **words: object) -> list[str]:
    """The codes of the warnings when `[hold]` has these words."""
    assert config.hold is not None
    mistakes: list[Mistake] = []
    texts = check_hold(config._replace(hold=config.hold._replace(**words)), mistakes)  # type: ignore[arg-type]
    assert not mistakes
    return [text.split()[0] for text in texts]


def test_a_queue_with_nothing_to_say_of_has_no_warning(config: Config) -> None:
    assert warned(config) == []


def test_a_token_key_without_recovery_is_warned_of_once_however_many_links_hold(config: Config) -> None:
    assert warned(config, key=KEY) == ["WG893"]


def test_a_token_key_with_a_recovery_key_is_not_warned_of(config: Config, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "recovery.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert warned(config, key=KEY, recovery=(tmp_path / "recovery.pem",)) == []


def test_a_disk_that_has_less_than_is_to_be_kept_free_is_warned_of_once_also_before_the_queue_is_made(
    config: Config, tmp_path: Path
) -> None:
    assert warned(config, keep_free_bytes=MUCH) == ["WG894"]
    (tmp_path / "hold").mkdir()
    assert warned(config, keep_free_bytes=MUCH) == ["WG894"]
    assert warned(config, keep_free_bytes=MUCH, key=KEY) == ["WG893", "WG894"]
