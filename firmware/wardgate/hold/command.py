"""`wardgate hold list|retry|release|export`: what a person does with the queue. `list` and `export` read the directory."""

from __future__ import annotations

import getpass
import os
from typing import Final, TextIO

from wardgate.codes import Code
from wardgate.custody.client import WriterGone, has
from wardgate.custody.wire import Status
from wardgate.hold.export import export
from wardgate.hold.port import ask
from wardgate.hold.seal import Damaged
from wardgate.hold.store import STEM, Entry, State, Store
from wardgate.hold.unlogged import Carried, carried_in
from wardgate.hold.wrap import WrapError, Wrapper, wrapper_for
from wardgate.log import printable
from wardgate.policy.model import Config

USAGE: Final = """\
usage: wardgate hold list -c FILE                        what waits and what is in quarantine, one line an instance
       wardgate hold retry -c FILE [NAME... | --all]     try destinations now; put NAMEs back from quarantine
       wardgate hold release -c FILE --yes NAME...       remove NAMEs from quarantine for ever
       wardgate hold export -c FILE --yes [--recovery=KEY] [--unlogged] FOLDER NAME... | --all
                                                         write NAMEs as DICOM files, in clear: they are patient data.
                                                         KEY: private key of a file in hold.recovery, PEM, instead of the token
                                                         --unlogged: also those of which the custody log is not known to have the record
"""
_RECOVERY: Final = "--recovery="
_MAX_LINES: Final = 10_000
_SECONDS: Final = 10.0  # for the custody writer


def main(words: list[str], out: TextIO, err: TextIO) -> int:
    """Run one command; return its exit status: 0 good, 1 bad, 2 wrongly called."""
    if len(words) < 3 or words[0] not in ("list", "retry", "release", "export") or words[1] not in ("-c", "--config"):
        err.write(USAGE)
        return 0 if words == ["help"] else 2
    command, path, rest = words[0], words[2], words[3:]
    recovery = next((word.removeprefix(_RECOVERY) for word in rest if word.startswith(_RECOVERY)), "")
    options = {_RECOVERY if word.startswith(_RECOVERY) else word for word in rest if word.startswith("--")}
    names = [word for word in rest if not word.startswith("--")]
    allowed = {"list": set(), "retry": {"--all"}, "release": {"--yes"}, "export": {"--yes", "--all", "--unlogged", _RECOVERY}}[command]
    if not options <= allowed or (command == "list" and names):
        err.write(USAGE)
        return 2
    from wardgate.policy import load
    from wardgate.policy.mistakes import ConfigErrors
    from wardkeys.errors import KeyServiceError

    try:
        config = load(path, check_files=False)
        if config.hold is None:
            err.write(f"{path}: there is no table [hold]\n")
            return 1
        if command == "list":
            return _list(config, _store(config), out)
        if command == "export":
            return _export(config, names, options, recovery, out, err)
        return _ask(config, command, names, options, err)
    except (ConfigErrors, KeyServiceError, WrapError, Damaged, OSError) as error:
        code = getattr(error, "code", None)
        err.write(f"{f'{code} ' if isinstance(code, Code) else ''}{error}\n")
        return 1


def _store(config: Config, wrapper: Wrapper | None = None) -> Store:
    assert config.hold is not None
    if not os.path.isdir(config.hold.directory):
        raise FileNotFoundError(2, "the queue was never used", str(config.hold.directory))
    return Store(config.hold.directory, wrapper or wrapper_for(config.hold, config.keys))


def _list(config: Config, store: Store, out: TextIO) -> int:
    shown = 0
    waiting = store.entries()
    unlogged = _unlogged(config, store, waiting[:_MAX_LINES])
    for place, entries in (("waits", waiting), ("quarantine", store.quarantined())):
        for entry in entries:
            if shown == _MAX_LINES:
                out.write(f"... and more than {_MAX_LINES} files\n")
                return 0
            shown += 1
            out.write(_line(store, "not in the log" if entry.stem in unlogged else place, entry))
    out.write(f"{shown} file{'s' if shown != 1 else ''}\n")
    return 0


def _line(store: Store, place: str, entry: Entry) -> str:
    quarantined = place == "quarantine"
    state = {State.ANSWERED: f"answered {entry.status:04X}", State.AWAITING: entry.state.value}.get(entry.state, place)
    try:
        reader = store.read(entry)
        header = reader.header
        reader.close()
        what = f"{header.link} {printable(header.calling)}>{printable(header.called)} {header.sop_instance} {header.transfer_syntax}"
    except (Damaged, OSError) as error:
        what = f"cannot be read: {error}"
    why = store.why(entry.stem) if quarantined else {}
    reason = "".join(f" {key}={printable(value)}" for key, value in why.items())
    return f"{entry.stem} {state} {what}{reason}\n"


def _export(config: Config, words: list[str], options: set[str], recovery: str, out: TextIO, err: TextIO) -> int:
    if len(words) != 1 if "--all" in options else len(words) < 2:
        err.write(USAGE)
        return 2
    if "--yes" not in options:
        err.write("what is exported is patient data in clear; say --yes if that is intended\n")
        return 1
    folder, names = words[0], words[1:]
    store = _store(config, _by_recovery(recovery) if recovery else None)
    there = {entry.stem: entry for entry in (*store.entries(), *store.quarantined())}
    names = names or list(there)
    missing = [name for name in names if name not in there]
    if missing:
        err.write(f"not in the queue: {printable(missing[0])}\n")
        return 1
    unlogged = set() if "--unlogged" in options else _unlogged(config, store, [there[name] for name in names])
    os.makedirs(folder, 0o700, exist_ok=True)
    for name in names:
        if name in unlogged:
            err.write(f"{Code.HOLD_NOT_LOGGED} {name}: {Code.HOLD_NOT_LOGGED.value.sentence} -> {Code.HOLD_NOT_LOGGED.value.action}\n")
        else:
            out.write(f"{export(store, there[name], folder)}\n")
    return 1 if unlogged else 0


def _unlogged(config: Config, store: Store, entries: list[Entry]) -> set[str]:
    """Return the names of those that carry a record of which it is not known that the custody log has it."""
    carried: dict[str, Carried] = {}
    for entry in entries:
        if entry.state is not State.WAITING or store.is_logged(entry):
            continue
        try:
            reader = store.read(entry)
            reader.close()
            if reader.record:
                carried[entry.stem] = carried_in(reader.record)
        except FileNotFoundError:
            continue
        except (Damaged, OSError):  # what cannot be read says so itself
            continue
    if not carried:
        return set()
    try:
        said = has(config.writer_socket, [(each.association, each.seq) for each in carried.values()], _SECONDS)
    except WriterGone:
        return set(carried)
    return {stem for stem, status in zip(carried, said, strict=True) if status is not Status.OK}


def _by_recovery(path: str) -> Wrapper:
    from wardgate.hold.recovery import RecoveryWrapper, read_private

    return RecoveryWrapper(read_private(path, lambda: getpass.getpass(f"passphrase of {path}: ")))


def _ask(config: Config, command: str, names: list[str], options: set[str], err: TextIO) -> int:
    if command == "release" and (not names or "--yes" not in options):
        err.write("what is released is gone for ever: name each and say --yes\n" if names else USAGE)
        return 1 if names else 2
    bad = [name for name in names if not STEM.fullmatch(name)]
    if bad:
        err.write(f"not a name of the queue: {printable(bad[0])}\n")
        return 1
    path = os.path.join(config.box.run_dir, "hold.sock")
    question = {"do": command, "files": names, "all": "--all" in options, "by": getpass.getuser()}
    try:
        answer = ask(path, question, 60.0)
    except (OSError, ValueError) as error:
        code = Code.HOLD_UNREACHABLE
        err.write(f"{code} {code.value.sentence} ({path}: {error}) -> {code.value.action}\n")
        return 1
    if not answer.get("ok"):
        err.write(f"{printable(answer.get('error', 'refused'))}\n")
        return 1
    return 0
