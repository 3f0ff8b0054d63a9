"""A running key service of a test."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.processes import READY_SECONDS, Program, until
from support.softhsm import PIN, SoftHsm, python_path
from wardkeys.client import KeyClient
from wardkeys.errors import KeyServiceError


class KeyService:
    """`python -m wardkeys run` below `folder`. Add tokens, then `start`."""

    def __init__(self, folder: Path, env: Mapping[str, str], **words: object) -> None:
        self.folder = folder
        self.socket = folder / "keys.sock"
        self.client = KeyClient(str(self.socket), 30.0)
        self._env = {**env, **python_path()}
        self._lines = [f'socket = "{self.socket}"', *(f"{name} = {_toml(value)}" for name, value in words.items())]
        self._program: Program | None = None

    def add_token(self, name: str, module: str | Path, label: str | None = None, pin: str | None = PIN, **words: object) -> Path:
        """Add a `[[token]]`; return the path of its PIN file."""
        pin_file = self.folder / f"{name}.pin"
        every: dict[str, object] = {"name": name, "module": str(module), "label": label or name, **words}
        if pin is not None:
            self.set_pin(name, pin)
            every["pin_file"] = str(pin_file)
        self._lines += ["[[token]]", *(f"{word} = {_toml(value)}" for word, value in every.items())]
        return pin_file

    def add_user(self, uid: int, keys: Sequence[str], purposes: Sequence[str]) -> None:
        """Add a `[[user]]`: from now on nobody may do what no table says."""
        self._lines += ["[[user]]", f"uid = {uid}", f"keys = {list(keys)}", f"purposes = {list(purposes)}"]

    def set_pin(self, name: str, pin: str) -> None:
        """Write the PIN file of a token."""
        path = self.folder / f"{name}.pin"
        path.write_text(pin + "\n")
        path.chmod(0o600)

    @property
    def config(self) -> Path:
        """keys.toml."""
        return self.folder / "keys.toml"

    def start(self, argv: Sequence[str] = ()) -> KeyService:
        """Start it (below `argv`, e.g. setpriv) and wait until it answers."""
        self.config.write_text("\n".join(self._lines) + "\n")
        run = [*argv, sys.executable, "-m", "wardkeys", "run", str(self.config)]
        self._program = Program(run, self.folder / "keys.log", self._env)
        until(self._answers, "the key service answers")
        return self

    def _answers(self) -> bool:
        if not self.program.running():
            raise AssertionError(f"the key service ended:\n{self.log}")
        try:
            self.client.status()
        except KeyServiceError:
            return False
        return True

    @property
    def program(self) -> Program:
        """The running program."""
        assert self._program is not None
        return self._program

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.program.log

    def state(self, name: str) -> str:
        """Return the state of one token."""
        return str(self.row(name)["state"])

    def row(self, name: str) -> dict[str, object]:
        """Return what STATUS says of one token."""
        return next(row for row in self.client.status()["tokens"] if row["name"] == name)

    def until_state(self, name: str, state: str, seconds: float = READY_SECONDS) -> None:
        """Wait until a token is in `state`."""
        until(lambda: self.state(name) == state, f"token {name} is {state}", seconds)

    def reload(self) -> None:
        """Tell it to look at its PIN files."""
        self.program.signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it."""
        if self._program is not None:
            self._program.stop()


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float, list)) else f'"{value}"'


@contextmanager
def over_softhsm(*keys: tuple[str, str]) -> Iterator[KeyService]:
    """A key service that runs, with a SoftHSM token `ward-ct1` that has these key pairs (see `SoftHsm.provision`)."""
    with tempfile.TemporaryDirectory(prefix="wk-") as name:
        hsm = SoftHsm(Path(name))
        hsm.new_token("ward-ct1")
        hsm.provision("ward-ct1", *keys)
        made = KeyService(Path(name), hsm.env)
        made.hsm = hsm
        made.add_token("ct1", hsm.module, "ward-ct1")
        try:
            yield made.start()
        finally:
            made.stop()
