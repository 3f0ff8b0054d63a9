"""The command `wardgate`: what acts on the box. Kept free of heavy imports, because `run` stays in this process."""

from __future__ import annotations

import sys

USAGE = """\
usage: wardgate check -c FILE            name every mistake of a configuration
       wardgate run -c FILE              run the gateway in the foreground
       wardgate status -c FILE [--json]  show what the running gateway does
       wardgate custody export DIR -c FILE  copy the custody log, whole and checked, for read-only media
       wardgate custody authorize -c FILE ...  certify originals that wait, by a statement that a card signs (PS3.15 A.1.1 b)
       wardgate hold list|retry|release|export -c FILE ...   manage what is held; wardgate hold help
       wardgate state verify|show|keep ...  the signed state, named states, events kept for the log
       wardgate update FILE|judge|status -c FILE  install a release into the other slot; what is on trial
       wardgate codes                    list the failure codes
       wardgate plant|observe|break-glass ...    the two ports; each alone prints its words
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status: 0 good, 1 bad, 2 wrongly called."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0 if words else 2
    command, rest = words[0], words[1:]
    if command == "hold":
        from wardgate.hold.command import main as hold

        return hold(rest, sys.stdout, sys.stderr)
    if command == "state":
        from wardgate.provision.command import main as state

        return state(rest)
    if command == "update":
        from wardgate.update.command import main as update

        return update(rest, sys.stdout, sys.stderr)
    if command in ("plant", "observe", "break-glass"):
        return _plant(words)
    as_json = command == "status" and "--json" in rest
    if as_json:
        rest = [word for word in rest if word != "--json"]
    if command == "codes" and not rest:
        from wardgate.codes_page import listing

        sys.stdout.write(listing())
        return 0
    if command == "custody" and rest[:1] == ["authorize"]:
        from wardgate.hold.authorize_command import main as authorize

        return authorize(rest[1:], sys.stdout, sys.stderr)
    if command == "custody":
        if len(rest) != 4 or rest[0] != "export" or rest[2] not in ("-c", "--config"):
            sys.stderr.write(USAGE)
            return 2
        from wardgate.custody.export import run_export

        return run_export(rest[3], rest[1], sys.stdout, sys.stderr)
    if command not in ("check", "run", "status") or len(rest) != 2 or rest[0] not in ("-c", "--config"):
        sys.stderr.write(USAGE)
        return 2
    return _with_file(command, rest[1], as_json)


def _plant(words: list[str]) -> int:
    from wardgate.plant.command import USAGE as PLANT_USAGE
    from wardgate.plant.command import command

    status = command(words)
    if status is None:
        sys.stderr.write(f"usage:\n{PLANT_USAGE}")
        return 2
    return status


def _with_file(command: str, path: str, as_json: bool) -> int:
    if command == "run":
        from wardgate.master.supervisor import Supervisor

        return Supervisor(path).run()
    if command == "check":
        from wardgate.policy.check import check

        return check(path, sys.stdout)
    from wardgate.master.show import show

    return show(path, as_json, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
