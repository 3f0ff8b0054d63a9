"""Looks at what works: the gateway, its tokens, the peers by C-ECHO over their own transport, the vault, the tail of the custody log."""

from __future__ import annotations

import contextlib
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from wardgate.custody.note import NoteError
from wardgate.custody.recover import Damaged
from wardgate.custody.tail import check_tail
from wardgate.custody.tiles import TileError
from wardgate.master.show import ask_master
from wardgate.migration import verdict
from wardgate.policy.model import Transport
from wardgate.provision import standing
from wardgate.update.echo import echo
from wardgate.update.judge import CUSTODY, MIGRATION, SERVICE, VAULT, Outcome, Seen

if TYPE_CHECKING:
    from wardgate.policy.model import Config, Link, Party

VAULT_PATH: Final = "/vault"
ECHO_SECONDS: Final = 20.0
# A site may be without half of its peers, on purpose or not: asked one after another they took longer than the judge may.
PEERS_SECONDS: Final = 300.0
_AT_ONCE: Final = 8
_MAX_MALFORMED: Final = 8


def look(config: Config, echo_seconds: float = ECHO_SECONDS) -> Seen:
    """Return what works now. Blocks: a peer that does not answer costs `echo_seconds`, all of them together at most `PEERS_SECONDS`."""
    checks = {**migrations(), SERVICE: Outcome.FAILS, VAULT: _either(os.path.ismount(VAULT_PATH))}
    malformed: tuple[str, ...] = ()
    try:
        status = ask_master(str(config.box.run_dir / "status.sock"))
        checks[SERVICE] = Outcome.WORKS
        malformed = _tokens(status.get("tokens", []), checks)
    except (OSError, ValueError, RecursionError):
        pass
    records = _custody(str(config.custody.log), checks)
    checks |= _peers(config, echo_seconds)
    return Seen(checks, records, malformed)


def _peers(config: Config, echo_seconds: float) -> dict[str, Outcome]:
    """Ask every peer: hosts beside each other, the peers of one host, which may take one association at a time, one after another."""
    hosts: dict[str, list[tuple[Link, Party]]] = {}
    for link in config.links:
        for peer in link.peers:
            if peer.connect is not None and peer.transport in (Transport.PLAIN, Transport.TLS):
                hosts.setdefault(peer.connect.host, []).append((link, peer))
    until = time.monotonic() + PEERS_SECONDS

    def ask(peers: list[tuple[Link, Party]]) -> dict[str, Outcome]:
        found = {}
        for link, peer in peers:
            name = _name("peer", f"{link.name}/{peer.name}")
            found[name] = Outcome.FAILS
            left = until - time.monotonic()
            if left > 0:  # else not even its name is looked up
                with contextlib.suppress(Exception):  # whatever it is, this peer is not reached
                    echo(config, link, peer, min(echo_seconds, left))
                    found[name] = Outcome.WORKS
        return found

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {name: outcome for found in pool.map(ask, hosts.values()) for name, outcome in found.items()}


def migrations(folder: str = standing.VERDICTS) -> dict[str, Outcome]:
    """Return the check of migrations where one failed, else none: it is in no baseline. Needs no configuration."""
    return {MIGRATION: Outcome.CONTRADICTS} if any(one.failed for one in verdict.read(folder)) else {}


def _tokens(rows: Any, checks: dict[str, Outcome]) -> tuple[str, ...]:
    """Add a check for each token that the gateway tells of; return what is wrong with what it tells, bounded. A token of which it does not
    say that it is present is not: the judge must not fail on what the release that it judges gives it."""
    if not isinstance(rows, list):
        return ("its tokens are no list",)
    malformed = []
    for number, row in enumerate(rows):
        name = row.get("token") if isinstance(row, dict) else None
        if not isinstance(name, str):
            malformed.append(f"row {number} of its tokens names none")
            continue
        state = row.get("state")
        checks[_name("token", name)] = _either(state == "present")
        if not isinstance(state, str):
            malformed.append(f"{_name('token', name)} has no state")
    return tuple(malformed[:_MAX_MALFORMED])


def _custody(log: str, checks: dict[str, Outcome]) -> int | None:
    try:
        records = check_tail(log)
    except OSError:
        checks[CUSTODY] = Outcome.FAILS
        return None
    except (Damaged, NoteError, TileError):
        checks[CUSTODY] = Outcome.CONTRADICTS
        return None
    checks[CUSTODY] = Outcome.WORKS
    return records


def _either(works: bool) -> Outcome:
    return Outcome.WORKS if works else Outcome.FAILS


def _name(kind: str, text: str) -> str:
    return f"{kind}:{re.sub(r'[^A-Za-z0-9_.:/+-]', '_', text)[:120]}"
