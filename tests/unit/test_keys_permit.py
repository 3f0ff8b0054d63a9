"""Who may use which key: everything that is not granted is refused, whatever words the caller finds for it."""

from __future__ import annotations

import socket

import pytest

from wardgate.codes import Code
from wardkeys import uri
from wardkeys.config import ConfigMistakes, parse
from wardkeys.permit import Grant, Permits, Purpose
from wardkeys.request import Connection, Request
from wardkeys.wire import FIELDS, Op

WORKER, WRITER, STRANGER = 990, 991, 992
TLS, LOG, ISCL = "pkcs11:token=ward;object=tls;type=private", "pkcs11:token=ward;object=log", "pkcs11:token=ward;object=iscl-auth-1-s2c"
GRANTS = (
    Grant(WORKER, (uri.parse(TLS),), frozenset({Purpose.SIGN})),
    Grant(WORKER, (uri.parse(ISCL),), frozenset({Purpose.ISCL})),
    Grant(WRITER, (uri.parse(LOG),), frozenset({Purpose.SIGN, Purpose.RANDOM})),
)


def _asks(uid: int, op: Op, asked: str, *names: str, grants: tuple[Grant, ...] = GRANTS) -> bool:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        caller = Connection(ours)
        caller.uid = uid
        fields = [asked.encode(), *(name.encode() for name in names)]
        fields += [b""] * (FIELDS[op] - len(fields))
        request = Request(caller, op, 1, fields, 0.0)
        request.uri = uri.parse(asked)
        return Permits(grants).allows(request)


def test_without_a_table_everybody_who_may_connect_may_do_everything() -> None:
    assert _asks(STRANGER, Op.SIGN, LOG, grants=())
    assert _asks(STRANGER, Op.LIST, "pkcs11:", grants=())


def test_each_user_signs_with_its_own_keys_alone() -> None:
    assert _asks(WORKER, Op.SIGN, TLS)
    assert not _asks(WORKER, Op.SIGN, LOG)
    assert _asks(WRITER, Op.SIGN, LOG)
    assert not _asks(WRITER, Op.SIGN, TLS)


@pytest.mark.parametrize("op", [op for op in Op if op not in (Op.STATUS, Op.WATCH)])
def test_a_user_without_a_table_may_do_nothing_but_see_the_states(op: Op) -> None:
    assert not _asks(STRANGER, op, TLS, "auth-1-s2c", "auth-1-s2c")


def test_everybody_sees_the_states() -> None:
    assert _asks(STRANGER, Op.STATUS, "pkcs11:")
    assert _asks(STRANGER, Op.WATCH, "pkcs11:")


@pytest.mark.parametrize(
    "asked",
    [
        "pkcs11:token=ward",  # any key of the token
        "pkcs11:object=tls",  # of any token
        "pkcs11:token=ward;id=%01",  # the same key by its number
        "pkcs11:serial=1;object=tls",
        "pkcs11:token=other;object=tls",
        "pkcs11:token=ward;object=tls2",
        "pkcs11:",
    ],
)
def test_a_key_by_another_name_is_not_granted(asked: str) -> None:
    assert not _asks(WORKER, Op.SIGN, asked)


@pytest.mark.parametrize(
    "asked", ["pkcs11:token=ward;object=tls", "pkcs11:token=ward;object=tls;id=%01", "pkcs11:token=ward;object=tls;serial=1"]
)
def test_a_name_that_says_more_is_the_granted_key_or_none(asked: str) -> None:
    assert _asks(WORKER, Op.SIGN, asked)


def test_the_public_half_is_told_to_whoever_may_use_the_key() -> None:
    assert _asks(WORKER, Op.PUBLIC, TLS)
    assert _asks(WORKER, Op.CERTIFICATE, TLS)
    assert not _asks(WRITER, Op.PUBLIC, TLS)


def test_a_key_for_signatures_is_none_for_iscl_and_the_other_way_round() -> None:
    assert _asks(WORKER, Op.ISCL_RESPOND, "pkcs11:token=ward", "auth-1-s2c")
    assert not _asks(WORKER, Op.ISCL_RESPOND, "pkcs11:token=ward", "auth-2-s2c")
    assert not _asks(WORKER, Op.SIGN, ISCL)
    assert not _asks(WRITER, Op.ISCL_RESPOND, "pkcs11:token=ward", "auth-1-s2c")
    assert not _asks(WORKER, Op.ISCL_RESPOND, "pkcs11:token=other", "auth-1-s2c")


def test_both_keys_of_a_token_must_be_granted() -> None:
    assert not _asks(WORKER, Op.ISCL_TOKEN_BA, "pkcs11:token=ward", "auth-1-s2c", "auth-1-c2s")
    both = (*GRANTS, Grant(WORKER, (uri.parse("pkcs11:token=ward;object=iscl-auth-1-c2s"),), frozenset({Purpose.ISCL})))
    assert _asks(WORKER, Op.ISCL_TOKEN_BA, "pkcs11:token=ward", "auth-1-s2c", "auth-1-c2s", grants=both)


def test_random_of_a_token_is_granted_by_itself_and_a_challenge_with_iscl() -> None:
    assert _asks(WRITER, Op.RANDOM, "pkcs11:token=ward")
    assert not _asks(WORKER, Op.RANDOM, "pkcs11:token=ward")
    assert _asks(WORKER, Op.ISCL_CHALLENGE, "pkcs11:token=ward")
    assert not _asks(WRITER, Op.ISCL_CHALLENGE, "pkcs11:token=ward")


def test_a_grant_without_an_object_is_every_key_of_the_token() -> None:
    every = (Grant(WORKER, (uri.parse("pkcs11:token=ward"),), frozenset(Purpose)),)
    assert _asks(WORKER, Op.SIGN, TLS, grants=every)
    assert _asks(WORKER, Op.ISCL_RESPOND, "pkcs11:token=ward", "auth-7-s2c", grants=every)
    assert _asks(WORKER, Op.LIST, "pkcs11:", grants=every)
    assert not _asks(WORKER, Op.SIGN, "pkcs11:token=other;object=tls", grants=every)


# --- the table


def _config(**table: object) -> dict[str, object]:
    tokens = [{"name": "a", "module": "/lib/p.so", "label": "ward"}]
    return {"socket": "/run/k/keys.sock", "token": tokens, "user": [{"uid": WORKER, "keys": [TLS], "purposes": ["sign"], **table}]}


def test_a_table_lets_its_user_connect() -> None:
    config = parse(_config())
    assert config.uids == {WORKER}
    assert config.grants == GRANTS[:1]


@pytest.mark.parametrize(
    "table, code, place",
    [
        ({"uid": -1}, Code.CONFIG_VALUE, "uid"),
        ({"uid": [990]}, Code.CONFIG_VALUE, "uid"),
        ({"user": "root"}, Code.CONFIG_MISSING, "user"),  # both: whose table is it?
        ({"user": "nobody-of-that-name"}, Code.CONFIG_VALUE, "user"),
        ({"keys": []}, Code.CONFIG_BOUNDS, "keys"),
        ({"keys": ["http://x"]}, Code.CONFIG_VALUE, "keys"),
        ({"keys": [1]}, Code.CONFIG_VALUE, "keys"),
        ({"purposes": []}, Code.CONFIG_VALUE, "purposes"),
        ({"purposes": ["everything"]}, Code.CONFIG_VALUE, "purposes"),
        ({"purposes": [["sign"]]}, Code.CONFIG_VALUE, "purposes"),
        ({"key": TLS}, Code.CONFIG_UNKNOWN_WORD, "key"),
    ],
)
def test_a_mistake_in_a_table_is_named(table: dict[str, object], code: Code, place: str) -> None:
    with pytest.raises(ConfigMistakes) as caught:
        parse(_config(**table))
    assert (code, f"user[0].{place}") in [(code, place) for code, place, _ in caught.value.mistakes]


def test_a_table_must_be_whole() -> None:
    with pytest.raises(ConfigMistakes) as caught:
        parse({**_config(), "user": [{}, 1]})
    assert {place for _, place, _ in caught.value.mistakes} == {"user[0].user", "user[0].keys", "user[0].purposes", "user[1]."}
