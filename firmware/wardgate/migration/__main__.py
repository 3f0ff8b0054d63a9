"""`python -m wardgate.migration state|vault`: run by the units wardgate-migrate and wardgate-migrate-vault before what reads those files.

When it fails the unit fails, nothing that needs the area starts, and a verdict says why: to the judge of a slot on trial, and to a person.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.migration import steps
from wardgate.migration.areas import ROOTS, Area
from wardgate.migration.journey import Journey, MigrationStuck
from wardgate.migration.plan import MigrationFailed
from wardgate.migration.verdict import say
from wardgate.provision import kept, release, standing
from wardgate.provision.kept import BoxEvent, KeptFull


def main(arguments: Sequence[str]) -> int:
    """Bring one area to the format of this release; return 0, or 1 when it is not there."""
    parser = argparse.ArgumentParser(prog="python -m wardgate.migration")
    parser.add_argument("area", choices=[area.value for area in Area])
    parser.add_argument("--root", help="folder of the area")
    parser.add_argument("--state", default=ROOTS[Area.STATE], help="where the state partition is mounted")
    parser.add_argument("--verdicts", default=standing.VERDICTS)
    options = parser.parse_args(arguments)
    area, log = Area(options.area), Log("migration")
    journey = Journey(area, options.root or ROOTS[area], _version(), log)
    code, why = None, ""
    try:
        journey.bring(steps.STEPS)
    except MigrationStuck as error:
        code, why = Code.MIGRATION_STUCK, str(error)
    except (MigrationFailed, ValueError) as error:
        code, why = Code.MIGRATION_FAILED, str(error)
    except Exception as error:  # nobody knows what it left: the next start sees by the name of the folder
        code, why = Code.MIGRATION_STUCK, f"{type(error).__name__}: {error}"
    if journey.put_back:
        _remember(options.state, f"{area.value} {journey.put_back}", log)
    if code is not None:
        log.event(code, area=area.value, detail=why)
    say(area, code, why, journey.put_back, options.verdicts)
    return 0 if code is None else 1


def _remember(state: str, detail: str, log: Log) -> None:
    try:
        kept.keep(state, BoxEvent.FILES_PUT_BACK, str(Code.MIGRATION_PUT_BACK), detail)
    except (KeptFull, OSError) as error:
        log.event(Code.KEPT_NO_ROOM, detail=error)


def _version() -> str:
    try:
        return release.word(release.VERSION)
    except (LookupError, OSError):
        return ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
