"""`wardgate custody authorize`: a person certifies originals for diagnostic use, with a card (PS3.15 A.1.1 b).

The statement is written here, signed at a workstation by `wardtool card authorize`, and given back here.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Final, TextIO

from wardgate.codes import Code
from wardgate.hold.port import ask
from wardgate.log import printable

USAGE: Final = """\
usage: wardgate custody authorize -c FILE --statement OUT [--comment TEXT] UID...   writes what is to be signed
       wardgate custody authorize -c FILE --signed FILE                             gives it back, signed by wardtool card authorize
"""
_SECONDS: Final = 60.0
_MAX_BYTES: Final = 65536


def main(words: list[str], out: TextIO, err: TextIO) -> int:
    """Run; return the exit status: 0 good, 1 bad, 2 wrongly called."""
    options: dict[str, str] = {}
    uids: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("-c", "--config", "--statement", "--comment", "--signed"):
            options["--config" if word == "-c" else word] = next(rest, "")
        elif word.startswith("-"):
            err.write(USAGE)
            return 2
        else:
            uids.append(word)
    if "--config" not in options or ("--signed" in options) == ("--statement" in options) or bool(uids) == ("--signed" in options):
        err.write(USAGE)
        return 2
    from wardgate.policy import load
    from wardgate.policy.mistakes import ConfigErrors

    try:
        config = load(options["--config"], check_files=False)
        path = os.path.join(config.box.run_dir, "hold.sock")
        if "--statement" in options:
            return _write(path, options, uids, out, err)
        return _give(path, options["--signed"], out, err)
    except (ConfigErrors, OSError, ValueError) as error:
        code = getattr(error, "code", None)
        err.write(f"{f'{code} ' if isinstance(code, Code) else ''}{error}\n")
        return 1


def _write(path: str, options: dict[str, str], uids: list[str], out: TextIO, err: TextIO) -> int:
    answer = ask(path, {"do": "authorization", "instances": uids, "comment": options.get("--comment", "")}, _SECONDS)
    if not answer.get("ok"):
        err.write(f"{printable(answer.get('error', 'refused'))}\n")
        return 1
    descriptor = os.open(options["--statement"], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(str(answer["statement"]))
    out.write(f"{options['--statement']}: read it, then sign it within 15 minutes: wardtool card authorize\n")
    return 0


def _give(path: str, signed: str, out: TextIO, err: TextIO) -> int:
    found = json.loads(Path(signed).read_bytes()[:_MAX_BYTES])
    if not isinstance(found, dict):
        raise ValueError(f"{signed}: not a signed statement")
    answer = ask(path, {"do": "authorize", **{word: found.get(word, "") for word in ("statement", "certificate", "signature")}}, _SECONDS)
    until = time.monotonic() + _SECONDS
    ended = ""
    while answer.get("ok") and not ended and time.monotonic() < until:
        ended = str(ask(path, {"do": "authorization-ended", "name": answer.get("name", "")}, _SECONDS).get("ended", "unknown"))
        if not ended:
            time.sleep(0.2)
    if not answer.get("ok") or ended != "done":
        err.write(f"{printable(answer.get('error', ended or 'no answer'))}\n")
        return 1
    out.write(f"authorized: {answer['instances']} instances\n")
    return 0
