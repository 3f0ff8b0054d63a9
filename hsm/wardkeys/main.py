"""The command `python -m wardkeys`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

from wardgate.codes import Code
from wardgate.log import Log
from wardkeys.config import ISCL_CARD, Config, ConfigMistakes, load

USAGE: Final = """\
usage: python -m wardkeys check FILE    name every mistake of keys.toml
       python -m wardkeys run FILE      run the key service in the foreground
       python -m wardkeys status FILE   show the tokens of the running service
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status: 0 good, 1 bad, 2 wrongly called."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 2 or words[0] not in ("run", "check", "status"):
        sys.stderr.write(USAGE)
        return 2
    try:
        config = load(words[1])
    except ConfigMistakes as mistakes:
        sys.stderr.write(f"{mistakes}\n")
        return 1
    if words[0] == "check":
        return _check(config)
    return _status(config) if words[0] == "status" else _run(config)


def _check(config: Config) -> int:
    """What can be said without touching a token: a try of the PIN is never spent here."""
    good = True
    for token in config.tokens:
        for place, path in (("module", token.module), ("pin_file", token.pin_file)):
            if path not in (None, ISCL_CARD) and not os.path.isfile(str(path)):
                sys.stderr.write(f"{Code.CONFIG_FILE} {token.name}.{place}: {path} is not there\n")
                good = False
    sys.stdout.write(f"{len(config.tokens)} tokens, socket {config.socket}\n" if good else "")
    return 0 if good else 1


def _status(config: Config) -> int:
    from wardkeys.client import KeyClient
    from wardkeys.errors import KeyServiceError

    try:
        states = KeyClient(config.socket).status()
    except KeyServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for token in states["tokens"]:
        tries = "" if token["tries"] is None else f", {token['tries']} tries of the PIN left"
        who = " ".join(word for word in (token["label"], token["serial"], token["model"]) if word)
        detail = f": {token['detail']}" if token["detail"] else ""
        sys.stdout.write(f"{token['name']}: {token['state']}{tries}{f' ({who})' if who else ''}{detail}\n")
    return 0


def _run(config: Config) -> int:
    from wardkeys.build import build
    from wardkeys.harden import harden

    log = Log("wardkeys")
    for missing in harden():
        log.event(Code.KEYS_HARDENING, detail=missing)
    try:
        service = build(config, log)
    except OSError as error:
        sys.stderr.write(f"{Code.KEYS_UNREACHABLE} {config.socket}: {error.strerror}\n")
        return 1
    signal.set_wakeup_fd(service.bell, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    signal.signal(signal.SIGHUP, lambda *_: service.reload())
    service.run()
    return 0
