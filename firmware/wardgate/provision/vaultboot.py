"""`python -m wardgate.provision.vaultboot [--close]`: opens the vault by TPM or token; makes it at the first boot.

Run by the unit wardgate-vault. When the vault stays closed the unit fails, and what needs the vault does not start; a verdict says why.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from wardgate.codes import Code
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.log import Log
from wardgate.provision import blkpg, kept, standing
from wardgate.provision.kept import BoxEvent, KeptFull
from wardgate.provision.vault import (
    HEAD,
    KEY_BYTES,
    MAPPED,
    Act,
    Marker,
    Policy,
    PolicyError,
    Step,
    content,
    decide,
    grow_steps,
    is_pin_refused,
    make_steps,
    open_steps,
    parse_pin,
    parse_policy,
)

MARKER: Final = "floor/vault.json"  # below the state partition
POLICY: Final = "wardgate/vault.toml"
PIN: Final = "wardvault/pin"  # of the token; readable by root and this account alone, and not signed
_STEP_SECONDS: Final = 300.0
_LOCK_SECONDS: Final = 60.0
_NODE_SECONDS: Final = 30.0
# systemd's programs take a token's PIN from their environment, and from nowhere else when nobody is there to be asked. They take it out
# there: systemd-cryptsetup tries libcryptsetup's modules for tokens first, and asks the token itself afterwards without a PIN.
_PIN_ONCE: Final = {"SYSTEMD_CRYPTSETUP_USE_TOKEN_MODULE": "0"}

Run = Callable[[Step, int], str]


class StepFailed(Exception):
    """A command said no; its last words."""


class PinRefused(StepFailed):
    """The token did not take the PIN."""


def run_step(step: Step, key: int) -> str:
    """Run one command with the key's descriptor open in it; return what it printed. Raises `StepFailed`, `PinRefused`."""
    try:
        done = subprocess.run(
            step.argv,
            input=step.stdin,
            capture_output=True,
            text=True,
            timeout=_STEP_SECONDS,
            check=False,
            pass_fds=(key,) if key >= 0 else (),
            env={**os.environ, "PIN": step.pin, **_PIN_ONCE} if step.pin else None,
        )
    except subprocess.TimeoutExpired as error:
        # With a PIN that was refused it waits for somebody to type another.
        kind = PinRefused if step.pin and is_pin_refused((error.stderr or b"").decode("utf-8", "replace")) else StepFailed
        raise kind(f"{step.word}: {step.argv[0]} did not end within {_STEP_SECONDS:.0f} s") from error
    except OSError as error:
        raise StepFailed(f"{step.word}: {type(error).__name__} {step.argv[0]}") from error
    if done.returncode:
        last = " / ".join(done.stderr.strip().splitlines()[-2:])  # the last line says what it gave up with, the one before why
        kind = PinRefused if step.pin and is_pin_refused(done.stderr) else StepFailed
        raise kind(f"{step.word}: {os.path.basename(step.argv[0])} ended with {done.returncode}: {last[:300]}")
    if step.node:
        _await_node(step)
    return done.stdout


def _await_node(step: Step) -> None:
    """Return when udev has made the name of a device. Raises `StepFailed` when it does not within `_NODE_SECONDS`."""
    deadline = time.monotonic() + _NODE_SECONDS
    while not os.path.exists(step.node):
        if time.monotonic() > deadline:
            raise StepFailed(f"{step.word}: {step.node} was not there within {_NODE_SECONDS:.0f} s")
        time.sleep(0.05)


@contextlib.contextmanager
def undisturbed(disk: str) -> Iterator[None]:
    """Hold the lock of a whole disk by which udev keeps from looking into it (systemd.io, BLOCK_DEVICE_LOCKING). "": nothing is held.

    A change of the table has udev read every partition, and writing to one that is read can fail. Raises `StepFailed`, `OSError`.
    """
    if not disk:
        yield
        return
    fd = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise StepFailed(f"{disk} is held by somebody else") from error
                time.sleep(0.1)
        yield
    finally:
        os.close(fd)


class VaultBoot:
    """One look at one partition."""

    def __init__(self, device: str, state: str, console: str, log: Log, run: Run = run_step, verdicts: str = standing.VERDICTS) -> None:
        self._device, self._state, self._console, self._log, self._run = device, state, console, log, run
        self._verdicts = verdicts

    def go(self) -> int:
        """Return the exit status: 0 the vault can be opened, 1 it cannot."""
        try:
            with open(self._device, "rb") as file:
                found, uuid = content(file.read(HEAD))
            marker = self._marker()
            act, policy, pin = decide(found, uuid, marker), self._policy(), self._pin()
            if act is Act.MAKE:
                self._make(policy, pin)
            elif act is Act.OPEN:
                if not marker.uuid:
                    self._mark(Marker(uuid))
            else:
                lost = act is Act.LOST
                why = "it is not the vault that was made here" if lost else "its partition holds something that is no vault"
                return self._refuse(Code.VAULT_LOST if lost else Code.VAULT_NOT_MADE, why, lost=lost)
        except PolicyError as error:
            return self._refuse(Code.VAULT_POLICY_WRONG, str(error), policy=True)
        except (OSError, StepFailed) as error:
            self._put_away(error)
            return self._refuse(Code.VAULT_NOT_MADE, str(error))
        return self._open(policy, pin)

    def _open(self, policy: Policy, pin: str) -> int:
        if os.path.exists(f"/dev/mapper/{MAPPED}"):
            standing.say("vault", True, folder=self._verdicts)
            return 0
        problems = []
        for step in open_steps(_program(), self._device, policy, pin):
            try:
                self._run(step, -1)
            except StepFailed as error:
                self._put_away(error)
                problems.append(str(error))
                continue
            self._log.event(Code.VAULT_OPENED, how=step.word)
            standing.say("vault", True, folder=self._verdicts)
            return 0
        self._log.event(Code.VAULT_CLOSED, detail="; ".join(problems))
        standing.say("vault", False, "; ".join(problems), self._verdicts, closed=True)
        if not kept.has(self._state, BoxEvent.VAULT_CLOSED):
            self._keep(BoxEvent.VAULT_CLOSED, Code.VAULT_CLOSED, "; ".join(problems))
        return 1

    def _make(self, policy: Policy, pin: str) -> None:
        self._mark(Marker(is_making=True))
        disk, number = self._disk()
        key = os.memfd_create("vault", os.MFD_CLOEXEC)  # in memory alone, and unlike a pipe it can be read by several commands
        try:
            with undisturbed(disk):
                if disk:
                    self._grow(disk, number)
                self._make_on(policy, key, pin)
        finally:
            os.close(key)
        with open(self._device, "rb") as file:
            _, uuid = content(file.read(HEAD))
        self._mark(Marker(uuid))
        self._log.event(Code.VAULT_MADE, uuid=uuid, opened_by=",".join(way.value for way in policy.unlock))
        self._keep(BoxEvent.VAULT_MADE, Code.VAULT_MADE, uuid)

    def _make_on(self, policy: Policy, key: int, pin: str) -> None:
        os.write(key, os.getrandom(KEY_BYTES))
        for step in make_steps(_program(), self._device, policy, f"/proc/self/fd/{key}", pin):
            said = self._run(step, key)
            if step.is_secret:
                self._show(said.strip())

    def _keep(self, event: BoxEvent, code: Code, detail: str) -> None:
        try:
            kept.keep(self._state, event, str(code), detail)
        except (KeptFull, OSError) as error:
            self._log.event(Code.KEPT_NO_ROOM, detail=error)

    def _disk(self) -> tuple[str, int]:
        """Return the disk that the partition is of and its number; "", 0 for a file or a whole disk."""
        name = os.path.basename(os.path.realpath(self._device))
        try:
            number = int(read_file(f"/sys/class/block/{name}/partition", 16))
        except (OSError, ValueError):
            return "", 0
        return "/dev/" + os.path.basename(os.path.dirname(os.path.realpath(f"/sys/class/block/{name}"))), number

    def _grow(self, disk: str, number: int) -> None:
        said = [self._run(step, -1) for step in grow_steps(disk, number)]
        name = os.path.basename(os.path.realpath(self._device))
        try:
            blkpg.resize(disk, number, int(read_file(f"/sys/class/block/{name}/start", 32)), int(said[-1]))
        except (ValueError, OSError) as error:
            raise StepFailed(f"tell the kernel the partition's size: {error}") from error

    def _show(self, recovery: str) -> None:
        """Once, to the console, to nobody else: not to the log, not to a file."""
        with open(self._console, "w", encoding="utf-8") as console:
            console.write(f"\n\nWARDGATE: recovery key of the vault, shown once. Write it down and lock it away:\n\n    {recovery}\n\n")

    def _policy(self) -> Policy:
        try:
            return parse_policy(read_file(os.path.join(self._state, POLICY), 65536).decode("utf-8", "replace"))
        except FileNotFoundError:
            return Policy()
        except PolicyError as error:
            raise PolicyError(f"{POLICY}: {error}") from error

    def _pin(self) -> str:
        try:
            return parse_pin(read_file(os.path.join(self._state, PIN), 256))
        except FileNotFoundError:
            return ""
        except PolicyError as error:
            raise PolicyError(f"{PIN}: {error}") from error

    def _put_away(self, error: Exception) -> None:
        """A PIN that the token refused is not tried again, half minute after half minute, until the card is blocked."""
        if not isinstance(error, PinRefused):
            return
        path = os.path.join(self._state, PIN)
        os.rename(path, f"{path}.refused")
        sync_directory(os.path.dirname(path))
        self._log.event(Code.VAULT_PIN_REFUSED, detail=f"{path}.refused")

    def _marker(self) -> Marker:
        try:
            said = json.loads(read_file(os.path.join(self._state, MARKER), 4096))
        except FileNotFoundError:
            return Marker()
        except ValueError as error:
            raise StepFailed(f"{MARKER} is damaged, so whether a vault was made is not known") from error
        return Marker(str(said.get("uuid", "")), bool(said.get("making")))

    def _mark(self, marker: Marker) -> None:
        path = os.path.join(self._state, MARKER)
        write_durably(path, json.dumps({"uuid": marker.uuid, "making": marker.is_making}).encode())
        sync_directory(os.path.dirname(path))

    def _refuse(self, code: Code, why: str, **told: bool) -> int:
        self._log.event(code, detail=why)
        standing.say("vault", False, why, self._verdicts, **told)
        return 1


def _program() -> str:
    """systemd-cryptsetup lies in another place before systemd 255."""
    places = ("/usr/bin/systemd-cryptsetup", "/usr/lib/systemd/systemd-cryptsetup", "/lib/systemd/systemd-cryptsetup")
    return next((place for place in places if os.path.exists(place)), places[0])


def main(arguments: Sequence[str]) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m wardgate.provision.vaultboot")
    parser.add_argument("--device", default="/dev/disk/by-partlabel/vault")
    parser.add_argument("--state", default="/state")
    parser.add_argument("--console", default="/dev/console")
    parser.add_argument("--close", action="store_true")
    options = parser.parse_args(arguments)
    if options.close:
        try:
            run_step(Step("close the vault", (_program(), "detach", MAPPED)), -1)
        except StepFailed as error:
            sys.stderr.write(f"{error}\n")
            return 1
        return 0
    return VaultBoot(options.device, options.state, options.console, Log("vault")).go()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
