"""The token state machine: each state, by its code, for exactly those who use the token."""

from __future__ import annotations

from typing import Any

import pytest

from wardgate.codes import Code
from wardgate.token.judge import MAX_TOKENS, seen_in
from wardgate.token.machine import TokenState
from wardgate.token.naming import Name, is_uri, name_in
from wardgate.token.needs import CUSTODY, needs_of
from wardgate.token.state import State

CARD = "pkcs11:token=ward-ct1;object=tls-ec;type=private"
HSM = "pkcs11:token=log%20hsm;serial=77;object=custody"
END = 2_000_000_000.0
NOW = END - 1000


def config(pacs: str = CARD, custody: str = HSM, second: str = "/keys/box.key") -> dict[str, Any]:
    """A link with two hospital peers, `pacs` and `ris`, and a plain modality."""

    def peer(name: str, key: str) -> dict[str, Any]:
        return {"name": name, "tls": {"certificates": [{"chain": f"/{name}.pem", "key": key}]}}

    modality = {"name": "modality", "tls": None}
    return {
        "links": [{"name": "ct1", "modality": modality, "peers": [peer("pacs", pacs), peer("ris", second)]}],
        "custody": {"key": custody},
    }


CERTIFICATES = [["ct1", "pacs", "/pacs.pem", END], ["ct1", "ris", "/ris.pem", END]]


def card(state: str = "present", label: str = "ward-ct1", serial: str = "1234", **more: object) -> dict[str, object]:
    return {
        "name": "card",
        "state": state,
        "label": label,
        "serial": serial,
        "model": "PIV",
        "tries": 3,
        "detail": "",
        "changes": 0,
        **more,
    }


def hsm(state: str = "present") -> dict[str, object]:
    return {
        "name": "hsm",
        "state": state,
        "label": "log hsm",
        "serial": "77",
        "model": "SoftHSM",
        "tries": None,
        "detail": "",
        "changes": 0,
    }


def machine(**keys: str) -> TokenState:
    return TokenState(needs_of(config(**keys), CERTIFICATES))


def told(*tokens: dict[str, object], now: float = NOW, **keys: str) -> TokenState:
    found = machine(**keys)
    found.report({"tokens": list(tokens)}, now)
    return found


def codes(state: TokenState) -> dict[str, Code]:
    return {user: refusal.code for user, refusal in state.refusals.items()}


def test_a_token_that_is_there_refuses_nobody() -> None:
    state = told(card(), hsm())
    assert codes(state) == {} and [token.state for token in state.tokens] == [State.PRESENT, State.PRESENT]


def test_before_the_first_report_every_user_of_a_token_is_refused() -> None:
    assert codes(machine()) == {"ct1/pacs": Code.KEY_SERVICE_IS_AWAY, CUSTODY: Code.KEY_SERVICE_IS_AWAY}


def test_a_key_service_that_is_away_refuses_with_its_own_code() -> None:
    state = told(card(), hsm())
    changes = state.report(None, NOW)
    assert codes(state) == {"ct1/pacs": Code.KEY_SERVICE_IS_AWAY, CUSTODY: Code.KEY_SERVICE_IS_AWAY}
    assert [(change.before, change.token.state) for change in changes] == [(State.PRESENT, State.UNKNOWN)] * 2


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("absent", Code.TOKEN_IS_ABSENT),
        ("wrong", Code.TOKEN_IS_ANOTHER),
        ("blocked", Code.TOKEN_IS_BLOCKED),
        ("pin-refused", Code.TOKEN_PIN_IS_REFUSED),
        ("failed", Code.TOKEN_HAS_FAILED),
        ("a word of a later version", Code.TOKEN_HAS_FAILED),
    ],
)
def test_each_state_refuses_the_users_of_that_token_by_its_code_and_nobody_else(word: str, code: Code) -> None:
    state = told(card(word), hsm())
    assert codes(state) == {"ct1/pacs": code}


def test_the_custody_token_affects_signing_only() -> None:
    assert codes(told(card(), hsm("absent"))) == {CUSTODY: Code.TOKEN_IS_ABSENT}


def test_a_token_of_which_nothing_is_reported_is_absent() -> None:
    assert codes(told(hsm())) == {"ct1/pacs": Code.TOKEN_IS_ABSENT}


def test_another_sites_card_is_refused_with_what_was_found_and_what_was_wanted() -> None:
    state = told(card(label="ward-mr7", serial="9"), hsm())
    refusal = state.refusals["ct1/pacs"]
    assert refusal.code is Code.TOKEN_IS_ANOTHER
    assert refusal.detail == "found ward-mr7 (serial 9), wanted ward-ct1"


def test_a_card_of_the_right_label_but_not_the_serial_asked_for_is_another() -> None:
    state = told(card(), hsm(), pacs="pkcs11:token=ward-ct1;serial=5;object=tls-ec")
    assert state.refusals["ct1/pacs"].detail == "found ward-ct1 (serial 1234), wanted ward-ct1, serial 5"


def test_a_token_that_somebody_else_needs_is_nobodys_wrong_card() -> None:
    state = told(card("absent", label="", serial=""), hsm())
    assert codes(state) == {"ct1/pacs": Code.TOKEN_IS_ABSENT}


def test_the_name_that_the_key_service_gives_a_token_serves_while_its_label_is_not_known() -> None:
    state = told(card("blocked", label="", serial="", name="ward-ct1"), hsm())
    assert codes(state) == {"ct1/pacs": Code.TOKEN_IS_BLOCKED}


def test_a_card_swapped_in_under_the_same_label_is_refused_until_the_first_is_back() -> None:
    state = told(card(), hsm())
    state.report({"tokens": [card("absent"), hsm()]}, NOW)
    state.report({"tokens": [card(serial="9999"), hsm()]}, NOW)
    assert codes(state) == {"ct1/pacs": Code.TOKEN_IS_SWAPPED}
    assert state.refusals["ct1/pacs"].detail == "serial 9999 in place of 1234"
    state.report({"tokens": [card(), hsm()]}, NOW)
    assert codes(state) == {}


def test_a_card_swapped_between_two_reports_is_a_change() -> None:
    state = told(card(), hsm())
    (change,) = state.report({"tokens": [card(serial="9999"), hsm()]}, NOW)
    assert (change.before, change.token.state) == (State.PRESENT, State.WRONG)


def test_the_next_configuration_takes_the_card_that_is_there() -> None:
    state = told(card(), hsm())
    state.report({"tokens": [card(serial="9999"), hsm()]}, NOW)
    after = TokenState(needs_of(config(), CERTIFICATES), state)
    assert codes(after) == {"ct1/pacs": Code.TOKEN_IS_SWAPPED}  # until it has looked itself
    after.report({"tokens": [card(serial="9999"), hsm()]}, NOW)
    assert codes(after) == {}
    assert after.tokens[0].changes == 3  # the first report, the swap, the taking


def test_a_reload_that_changes_nothing_about_a_token_is_no_change() -> None:
    state = told(card(), hsm())
    after = TokenState(needs_of(config(), CERTIFICATES), state)
    assert after.report({"tokens": [card(), hsm()]}, NOW) == []


def test_of_two_cards_of_one_label_the_one_used_before_counts() -> None:
    state = told(card(), hsm())
    state.report({"tokens": [card(serial="9999"), card(), hsm()]}, NOW)
    assert codes(state) == {}


def test_an_expired_certificate_refuses_only_the_party_that_shows_it() -> None:
    state = told(card(), hsm(), second=CARD, now=END - 1)
    state.tokens[0].need.uses[1].not_after = END + 500
    (change,) = state.look(END + 1)
    assert codes(state) == {"ct1/pacs": Code.TOKEN_HAS_EXPIRED}
    assert (change.before, change.token.state) == (State.PRESENT, State.EXPIRED)
    (change,) = state.look(END + 501)
    assert codes(state) == {"ct1/pacs": Code.TOKEN_HAS_EXPIRED, "ct1/ris": Code.TOKEN_HAS_EXPIRED}


def test_the_machine_says_when_the_next_certificate_ends() -> None:
    state = told(card(), hsm())
    assert state.next_end(NOW) == END and state.next_end(END) is None


def test_parties_with_their_key_in_a_file_are_never_refused() -> None:
    state = told(card("absent"), hsm("absent"))
    assert "ct1/ris" not in state.refusals
    assert TokenState(needs_of(config("/a.key", "/b.pem"), CERTIFICATES)).refusals == {}


def test_a_report_that_changes_nothing_is_no_change() -> None:
    state = told(card(), hsm())
    assert state.report({"tokens": [card(), hsm()]}, NOW + 5) == []
    assert state.tokens[0].since == NOW and state.tokens[0].changes == 1


@pytest.mark.parametrize("report", [{}, {"tokens": None}, {"tokens": [1, "x", None]}, [], {"tokens": [{"state": 5, "label": []}]}])
def test_a_report_that_is_not_as_documented_refuses(report: object) -> None:
    state = machine()
    state.report(report, NOW)
    assert set(state.refusals) == {"ct1/pacs", CUSTODY}


def test_no_more_tokens_are_read_than_the_bound() -> None:
    assert len(seen_in({"tokens": [card()] * (MAX_TOKENS + 9)})) == MAX_TOKENS


def test_keys_of_one_token_are_one_need() -> None:
    needs = needs_of(config(CARD, "pkcs11:token=ward-ct1;object=log", CARD), CERTIFICATES)
    assert [(need.name.key, need.users) for need in needs] == [("ward-ct1", ["ct1/pacs", "ct1/ris", CUSTODY])]


def test_a_uri_names_its_token_by_label_serial_and_model_whatever_else_it_says() -> None:
    name = name_in("pkcs11:object=a%3Bb;token=My%20card;serial=%41b;model=x;type=private;manufacturer=y")
    assert (name.label, name.serial, name.model) == ("My card", "Ab", "x")
    assert is_uri("pkcs11:object=x") and not is_uri("/etc/key.pem")
    assert name_in("pkcs11:object=x").key == "any token"
    assert name_in("pkcs11:token=100%").key == "any token"


def test_labels_are_compared_without_their_padding() -> None:
    assert Name("ward-ct1").fits("ward-ct1   ", "1", "m") and not Name("ward-ct1", "2").fits("ward-ct1", "1", "m")


def test_the_status_has_a_row_for_each_token() -> None:
    row = told(card("absent"), hsm()).rows()[0]
    assert (row["token"], row["state"], row["code"], row["tries"], row["users"]) == ("ward-ct1", "absent", "WG740", 3, ["ct1/pacs"])
