"""Which tokens a configuration needs, and who needs them: read off the key URIs of the checked configuration."""

from __future__ import annotations

from wardgate.token.naming import Name, is_uri, name_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

CUSTODY = "custody"  # the user that signs checkpoints
HOLD = "hold"  # the user that wraps the keys of the queue
AUDIT = "audit:"  # before the name of an audit repository; all others are "LINK/PARTY"


class Use:
    """One certificate and its key in a token. `not_after` in Unix seconds, 0 when there is none (custody and ISCL have no certificate)."""

    __slots__ = ("not_after", "user")

    def __init__(self, user: str, not_after: float) -> None:
        self.user = user
        self.not_after = not_after


class Need:
    """One token and everything that uses a key in it."""

    __slots__ = ("name", "uses")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.uses: list[Use] = []

    @property
    def users(self) -> list[str]:
        """Who uses it, each once."""
        return list(dict.fromkeys(use.user for use in self.uses))


def needs_of(config: Mapping[str, Any], certificates: Iterable[Iterable[Any]]) -> list[Need]:
    """Return the tokens that `config` (plain data, as the resolver prints it) needs, in the order in which it names them.

    `certificates`: [link, party, chain, not_after] of every certificate of the box.
    """
    ends = {(str(link), str(party), str(chain)): float(end) for link, party, chain, end in certificates}
    found: dict[str, Need] = {}

    def add(uri: str, user: str, not_after: float) -> None:
        if is_uri(uri):
            name = name_in(uri)
            found.setdefault(name.key, Need(name)).uses.append(Use(user, not_after))

    for link in config["links"]:
        for party in (link["modality"], *link["peers"]):
            for pair in (party.get("tls") or {}).get("certificates", ()):
                end = ends.get((link["name"], party["name"], pair["chain"]), 0.0)
                add(pair["key"], f"{link['name']}/{party['name']}", end)
            add((party.get("iscl") or {}).get("keys", ""), f"{link['name']}/{party['name']}", 0.0)
    for repository in (config.get("audit") or {}).get("repositories", ()):
        for pair in repository["tls"]["certificates"]:
            add(pair["key"], f"{AUDIT}{repository['name']}", ends.get(("[audit]", repository["name"], pair["chain"]), 0.0))
    add(config["custody"]["key"], CUSTODY, 0.0)
    add((config.get("hold") or {}).get("key", ""), HOLD, 0.0)
    return list(found.values())
