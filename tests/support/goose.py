"""goosebit, an update server that speaks hawkBit's device interface, under TLS on the loopback address (`tools/goosebit.sh`)."""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from support.imagekit import authority
from support.processes import Program, listens, run, until
from support.units import TREE
from wardtools.pki import Leaf
from wardtools.release.cli import main as release

MADE = TREE / "build" / "hawkbit"
_SERVER = TREE / "build" / "goosebit" / "bin" / "python"
_SECONDS = 60.0
# Its own tool for this (aerich) wants a configuration in the folder where it is called.
_TABLES = """\
import asyncio
from goosebit.db.config import TORTOISE_CONF
from tortoise import Tortoise
async def make():
    await Tortoise.init(config=TORTOISE_CONF)
    await Tortoise.generate_schemas()
    await Tortoise.close_connections()
asyncio.run(make())
"""


def missing() -> str | None:
    """Return why there is neither client nor server here, None when there are. They are made at the first call, of a tree that is given."""
    if not os.environ.get("HAWKBIT_DIR") and not (MADE / "made").exists():
        return "no update server's client: HAWKBIT_DIR= names no tree of rauc-hawkbit-updater (docs/update.md)"
    return server_missing() or _made("hawkbit.sh")


def server_missing() -> str | None:
    """Return why there is no server here, None when there is. It is made at the first call, of what PyPI has."""
    return _made("goosebit.sh")


def _made(tool: str) -> str | None:
    made = subprocess.run([TREE / "tools" / tool], capture_output=True, text=True, check=False, timeout=600)
    return None if made.returncode == 0 else made.stderr.strip()[-300:]


def small_bundle(folder: Path, board: str, version: str, of: str) -> Path:
    """Return a small bundle for `board`, signed by the release key `of`."""
    images, out = folder / f"images{version}", folder / f"{version}.raucb"
    images.mkdir()
    for name in ("boot.vfat", "root.img"):
        (images / name).write_bytes(os.urandom(90_000))
    who = authority(folder / of, f"TEST ONLY {of}")
    words = ["sign", images, out, "--compatible", board, "--version", version, "--certificate", who.certificate]
    assert release([str(word) for word in (*words, "--unsafe-key-file", who.key)]) == 0
    return out


class Goose:
    """The server. Use as a context manager."""

    def __init__(self, folder: Path, port: int, leaf: Leaf, root: Path) -> None:
        self._url = f"https://localhost:{port}"
        self._port = port
        self._trust = ssl.create_default_context(cafile=str(root))
        self._token = ""
        self._environment = {
            "GOOSEBIT_DB_URI": f"sqlite:///{folder / 'goose.sqlite'}",
            "GOOSEBIT_ARTIFACTS_DIR": str(folder / "artifacts"),
            "GOOSEBIT_POLL_TIME": "00:00:05",
            "GOOSEBIT_DEVICE_AUTH": json.dumps({"enable": True, "mode": "strict"}),
        }
        self._words = [str(_SERVER), "-m", "uvicorn", "goosebit:app", "--host", "127.0.0.1", "--port", str(port), "--no-use-colors"]
        self._words += ["--ssl-certfile", str(leaf.chain), "--ssl-keyfile", str(leaf.key)]
        self._folder = folder
        self._program: Program | None = None

    def __enter__(self) -> Goose:
        done = run([_SERVER, "-c", _TABLES], 120, env=self._environment)
        assert done.returncode == 0, done.stdout[-2000:]
        self._program = Program(self._words, self._folder / "goose.log", env=self._environment)
        # Seconds alone; on a busy machine it has taken more than a minute.
        until(lambda: listens(self._port), "goosebit listens", 240)
        form = urllib.parse.urlencode({"username": "admin@example.org", "password": secrets.token_hex(8)}).encode()
        self._token = self._ask("POST", "/setup", form, "application/x-www-form-urlencoded")["access_token"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._program is not None
        self._program.stop()

    @property
    def log(self) -> str:
        """What it said."""
        assert self._program is not None
        return self._program.log

    def upload(self, bundle: Path) -> str:
        """Give it a bundle; return its number there."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{bundle.name}"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        body = head.encode() + bundle.read_bytes() + f"\r\n--{mark}--\r\n".encode()
        return str(self._ask("PUT", "/api/v1/software", body, f"multipart/form-data; boundary={mark}")["id"])

    def device(self, name: str, token: str) -> None:
        """Make a device known, with its secret."""
        self._json("PUT", {"devices": [name], "auth_token": token})

    def introduce(self, name: str, token: str, board: str) -> None:
        """Say as the device what it is, as its client would: bundles for another board cannot be assigned to it."""
        body = json.dumps({"data": {"hw_boardname": board, "hw_revision": "default", "sw_version": "1.0.0"}}).encode()
        head = {"Content-Type": "application/json", "Authorization": f"TargetToken {token}"}
        request = urllib.request.Request(f"{self._url}/DEFAULT/controller/v1/{name}/configData", body, head, method="PUT")
        with urllib.request.urlopen(request, timeout=_SECONDS, context=self._trust) as answer:
            assert answer.status == 200, answer.status

    def assign(self, name: str, software: str) -> None:
        """Want a version on a device, also after one that failed."""
        self._json("PATCH", {"devices": [name], "software": software, "force_update": True})

    def state(self, name: str) -> str:
        """Return what the device said of its last update."""
        # Asked for one device that is to have something, goosebit 0.2.12 fails (500): asked for all, it does not.
        return next(str(row["last_state"]) for row in self._ask("GET", "/api/v1/devices")["devices"] if row["id"] == name)

    def told(self, name: str) -> str:
        """Return the words of the device's last update."""
        return str(self._ask("GET", f"/api/v1/devices/{name}/log")["log"])

    def _json(self, method: str, table: dict[str, Any]) -> None:
        assert self._ask(method, "/api/v1/devices", json.dumps(table).encode(), "application/json")["success"] is True

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        request = urllib.request.Request(self._url + path, body, method=method)
        if kind:
            request.add_header("Content-Type", kind)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS, context=self._trust) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from error
