"""What an update needs of the box: which slot runs, RAUC, the trial on the state partition, the custody log."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wardgate.codes import Code
from wardgate.custody.client import WriterGone
from wardgate.custody.clock import Clock
from wardgate.custody.event import append, event_record
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.migration import verdict
from wardgate.provision import kept, release, standing
from wardgate.provision.kept import BoxEvent, KeptFull
from wardgate.update import owed as owing
from wardgate.update import trial as trials

if TYPE_CHECKING:
    from wardgate.log import Log
    from wardgate.policy.model import Config
    from wardgate.update.owed import Owed
    from wardgate.update.trial import Side, Trial

STATE: Final = "/state/update"
KIND: Final = "update"
_RAUC_SECONDS: Final = 1800.0
RECORD_SECONDS: Final = 20.0
_BUS_SECONDS: Final = 25.0
_INSTALLER: Final = ("de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer")


class RaucError(Exception):
    """RAUC refused, with its last words."""


class Bundle(NamedTuple):
    """What a bundle, whose signature RAUC has checked, says of itself."""

    compatible: str
    version: str


class Box:
    """The running box. Paths are arguments for tests."""

    def __init__(
        self,
        log: Log,
        state: str = STATE,
        proc: str = "/proc",
        os_release: str = release.PATH,
        record_seconds: float = RECORD_SECONDS,
        verdicts: str = standing.VERDICTS,
    ) -> None:
        self._log = log
        self._record_seconds = record_seconds
        self._state = state
        self._proc = proc
        self._release = os_release
        self._verdicts = verdicts

    # --- what runs

    def slot(self) -> str:
        """Return the slot that runs, by the signed command line. Raises `LookupError`."""
        for word in self._read("cmdline").split():
            name, _, value = word.partition("=")
            if name == "rauc.slot" and value in ("A", "B"):
                return value
        raise LookupError("no rauc.slot= on the kernel's command line")

    def boot(self) -> str:
        """Return the kernel's id of this start."""
        return self._read("sys/kernel/random/boot_id").strip()

    def version(self) -> str:
        """Return the version that runs. Raises `LookupError`."""
        return release.word(release.VERSION, self._release)

    def board(self) -> str:
        """Return what bundles for this board call it, RAUC's compatible string. Raises `LookupError`."""
        return release.word(release.BOARD, self._release)

    def _read(self, path: str) -> str:
        with open(os.path.join(self._proc, path), encoding="ascii", errors="replace") as file:
            return file.read(65536)

    def put_back(self) -> str:
        """Return which areas got the files of before back in this start: "state 2 > 1", "" when none did."""
        return ", ".join(f"{one.area.value} {one.put_back}" for one in verdict.read(self._verdicts) if one.put_back)

    # --- RAUC

    def bundle(self, path: str) -> Bundle:
        """Return what a bundle says; RAUC checks its signature first. Raises `RaucError`."""
        try:
            told: dict[str, Any] = json.loads(self._rauc("info", "--output-format=json", path))
            return Bundle(str(told["compatible"]), str(told["version"]))
        except (ValueError, KeyError, TypeError) as error:
            raise RaucError("it does not say what the bundle is") from error

    def install(self, path: str) -> None:
        """Write the other slot and prefer it. Raises `RaucError`."""
        self._rauc("install", path)

    def mark(self, *, good: bool) -> None:
        """Tell the loader what the running slot is worth. Raises `RaucError`."""
        self._rauc("status", "mark-good" if good else "mark-bad")

    def is_idle(self) -> bool:
        """Does RAUC do nothing, as far as it can be asked? While it installs it does not say which slot is primary. Its property
        `Operation` is not asked: it says "idle" also when somebody else was turned away meanwhile."""
        try:
            self._bus("call", "GetPrimary")
        except RaucError:
            return False
        return True

    def last_error(self) -> str:
        """Return why RAUC did not install what it was asked last, as it says. Raises `RaucError`."""
        try:
            return str(json.loads(self._bus("get-property", "LastError"))["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise RaucError("it does not say why") from error

    def _bus(self, verb: str, name: str) -> str:
        return _run(["busctl", "--system", "--json=short", f"--timeout={_BUS_SECONDS:.0f}", verb, *_INSTALLER, name], 2 * _BUS_SECONDS)

    def _rauc(self, *words: str) -> str:
        return _run(["rauc", *words], _RAUC_SECONDS)

    # --- the trial

    def trial(self) -> Trial | None:
        """Return the trial that is kept. Raises `TrialError` when it cannot be read as one, `OSError`."""
        return _trial(self._trial)

    def aside(self) -> Trial | None:
        """Return the trial that was put aside last. Raises as `trial`."""
        return _trial(self._aside)

    def keep(self, trial: Trial) -> None:
        """Keep it: on the disk when this returns. Raises `OSError`."""
        write_durably(self._trial, trials.write(trial))
        sync_directory(self._state)

    def put_aside(self) -> bool:
        """RAUC ended without the slot: keep the trial where it is none, for the case that the slot was written all the same. Of many that
        say so of one install one gets True. Raises `OSError`."""
        return self._rename(self._trial, self._aside)

    def take_back(self) -> bool:
        """What was put aside is the trial again. False when there is nothing. Raises `OSError`."""
        return self._rename(self._aside, self._trial)

    def drop_aside(self) -> None:
        """What was put aside is over. Raises `OSError`."""
        self._remove(self._aside)

    def forget(self) -> None:
        """The trial is over, and what was put aside before it. Raises `OSError`."""
        self.drop_aside()
        self._remove(self._trial)

    def rolled_back(self) -> str:
        """Return the version that was rolled back last, "" when there was none."""
        try:
            return read_file(os.path.join(self._state, "rolled-back"), 256).decode("ascii", "replace").strip()
        except OSError:
            return ""

    def remember_rolled_back(self, version: str) -> None:
        """Keep that this version was rolled back. Raises `OSError`."""
        write_durably(os.path.join(self._state, "rolled-back"), f"{version}\n".encode())
        sync_directory(self._state)

    def is_any_trial(self) -> bool:
        """Is a slot on trial, or waits for it? What cannot be read is one: `is_on_trial` and the judge say more."""
        return os.path.exists(self._trial)

    # --- the custody log whole

    def want_whole(self, version: str) -> None:
        """Keep that the log is to be checked whole, since `version` is good. Raises `OSError`."""
        write_durably(self._whole, f"{version}\n".encode())
        sync_directory(self._state)

    def whole_wanted(self) -> str:
        """Return since which version the log is still to be checked whole, "" when it is not. Raises `OSError`."""
        try:
            return read_file(self._whole, 256).decode("ascii", "replace").strip() or "unknown"
        except FileNotFoundError:
            return ""

    def whole_found(self) -> None:
        """It was found whole. Raises `OSError`."""
        self._remove(self._whole)

    # --- what a server has still to be told

    def owe(self, owed: Owed) -> None:
        """Keep it until the server knows. Raises `OSError`."""
        write_durably(self._owed, owing.write(owed))
        sync_directory(self._state)

    def owed(self) -> Owed | None:
        """Return what is owed. Raises `OwedError` when it cannot be read, `OSError`."""
        try:
            return owing.read(read_file(self._owed, owing.MAX_BYTES))
        except FileNotFoundError:
            return None

    def paid(self) -> None:
        """The server knows, or asks no more. Raises `OSError`."""
        self._remove(self._owed)

    def is_on_trial(self) -> bool:
        """Is the slot that runs on trial, as far as can be told? When nothing can be read, it is not."""
        try:
            return trials.situation(self.trial(), self.slot(), self.boot()) is trials.Situation.ON_TRIAL
        except (trials.TrialError, LookupError, OSError):
            return False

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        sync_directory(self._state)

    def _rename(self, old: str, new: str) -> bool:
        try:
            os.rename(old, new)
        except FileNotFoundError:
            return False
        sync_directory(self._state)
        return True

    @property
    def _whole(self) -> str:
        return os.path.join(self._state, "whole")

    @property
    def _owed(self) -> str:
        return os.path.join(self._state, "owed.json")

    @property
    def _trial(self) -> str:
        return os.path.join(self._state, "trial.json")

    @property
    def _aside(self) -> str:
        return os.path.join(self._state, "aside.json")

    # --- the custody log

    def record(self, config: Config, event: str, old: Side, new: Side, code: Code, detail: str = "", ident: bytes | None = None) -> None:
        """Record what became of an update, and have it audited; under the same 16 bytes `ident` once.

        A log that does not take it in time, as while the vault is closed, gets it later: it is kept on the state partition
        (`provision.kept`). Where that has no room either it is told, and no reason to fail.
        """
        from wardgate.audit.once import outbox_of, tell  # most starts record nothing

        time_ns, quality = Clock().now()
        sides = {"from": f"{old.slot} {old.version}", "to": f"{new.slot} {new.version}"}
        text = detail[:200].encode("ascii", "replace").decode("ascii")
        fields = {"event": event, "box": config.box.name, **sides, "code": str(code), "detail": text}
        record, ident = event_record(KIND, time_ns, quality, fields), ident or os.urandom(16)
        words = f"{sides['from']} > {sides['to']} {text}".rstrip()
        deadline = time.monotonic() + self._record_seconds
        while True:
            try:
                append(config.writer_socket, record, 10.0, ident)
                tell(outbox_of(config, self._log), code, {"detail": words}, time_ns, self._log)
                return
            except (WriterGone, OSError) as error:
                if time.monotonic() > deadline:
                    problem = str(error)
                    break
                time.sleep(1.0)
        try:
            # With the id that the writer may have seen already: an answer that was lost does not make two records of it.
            kept.keep(config.box.state, BoxEvent(f"update-{event}"), str(code), words, time_ns=time_ns, quality=quality, ident=ident)
            self._log.event(Code.UPDATE_KEPT, event=event, detail=problem)
        except (KeptFull, OSError) as error:
            self._log.event(Code.UPDATE_NOT_RECORDED, event=event, detail=f"{problem}; {error}")


def _trial(path: str) -> Trial | None:
    try:
        return trials.read(read_file(path, trials.MAX_BYTES))
    except FileNotFoundError:
        return None


def _run(words: list[str], seconds: float) -> str:
    """Return what a program that asks RAUC says. Raises `RaucError`."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RaucError(str(error)) from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise RaucError(" | ".join(lines[-3:])[-400:])
    return done.stdout
