"""From a rule set and what the kernel lists to a transaction that fills the same chains again."""

from __future__ import annotations

from typing import Any

import pytest

from wardgate.plant.refill import refill

HEAD = "table bridge wardgate\ndelete table bridge wardgate\ntable inet wardgate\ndelete table inet wardgate\n"
BODY = """table bridge wardgate {
\tcounter passed { }
\tset station { type ether_addr; elements = { 02:00:5e:00:53:01 } }
\tmap hosts4 { type ipv4_addr : ether_addr }
\tset seen { type ipv4_addr; size 4; flags dynamic, timeout; timeout 7d; }
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
table inet wardgate {
\tchain input {
\t}
}
"""


def listed() -> dict[str, list[dict[str, Any]]]:
    """What the kernel lists when it has the rule set."""
    table = {"table": {"family": "bridge", "name": "wardgate"}}
    bridge: list[dict[str, Any]] = [
        {"metainfo": {}},
        table,
        {"counter": {"name": "passed", "packets": 3}},
        {"set": {"name": "station", "elem": ["02:00:5e:00:53:01"]}},
        {"map": {"name": "hosts4"}},
        {"set": {"name": "seen", "flags": ["timeout", "dynamic"]}},
        {"chain": {"name": "forward", "hook": "forward"}},
        {"rule": {"chain": "forward"}},
    ]
    return {"bridge": bridge, "inet": [table, {"chain": {"name": "input"}}]}


def test_chains_are_flushed_and_filled_and_nothing_is_deleted() -> None:
    change = refill(HEAD + BODY, listed())
    assert change == (
        "flush table bridge wardgate\nflush set bridge wardgate station\nflush map bridge wardgate hosts4\nflush table inet wardgate\n"
        + BODY
    )
    assert "delete" not in change and "seen" not in change.replace(BODY, "")


def test_what_the_rule_set_has_no_more_is_deleted_after_all_that_might_refer_to_it() -> None:
    rows = listed()
    rows["bridge"] += [{"counter": {"name": "old"}}, {"map": {"name": "old4"}}, {"set": {"name": "older"}}, {"chain": {"name": "aside"}}]
    lines = refill(HEAD + BODY, rows).splitlines()
    assert lines[:5] == [
        "flush table bridge wardgate",
        "delete chain bridge wardgate aside",
        "delete set bridge wardgate older",
        "delete map bridge wardgate old4",
        "delete counter bridge wardgate old",
    ]


@pytest.mark.parametrize("family", ["bridge", "inet"])
def test_a_table_that_is_not_there_is_for_the_whole_rule_set_to_make(family: str) -> None:
    rows = listed()
    rows[family] = []
    assert refill(HEAD + BODY, rows) == ""
    del rows[family]
    assert refill(HEAD + BODY, rows) == ""


def test_a_table_with_something_unknown_in_it_is_made_anew() -> None:
    rows = listed()
    rows["inet"].append({"quota": {"name": "strange"}})
    assert refill(HEAD + BODY, rows) == ""
