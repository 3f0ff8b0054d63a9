"""The named states of a box that does not serve: found by looking, so that they are true also when the gateway never started.

`wardgate status` shows them with what to do. A machine without the partitions of an image has none of them.
"""

from __future__ import annotations

import json
import os
import time
from enum import Enum
from typing import Final, NamedTuple

from wardgate.codes import Code
from wardgate.provision.floor import read_floor, shown

VERDICTS: Final = "/run/wardgate-box"  # what the units before the gateway said, one file each
_MAX_VERDICT: Final = 8192


class Standing(Enum):
    """What keeps the box from serving. The value is its name on the status page."""

    VAULT_CLOSED = "vault-closed"
    VAULT_NOT_MADE = "vault-not-made"
    VAULT_POLICY_WRONG = "vault-policy-wrong"
    VAULT_LOST = "vault-lost"
    STATE_MISSING = "state-missing"
    STATE_REFUSED = "state-refused"
    CLOCK_BELOW_FLOOR = "clock-below-floor"
    MIGRATION_FAILED = "migration-failed"
    MIGRATION_STUCK = "migration-stuck"


CODES: Final = {
    Standing.VAULT_CLOSED: Code.VAULT_CLOSED,
    Standing.VAULT_NOT_MADE: Code.VAULT_NOT_MADE,
    Standing.VAULT_POLICY_WRONG: Code.VAULT_POLICY_WRONG,
    Standing.VAULT_LOST: Code.VAULT_LOST,
    Standing.STATE_MISSING: Code.STATE_MISSING,
    Standing.STATE_REFUSED: Code.STATE_REFUSED,
    Standing.CLOCK_BELOW_FLOOR: Code.CLOCK_BELOW_FLOOR,
    Standing.MIGRATION_FAILED: Code.MIGRATION_FAILED,
    Standing.MIGRATION_STUCK: Code.MIGRATION_STUCK,
}


# The word of the vault's verdict -> the state. Without one of them it is not made.
_TOLD: Final = {"lost": Standing.VAULT_LOST, "policy": Standing.VAULT_POLICY_WRONG}


_AREAS: Final = ("state", "vault")  # `migration.areas.Area`, which the status does without


def migration(area: str) -> str:
    """Return the name of the verdict on an area's migration."""
    return f"migration-{area}"


class Found(NamedTuple):
    """One state and why."""

    standing: Standing
    why: str

    @property
    def line(self) -> str:
        """For a person: the name, the code, why, and what to do."""
        code = CODES[self.standing]
        return f"{self.standing.value}: {code} {code.value.sentence} ({self.why}) -> {code.value.action}"


class Places(NamedTuple):
    """Where is looked; tests give others."""

    partition: str = "/dev/disk/by-partlabel/vault"
    mapped: str = "/dev/mapper/vault"
    vault: str = "/vault"
    mounts: str = "/proc/self/mounts"
    state_partition: str = "/dev/disk/by-partlabel/state"
    state: str = "/state"
    verdicts: str = VERDICTS


def look(places: Places, clock: float | None = None) -> list[Found]:
    """Return every state that holds now."""
    found = []
    for area in _AREAS:
        said = verdict(migration(area), places.verdicts)
        if said is not None and not said.get("good", True):
            found.append(Found(Standing.MIGRATION_STUCK if said.get("stuck") else Standing.MIGRATION_FAILED, str(said.get("why", ""))))
    refused = verdict("state", places.verdicts)
    if refused is not None and not refused.get("good", True):
        found.append(Found(Standing.STATE_REFUSED, str(refused.get("why", ""))))
    # Either partition says that this is a box made from an image. What waits for the state, the vault too, has no reason of its own.
    if (os.path.exists(places.state_partition) or os.path.exists(places.partition)) and not _is_mounted(places.state, places.mounts):
        found.append(Found(Standing.STATE_MISSING, _missing(places)))
    elif os.path.exists(places.partition) and not _is_mounted(places.vault, places.mounts):
        found.append(_closed(places))
    now = time.time() if clock is None else clock
    floor = read_floor(places.state)
    if floor.is_above(now):
        found.append(Found(Standing.CLOCK_BELOW_FLOOR, shown(floor, now)))
    return found


def _missing(places: Places) -> str:
    if not os.path.exists(places.state_partition):
        return f"no partition {places.state_partition}"
    return "its partition holds no file system that can be mounted, or was not looked at yet: journalctl -u state.mount"


def _closed(places: Places) -> Found:
    made = verdict("vault", places.verdicts)
    if made is not None and made.get("closed"):
        return Found(Standing.VAULT_CLOSED, str(made.get("why", "")))
    if made is not None and not made.get("good", True):
        standing = next((one for word, one in _TOLD.items() if made.get(word)), Standing.VAULT_NOT_MADE)
        return Found(standing, str(made.get("why", "")))
    if os.path.exists(places.mapped):
        return Found(Standing.VAULT_CLOSED, "it is open, and its file system is not mounted: journalctl -u vault.mount")
    return Found(Standing.VAULT_CLOSED, "it was not opened yet: journalctl -u wardgate-vault")


def _is_mounted(place: str, mounts: str) -> bool:
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:
            return any(line.split(" ")[1:2] == [place] for line in file)
    except OSError:
        return False


def verdict(name: str, folder: str = VERDICTS) -> dict[str, object] | None:
    """Return what a unit before the gateway said, None when it said nothing."""
    try:
        with open(os.path.join(folder, f"{name}.json"), "rb") as file:
            found = json.loads(file.read(_MAX_VERDICT))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def say(name: str, good: bool, why: str = "", folder: str = VERDICTS, **more: object) -> None:
    """Leave a verdict for the status. What cannot be written is only not shown."""
    try:
        path = os.path.join(folder, f"{name}.json")
        with open(f"{path}.tmp", "w", encoding="ascii") as file:
            json.dump({"good": good, "why": why[:500], **more}, file)
        os.chmod(f"{path}.tmp", 0o644)
        os.rename(f"{path}.tmp", path)
    except OSError:
        pass
