"""`wardgate plant|observe|break-glass`: asks `netd` and prints for a person."""

from __future__ import annotations

import sys
from typing import Any

from wardgate.codes import Code
from wardgate.plant import wire

USAGE = """\
       wardgate plant probe                      what this kernel has for the plant
       wardgate plant rules -c FILE              the rule set that the configuration makes
       wardgate plant status|confirm|reload -c FILE
       wardgate observe report -c FILE           what was refused (enforce = false: would be), as a configuration
       wardgate break-glass start -c FILE REASON | status -c FILE | end -c FILE
"""


def command(words: list[str], by: str = "") -> int | None:
    """Run the command; return its exit status, None when it is no such command. `by`: the key of a keeper who asks from afar."""
    what, rest = words[0], words[1:]
    if what == "plant" and rest == ["probe"]:
        from wardgate.plant.probe import main

        return main()
    if len(rest) < 3 or rest[1] not in ("-c", "--config"):
        return None
    verb, path, more = rest[0], rest[2], rest[3:]
    if (what, verb) == ("break-glass", "start"):
        return _glass(path, {"op": "break-glass", "do": "start", "by": by, "reason": " ".join(more) or "not given"})
    if more:
        return None
    if (what, verb) == ("plant", "rules"):
        return _rules(path)
    if (what, verb) == ("observe", "report"):
        return _report(path)
    if (what, verb) == ("break-glass", "end"):
        return _glass(path, {"op": "break-glass", "do": "end", "by": by})
    if (what, verb) == ("break-glass", "status"):
        return _glass(path, {"op": "status"})
    if what == "plant" and verb in ("status", "confirm", "reload"):
        answer = _ask(path, {"op": verb})
        if answer is not None:
            sys.stdout.write("".join(f"{line}\n" for line in _status_lines(answer)) if verb == "status" else "done\n")
            if answer.get("waits_for_confirm"):
                sys.stdout.write("the rule set waits for: wardgate plant confirm\n")
        return 0 if answer is not None else 1
    return None


def _ask(path: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """Return a good answer; else say why not."""
    from wardgate.policy import load
    from wardgate.policy.mistakes import ConfigErrors

    try:
        netd = str(load(path, check_files=False).plant.socket)
        answer, _ = wire.ask(netd, request)
    except ConfigErrors as errors:
        sys.stderr.write(f"{errors}\n")
        return None
    except (OSError, EOFError, wire.WireError) as error:
        code = Code.NETD_UNREACHABLE
        sys.stderr.write(f"{code} {code.value.sentence} ({error}) -> {code.value.action}\n")
        return None
    if answer.get("ok") is not True:
        name = str(answer.get("code"))
        code = Code[name] if name in Code.__members__ else Code.NETD_DEFECT
        sys.stderr.write(f"{code} {code.value.sentence} ({answer.get('detail')}) -> {code.value.action}\n")
        return None
    return answer


def _status_lines(answer: dict[str, Any]) -> list[str]:
    enforced = "policy holds" if answer["enforce"] else "ENFORCE = FALSE: everything is bridged in clear"
    lines = [f"ports {answer['ports']}: {enforced}", f"modality {', '.join(answer['stations']) or 'not seen yet'}"]
    lines += [_glass_line(answer)] if answer["break_glass"]["lasts"] else []
    glass = answer["break_glass"]
    lines += [f"break-glass may be started by {', '.join(glass['acts'])}"] if glass["acts"] else []
    lines += [f"BREAK-GLASS: {problem}" for problem in glass["problems"]]
    lines += [f"{glass['unrecorded']} records of break-glass wait for the custody log"] if glass["unrecorded"] else []
    lines += [f"next hop {address} {mac}" for address, mac in sorted(answer["hosts"].items())]
    lines += [f"{name:24} {count}" for name, count in sorted(answer["counters"].items()) if count]
    return lines


def _glass_line(answer: dict[str, Any]) -> str:
    glass = answer["break_glass"]
    if not glass["lasts"]:
        return "break-glass: off"
    return f"BREAK-GLASS LASTS: {glass['left_seconds']} s left; by {glass['act']} ({glass['who']}): {glass['reason']}"


def _glass(path: str, request: dict[str, Any]) -> int:
    answer = _ask(path, request)
    if answer is None:
        return 1
    sys.stdout.write(f"{_glass_line(answer)}\n")
    return 0


def _rules(path: str) -> int:
    from wardgate.plant.probe import rules
    from wardgate.plant.ruleset import Known, bridge_ruleset
    from wardgate.plant.ruleset_router import router_ruleset
    from wardgate.policy import load
    from wardgate.policy.mistakes import ConfigErrors
    from wardgate.policy.plant import Ports

    try:
        config = load(path, check_files=False)
    except ConfigErrors as errors:
        sys.stderr.write(f"{errors}\n")
        return 1
    router = config.plant.ports is Ports.ROUTER
    sys.stdout.write(router_ruleset(config, rules()) if router else bridge_ruleset(config, rules(), Known()))
    return 0


def _report(path: str) -> int:
    from pathlib import Path

    from wardgate.plant.observe import report

    answer = _ask(path, {"op": "seen"})
    if answer is None:
        return 1
    status = _ask(path, {"op": "status"}) or {}
    sys.stdout.write(report(Path(path).read_text(), answer, status))
    return 0
