"""The configuration: a good one, and every way to get one wrong, by the place and code that the mistake names."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path

import pytest

from wardgate.codes import Code
from wardgate.policy import load
from wardgate.policy.keyref import TokenKey
from wardgate.policy.loader import config_from
from wardgate.policy.mistakes import ConfigErrors, Mistake
from wardgate.policy.model import Config, Direction, Durable, Keys, OnRemoval, Role, Transport, as_data, build, from_json, to_json
from wardgate.policy.schema import SCHEMA, Need

GOOD = """
[box]
name = "ward-ct1"
[custody]
log = "log"
origin = "ward-ct1.example.org/custody"
key = "custody.pem"
[limits]
idle_seconds = 601
[[link]]
name = "ct1"
sop_classes = ["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"]
directions = ["to-hospital", "to-modality"]
[link.modality]
ae_titles = ["CT1"]
addresses = ["192.0.2.10"]
listen = ["192.0.2.1:104"]
connect = "192.0.2.10:104"
transport = "plain"
[[link.peer]]
name = "pacs"
ae_titles = ["PACS "]
addresses = ["198.51.100.0/28", "2001:db8::5"]
connect = "pacs.example.org:2762"
listen = ["[2001:db8::1]:2762"]
transport = "tls"
[link.peer.tls]
profile = "B.12"
certificates = [{ chain = "box.pem", key = "/keys/box.key" }]
anchors = "pacs-ca.pem"
names = ["pacs.example.org"]
"""
SECOND = """
[[link]]
name = "mr1"
sop_classes = ["*"]
modality = { ae_titles = ["MR1"], addresses = ["ADDRESS"], listen = ["LISTEN"], transport = "plain" }
[[link.peer]]
name = "pacs"
ae_titles = ["PACS"]
addresses = ["198.51.100.5"]
connect = "198.51.100.5:104"
transport = "plain"
unsafe_allow_clear_hospital = true
"""


def parsed(text: str) -> Config:
    return config_from(tomllib.loads(text), Path("/etc/wardgate"), files=False)


def mistakes(text: str) -> list[Mistake]:
    with pytest.raises(ConfigErrors) as caught:
        parsed(text)
    return caught.value.mistakes


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_good_configuration_is_read_as_written() -> None:
    config = parsed(GOOD)
    link = config.links[0]
    peer = link.peers[0]
    assert config.limits.idle_seconds == 601 and config.limits.associations == 600
    assert config.custody.key == Path("/etc/wardgate/custody.pem") and config.custody.durable is Durable.GROUP
    assert link.enforce and link.directions == {Direction.TO_HOSPITAL, Direction.TO_MODALITY}
    assert (link.modality.name, link.modality.role, peer.role) == ("modality", Role.MODALITY, Role.PEER)
    assert peer.transport is Transport.TLS and peer.tls is not None and peer.tls.mutual
    assert peer.tls.certificates[0].key == Path("/keys/box.key") and peer.tls.certificates[0].chain == Path("/etc/wardgate/box.pem")
    assert peer.ae_titles == ("PACS",)
    assert peer.listen[0].text == "[2001:db8::1]:2762" and peer.connect is not None and peer.connect.text == "pacs.example.org:2762"
    assert [line.partition(" key in a file, ")[0] for line in config.unsafe] == ["custody:", "link ct1, pacs:"]
    assert config.token_keys == frozenset()


def test_configuration_survives_json_and_pickle() -> None:
    config = parsed(GOOD)
    assert from_json(to_json(config)) == config
    assert build(as_data(config)) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_schema_and_model_have_the_same_defaults() -> None:
    config = parsed(GOOD)
    for table, value in (
        ("box", config.box),
        ("custody", config.custody),
        ("limits", config.limits),
        ("tls", config.links[0].peers[0].tls),
    ):
        for word in SCHEMA[table]:
            assert word.name in value._fields
            if not isinstance(word.default, Need) and word.name in value._field_defaults:
                default = value._field_defaults[word.name]
                assert (list(default) if isinstance(default, tuple) else str(default)) in (word.default, str(word.default)), word.name
        assert len(SCHEMA[table]) == len(value._fields)


_HOLD = '[hold]\ndirectory = "queue"\nkey = "hold.key"\n'


def test_a_link_that_holds_comes_through_json_with_its_queue() -> None:
    text = GOOD.replace("[limits]", _HOLD + "unsafe_allow_file_key = true\nmax_bytes = 7\n[limits]")
    config = parsed(text.replace('name = "ct1"', 'name = "ct1"\ndelivery = "relay-then-hold"'))
    assert config.holds and config.hold is not None and config.hold.max_bytes == 7
    assert from_json(to_json(config)) == config
    assert any("unsafe_allow_file_key" in one for one in config.unsafe)
    assert parsed(GOOD).hold is None and not parsed(GOOD).holds


ONE_MISTAKE = [
    (
        "an unknown word is named with the one meant",
        'profile = "B.12"',
        'profile = "B.12"\nmutal = true',
        "link[0].peer[0].tls.mutal",
        Code.CONFIG_UNKNOWN_WORD,
    ),
    ("an unknown table", "[limits]", "[limit]", "limit", Code.CONFIG_UNKNOWN_WORD),
    ("a missing word", 'name = "ward-ct1"', "", "box.name", Code.CONFIG_MISSING),
    ("a number as text", "idle_seconds = 601", 'idle_seconds = "601"', "limits.idle_seconds", Code.CONFIG_TYPE),
    ("a truth value as number", "idle_seconds = 601", "idle_seconds = true", "limits.idle_seconds", Code.CONFIG_TYPE),
    ("text where an array belongs", 'ae_titles = ["CT1"]', 'ae_titles = "CT1"', "link[0].modality.ae_titles", Code.CONFIG_TYPE),
    ("a number too small", "idle_seconds = 601", "idle_seconds = 0", "limits.idle_seconds", Code.CONFIG_BOUNDS),
    ("a number too large", "idle_seconds = 601", "idle_seconds = 86401", "limits.idle_seconds", Code.CONFIG_BOUNDS),
    ("an AE title too long", '"CT1"', '"CT1CT1CT1CT1CT1CT"', "link[0].modality.ae_titles[0]", Code.CONFIG_VALUE),
    ("an AE title with a backslash", '"CT1"', '"CT\\\\1"', "link[0].modality.ae_titles[0]", Code.CONFIG_VALUE),
    ("an AE title of blanks", '"CT1"', '"   "', "link[0].modality.ae_titles[0]", Code.CONFIG_VALUE),
    ("no AE title", '["CT1"]', "[]", "link[0].modality.ae_titles", Code.CONFIG_BOUNDS),
    ("a UID with a leading zero", '"1.2.840.10008.1.1"', '"1.02.840"', "link[0].sop_classes[0]", Code.CONFIG_VALUE),
    ("no SOP class", '["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"]', "[]", "link[0].sop_classes", Code.CONFIG_BOUNDS),
    ("an address that is none", '"192.0.2.10"]', '"192.0.2.300"]', "link[0].modality.addresses[0]", Code.CONFIG_VALUE),
    ("a network with host bits", '"198.51.100.0/28"', '"198.51.100.1/28"', "link[0].peer[0].addresses[0]", Code.CONFIG_VALUE),
    ("an endpoint without port", '"192.0.2.1:104"', '"192.0.2.1"', "link[0].modality.listen[0]", Code.CONFIG_VALUE),
    ("an IPv6 endpoint without brackets", '"[2001:db8::1]:2762"', '"2001:db8::1:2762"', "link[0].peer[0].listen[0]", Code.CONFIG_VALUE),
    ("a port too large", "192.0.2.1:104", "192.0.2.1:65536", "link[0].modality.listen[0]", Code.CONFIG_VALUE),
    ("a connect port of 0", "pacs.example.org:2762", "pacs.example.org:0", "link[0].peer[0].connect", Code.CONFIG_BOUNDS),
    ("an unknown transport", 'transport = "tls"', 'transport = "ssl"', "link[0].peer[0].transport", Code.CONFIG_VALUE),
    ("a link that holds without a queue", 'name = "ct1"', 'name = "ct1"\ndelivery = "hold"', "link[0].delivery", Code.CONFIG_MISSING),
    ("a queue's key in a file without its switch", "[limits]", _HOLD + "[limits]", "hold.key", Code.CONFIG_UNSAFE_NEEDED),
    (
        "any transfer syntax to hold",
        'name = "pacs"',
        'name = "pacs"\nhold_transfer_syntaxes = ["*"]',
        "link[0].peer[0].hold_transfer_syntaxes",
        Code.CONFIG_VALUE,
    ),
    ("profile B.1 is refused", '"B.12"', '"B.1"', "link[0].peer[0].tls.profile", Code.CONFIG_PROFILE),
    ("profile B.3 is refused", '"B.12"', '"B.3"', "link[0].peer[0].tls.profile", Code.CONFIG_PROFILE),
    ("an unknown profile", '"B.12"', '"B.99"', "link[0].peer[0].tls.profile", Code.CONFIG_PROFILE),
    ("a retired profile without its switch", '"B.12"', '"B.10"', "link[0].peer[0].tls.profile", Code.CONFIG_UNSAFE_NEEDED),
    (
        "an anonymous peer without its switch",
        'profile = "B.12"',
        'profile = "B.12"\nmutual = false',
        "link[0].peer[0].tls.mutual",
        Code.CONFIG_UNSAFE_NEEDED,
    ),
    ("a peer whose certificate is not bound", 'names = ["pacs.example.org"]', "", "link[0].peer[0].tls.names", Code.CONFIG_UNSAFE_NEEDED),
    (
        "a fingerprint too short",
        'profile = "B.12"',
        'profile = "B.12"\nfingerprints = ["ab"]',
        "link[0].peer[0].tls.fingerprints[0]",
        Code.CONFIG_VALUE,
    ),
    (
        "a CRL address that is not http",
        'profile = "B.12"',
        'profile = "B.12"\ncrl_urls = ["ldap://x/"]',
        "link[0].peer[0].tls.crl_urls[0]",
        Code.CONFIG_VALUE,
    ),
    ("a custody origin with a plus", "example.org/custody", "example.org/a+b", "custody.origin", Code.CONFIG_VALUE),
    (
        "a run directory too long for sockets",
        'name = "ward-ct1"',
        f'name = "w"\nrun_dir = "/{"r" * 100}"',
        "box.run_dir",
        Code.CONFIG_BOUNDS,
    ),
    (
        "TLS words for a plain party",
        'transport = "tls"',
        'transport = "plain"\nunsafe_allow_clear_hospital = true',
        "link[0].peer[0].tls",
        Code.CONFIG_CONTRADICTION,
    ),
    ("a direction that nobody can be called in", 'connect = "192.0.2.10:104"', "", "link[0].directions", Code.CONFIG_CONTRADICTION),
    ("a direction that nobody can call in", 'listen = ["192.0.2.1:104"]', "", "link[0].directions", Code.CONFIG_CONTRADICTION),
    ("a peer named as the modality", 'name = "pacs"', 'name = "modality"', "link[0].peer[0].name", Code.CONFIG_DUPLICATE),
    ("a name with a blank", 'name = "ct1"', 'name = "ct 1"', "link[0].name", Code.CONFIG_VALUE),
]


@pytest.mark.parametrize("old,new,place,code", [row[1:] for row in ONE_MISTAKE], ids=[row[0] for row in ONE_MISTAKE])
def test_each_mistake_is_named_with_its_place(old: str, new: str, place: str, code: Code) -> None:
    assert [(m.place, m.code) for m in mistakes(changed(old, new))] == [(place, code)]


def test_unknown_word_says_which_was_meant() -> None:
    assert "did you mean" in str(mistakes(changed("names = ", "name = "))[0])


def test_tls_without_its_table_is_named() -> None:
    text = GOOD[: GOOD.index("[link.peer.tls]")]
    assert [(m.place, m.code) for m in mistakes(text)] == [("link[0].peer[0].tls", Code.CONFIG_MISSING)]


def test_clear_hospital_side_needs_its_switch() -> None:
    text = GOOD[: GOOD.index("[link.peer.tls]")].replace('"tls"', '"plain"')
    assert [(m.place, m.code) for m in mistakes(text)] == [("link[0].peer[0].transport", Code.CONFIG_UNSAFE_NEEDED)]


def test_all_mistakes_are_named_at_once() -> None:
    text = GOOD.replace('"B.12"', '"B.1"').replace("601", "0").replace('"CT1"', '""').replace("[box]", "[boxx]")
    places = {mistake.place for mistake in mistakes(text)}
    assert {"boxx", "box", "limits.idle_seconds", "link[0].modality.ae_titles[0]", "link[0].peer[0].tls.profile"} <= places


def test_hostile_word_cannot_forge_a_line() -> None:
    (mistake,) = mistakes(changed("[limits]", '[limits]\n"a\\nWG201 fine" = 1'))
    assert "\n" not in str(mistake)


def second(address: str, listen: str) -> str:
    return GOOD + SECOND.replace("ADDRESS", address).replace("LISTEN", listen)


def test_two_links_share_a_port_when_source_addresses_tell_them_apart() -> None:
    assert len(parsed(second("192.0.2.11", "192.0.2.1:104")).links) == 2


@pytest.mark.parametrize("address", ["192.0.2.10", "192.0.2.0/24"])
def test_two_links_do_not_share_a_port_when_source_addresses_overlap(address: str) -> None:
    assert [(m.place, m.code) for m in mistakes(second(address, "192.0.2.1:104"))] == [
        ("link[1].modality.listen[0]", Code.CONFIG_LISTEN_CLASH)
    ]


def test_one_port_carries_one_transport() -> None:
    assert Code.CONFIG_LISTEN_CLASH in [m.code for m in mistakes(second("203.0.113.1", "[2001:db8::1]:2762"))]


def test_all_addresses_and_one_of_them_do_not_share_a_port() -> None:
    assert [m.code for m in mistakes(second("203.0.113.1", "0.0.0.0:104"))] == [Code.CONFIG_LISTEN_CLASH]
    assert parsed(second("203.0.113.1", "[::]:104"))


def test_two_links_of_one_name_are_refused() -> None:
    text = second("192.0.2.11", "192.0.2.1:105").replace('"mr1"', '"ct1"')
    assert [(m.place, m.code) for m in mistakes(text)] == [("link[1].name", Code.CONFIG_DUPLICATE)]


def test_two_peers_of_one_ae_title_are_refused() -> None:
    text = GOOD + SECOND[SECOND.index("[[link.peer]]") :].replace('"pacs"', '"other"')
    assert [(m.place, m.code) for m in mistakes(text)] == [("link[0].peer[1].ae_titles", Code.CONFIG_DUPLICATE)]


def test_every_unsafe_switch_is_collected() -> None:
    text = second("192.0.2.11", "192.0.2.1:105").replace('key = "custody.pem"', 'key = "custody.pem"\ndurable = "none"')
    text = text.replace('name = "ct1"', 'name = "ct1"\nenforce = false')
    text = text.replace('"B.12"', '"B.10"\nunsafe_allow_retired_profile = true\nmutual = false\nunsafe_allow_anonymous_peer = true')
    unsafe = parsed(text).unsafe
    assert len(unsafe) == 7
    assert sum("key in a file" in line for line in unsafe) == 2
    for word in ("durable", "enforce", "retired_profile", "anonymous_peer", "clear_hospital"):
        assert sum(word in line for line in unsafe) == 1


def test_configuration_too_large_for_workers_is_refused() -> None:
    uids = ", ".join(f'"1.2.840.{number}.{"1" * 40}"' for number in range(1000))
    big = "".join(SECOND.replace("mr1", f"l{n}").replace('["*"]', f"[{uids}]").replace("ADDRESS", f"10.0.0.{n}") for n in range(4))
    assert [m.code for m in mistakes(GOOD + big.replace("LISTEN", "192.0.2.1:104"))] == [Code.CONFIG_TOO_LARGE]


# Keys in a token

TOKEN = "pkcs11:token=ward-ct1;object=tls-ec;type=private"


def test_keys_in_a_token_are_read_and_no_longer_unsafe() -> None:
    text = GOOD.replace('"/keys/box.key"', f'"{TOKEN}"').replace('"custody.pem"', '"pkcs11:serial=%30x;id=%01"', 1)
    config = parsed(text.replace("[limits]", '[keys]\nsocket = "keys.sock"\non_removal = "cut"\nsign_seconds = 3\n[limits]'))
    peer = config.links[0].peers[0]
    assert peer.tls is not None and isinstance(peer.tls.certificates[0].key, TokenKey)
    assert peer.tls.certificates[0].key.token == "ward-ct1"
    assert config.custody.key == "pkcs11:serial=%30x;id=%01" and isinstance(config.custody.key, TokenKey)
    assert (config.custody.key.uri.serial, config.custody.key.uri.id) == ("0x", b"\x01")
    assert config.keys == Keys(Path("/etc/wardgate/keys.sock"), OnRemoval.CUT, 3)
    assert config.unsafe == () and config.token_keys == {TOKEN, "pkcs11:serial=%30x;id=%01"}
    again = from_json(to_json(config))
    assert again == config and isinstance(again.custody.key, TokenKey)
    assert isinstance(pickle.loads(pickle.dumps(config)).custody.key, TokenKey)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("pkcs11:object=tls-ec", "which token"),
        ("pkcs11:token=t", "which key"),
        ("pkcs11:token=t;object=k;type=cert", "type=private"),
        ("pkcs11:token=t;object=k;pin-value=4711", "pin-value is not taken"),
        ("pkcs11:token=t;object=k?pin-value=4711", "pin-value is not taken"),
        ("pkcs11:token=t;object=k;object=l", "twice"),
        ("pkcs11:token=t;object", "without a value"),
        ("pkcs11:token=t;object=a b", "%xx"),
        ("pkcs11:token=t;object=%4", "%xx"),
        ("pkcs11:token=t;object=%zz", "%xx"),
        ("pkcs11:token=t;object=" + "x" * 600, "512"),
    ],
)
def test_a_wrong_key_uri_is_named_and_its_pin_never_told(uri: str, expected: str) -> None:
    found = mistakes(GOOD.replace('"/keys/box.key"', f'"{uri}"'))
    assert [(m.place, m.code) for m in found] == [("link[0].peer[0].tls.certificates[0].key", Code.CONFIG_VALUE)]
    assert expected in str(found[0]) and "4711" not in str(found[0])


def test_a_chain_in_a_token_is_refused_with_the_reason() -> None:
    found = mistakes(GOOD.replace('"box.pem"', '"pkcs11:token=t;object=c;type=cert?pin-value=4711"'))
    assert [m.place for m in found] == ["link[0].peer[0].tls.certificates[0].chain"]
    assert "public" in str(found[0]) and "4711" not in str(found[0])


def test_a_signature_may_not_outlast_the_handshake() -> None:
    text = GOOD.replace("[limits]", "[keys]\nsign_seconds = 10\n[limits]\nhandshake_seconds = 10")
    assert parsed(text).keys.sign_seconds == 10, "without a key in a token nothing waits for one"
    found = mistakes(text.replace('"/keys/box.key"', '"pkcs11:token=t;object=k"'))
    assert [(m.place, m.code) for m in found] == [("keys.sign_seconds", Code.CONFIG_CONTRADICTION)]


# Files


def written(folder: Path, text: str = GOOD) -> Path:
    for name in ("custody.pem", "box.pem", "pacs-ca.pem", "box.key"):
        (folder / name).write_text("x")
        (folder / name).chmod(0o600)
    path = folder / "wardgate.toml"
    path.write_text(text.replace("/keys/box.key", "box.key"))
    return path


def file_mistakes(path: Path) -> list[tuple[str, Code]]:
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    return [(mistake.place, mistake.code) for mistake in caught.value.mistakes]


def test_files_that_are_there_are_no_mistake(tmp_path: Path) -> None:
    assert load(written(tmp_path)).custody.key == tmp_path / "custody.pem"


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "box.pem").unlink()
    (tmp_path / "pacs-ca.pem").write_text("")
    tls = "link[0].peer[0].tls"
    assert file_mistakes(path) == [(f"{tls}.certificates[0].chain", Code.CONFIG_FILE), (f"{tls}.anchors", Code.CONFIG_FILE)]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_private_key_open_to_others_is_named(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path)
    (tmp_path / "box.key").chmod(mode)
    assert file_mistakes(path) == [("link[0].peer[0].tls.certificates[0].key", Code.CONFIG_KEY_EXPOSED)]


def test_file_that_is_not_there_not_toml_or_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wardgate.toml"
    assert file_mistakes(path) == [(str(path), Code.CONFIG_UNREADABLE)]
    for raw in (b"[box", b"\xff\xfe", b"a = " + b"[" * 5000):
        path.write_bytes(raw)
        assert file_mistakes(path) == [(str(path), Code.CONFIG_SYNTAX)]


ISCL_TABLE = 'name = "GWAY"\npeer_name = "PACS"\nkeys = "pkcs11:token=ward"\n'


@pytest.mark.parametrize(
    ("party", "expected"),
    [
        ('transport = "iscl"\n', 'a table, because transport is "iscl"'),
        (
            f'transport = "plain"\nunsafe_allow_clear_hospital = true\n[link.peer.iscl]\n{ISCL_TABLE}',
            'no table, because transport is "plain"',
        ),
        ('transport = "iscl-in-tls"\n', 'link[0].peer[0].iscl: expected a table, because transport is "iscl-in-tls"'),
        (f'transport = "iscl-in-tls"\n[link.peer.iscl]\n{ISCL_TABLE}', "link[0].peer[0].tls: expected a table"),
        (
            f'transport = "iscl"\n[link.peer.iscl]\n{ISCL_TABLE}[link.peer.tls]\nprofile = "B.12"\nanchors = "x"\nnames = ["a"]\n',
            'no table, because transport is "iscl"',
        ),
        (f'transport = "iscl"\n[link.peer.iscl]\n{ISCL_TABLE}slot = 9\n', "a whole number from 1 to 8"),
        (f'transport = "iscl"\n[link.peer.iscl]\n{ISCL_TABLE}mac = "none"\n', "one of"),
        (f'transport = "iscl"\n[link.peer.iscl]\n{ISCL_TABLE}[link.peer.iscl.r1]\nbyte_order = "middle"\n', "one of"),
        ('transport = "iscl"\n[link.peer.iscl]\nname = "A"\npeer_name = "B"\nkeys = "pkcs11:model=x"\n', "token= or serial="),
    ],
)
def test_mistakes_of_an_iscl_party_are_named(party: str, expected: str) -> None:
    import tomllib

    from wardgate.policy.loader import config_from

    text = (
        '[box]\nname = "ward"\n[custody]\nlog = "log"\norigin = "ward/custody"\nkey = "key"\n'
        '[[link]]\nname = "ct1"\nsop_classes = ["*"]\n[link.modality]\nae_titles = ["CT1"]\naddresses = ["127.0.0.1"]\n'
        'listen = ["127.0.0.1:104"]\ntransport = "plain"\n[[link.peer]]\nname = "pacs"\nae_titles = ["PACS"]\naddresses = ["127.0.0.1"]\n'
        f'connect = "127.0.0.1:2761"\n{party}'
    )
    with pytest.raises(ConfigErrors) as caught:
        config_from(tomllib.loads(text), Path("/"), files=False)
    assert expected in str(caught.value)


def test_an_iscl_party_survives_the_way_to_a_worker() -> None:
    from wardgate.policy.model import Iscl, IsclR1, Party, Role, Transport, _party, _plain

    table = Iscl("GWAY", "PACS", "pkcs11:token=ward", mac="des-mac", r1=IsclR1(byte_order="little"), unsafe_allow_des=True)
    party = Party("pacs", Role.PEER, ("PACS",), (), transport=Transport.ISCL, iscl=table)
    assert _party(_plain(party), Role.PEER) == party
