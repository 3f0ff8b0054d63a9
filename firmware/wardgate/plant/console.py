"""What a keeper may do over the management address: the forced command of sshd (`plant.sshd`). No shell, no file, no port.

`ssh wardadmin@BOX plant status`: the words come in SSH_ORIGINAL_COMMAND and are never given to a shell. Which key it was stands in the
file that sshd names in SSH_USER_AUTH (ExposeAuthInfo); its fingerprint goes along to what is logged and recorded.
"""

from __future__ import annotations

import os
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final

from wardgate.codes import Code
from wardgate.log import Log

VERBS: Final = {
    ("check",): "the policy, checked",
    ("status",): "the gateway: links, workers, certificates, what went wrong",
    ("plant", "status"): "the two ports: who is where, what was refused",
    ("plant", "confirm"): "keep the rule set that waits for it",
    ("plant", "reload"): "take the policy anew",
    ("observe", "report"): "what was refused, as a configuration",
    ("break-glass", "status"): "whether the bypass lasts",
    ("break-glass", "start"): "REASON: start it, if policy names the act `command`",
    ("break-glass", "end"): "end it",
}
MAX_COMMAND: Final = 512


def words_of(text: str) -> tuple[tuple[str, ...], list[str]] | None:
    """Return the verb and what follows it, None when there is no such verb. Only `break-glass start` takes more words."""
    if len(text) > MAX_COMMAND or not text.isprintable():
        return None
    words = text.split()
    for verb in VERBS:
        if tuple(words[: len(verb)]) == verb:
            rest = words[len(verb) :]
            return (verb, rest) if not rest or verb == ("break-glass", "start") else None
    return None


def fingerprint(path: str) -> str:
    """Return `SHA256:...` of the key that sshd let in, "" when it does not say (ssh-keygen(1), -l)."""
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                method, _, key = line.strip().partition(" ")
                if method == "publickey" and len(key.split()) >= 2:
                    return "SHA256:" + b64encode(sha256(b64decode(key.split()[1])).digest()).decode().rstrip("=")
    except (OSError, ValueError):
        pass
    return ""


def main() -> int:
    """Do what is asked for. 2: it is not to be had here."""
    if len(sys.argv) != 3 or sys.argv[1] != "-c":
        sys.stderr.write("usage: python -m wardgate.plant.console -c FILE, by sshd\n")
        return 2
    path, text = sys.argv[2], os.environ.get("SSH_ORIGINAL_COMMAND", "")
    by = fingerprint(os.environ.get("SSH_USER_AUTH", ""))
    asked = words_of(text)
    if asked is None:
        if text:
            Log("console").event(Code.MANAGEMENT_NO_VERB, by or "unknown key", asked=text[:80])
        sys.stderr.write("".join(f"  {' '.join(verb):20} {what}\n" for verb, what in VERBS.items()))
        return 2
    verb, rest = asked
    if verb == ("check",):
        from wardgate.policy.check import check

        return check(path, sys.stdout)
    if verb == ("status",):
        from wardgate.master.show import show

        return show(path, as_json=False, out=sys.stdout, err=sys.stderr)
    from wardgate.plant.command import command

    status = command([*verb, "-c", path, *rest], by)
    return 2 if status is None else status


if __name__ == "__main__":
    sys.exit(main())
