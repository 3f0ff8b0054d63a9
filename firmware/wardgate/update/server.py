"""The little of hawkBit's Direct Device Integration that rauc-hawkbit-updater cannot do: say after the restart how an update ended.

Facts: hawkBit's DDI API reference. The client closes an action as soon as RAUC has written the slot; RAUC's handler stops it before, the
action stays open, and what became of it is told here when the slot was judged.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from wardgate.custody.files import read_file
from wardgate.transport.patience import connect_until
from wardgate.update.owed import Ending, Owed

if TYPE_CHECKING:
    from wardgate.policy.updates import Updates

_STEP_SECONDS: Final = 30.0  # connect, and each wait for bytes
_TOTAL_SECONDS: Final = 90.0
_MAX_ANSWER: Final = 1 << 20
_MAX_TOKEN: Final = 512
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,256}")
_ACTION: Final = re.compile(r"/deploymentBase/([0-9]{1,19})(?:[/?]|$)")


class ServerAway(Exception):
    """No answer that can be used came. Never carries the token."""


class TokenError(Exception):
    """The file has no token that could be one."""


def read_token(updates: Updates) -> str:
    """Return the device's secret. Raises `TokenError`."""
    try:
        token = read_file(str(updates.token), _MAX_TOKEN).decode("ascii", "replace").strip()
    except OSError as error:
        raise TokenError(f"{updates.token}: {error.strerror}") from error
    if not _TOKEN.fullmatch(token):
        raise TokenError(f"{updates.token}: one line of 8 to 256 letters, digits and . _ ~ + / = -")
    return token


class Server:
    """The server, as this device sees it."""

    def __init__(self, updates: Updates, token: str) -> None:
        self._updates = updates
        self._headers = {"Authorization": f"TargetToken {token}", "Accept": "application/json", "Connection": "close"}
        self._base = f"/{updates.tenant}/controller/v1/{updates.device}"

    def open_action(self, bundle: str) -> str | None:
        """Return the number of the action that wants `bundle` (SHA-1, hex) here; None when none does any more. Raises `ServerAway`."""
        links = self._ask("GET", "").get("_links")
        base = links.get("deploymentBase") if isinstance(links, dict) else None
        href = base.get("href") if isinstance(base, dict) else None
        # Only the number is taken from what the server says: where to call is the policy's.
        found = _ACTION.search(href) if isinstance(href, str) else None
        if found is None:
            return None
        wanted = self._ask("GET", f"/deploymentBase/{found[1]}")
        return found[1] if bundle in _digests(wanted) else None

    def close(self, action: str, owed: Owed) -> None:
        """Tell how it ended. Raises `ServerAway`."""
        finished = "success" if owed.ending is Ending.GOOD else "failure"
        details = [f"version {owed.version}: {owed.ending.value}" + (f", {owed.detail}" if owed.detail else "")]
        status = {"execution": "closed", "result": {"finished": finished}, "details": details}
        body = {"id": action, "time": time.strftime("%Y%m%dT%H%M%S", time.gmtime()), "status": status}
        self._ask("POST", f"/deploymentBase/{action}/feedback", body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        where = self._updates.server
        deadline = time.monotonic() + _TOTAL_SECONDS
        try:
            context = ssl.create_default_context(cafile=str(self._updates.anchors))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            connection = http.client.HTTPSConnection(where.host, where.port, timeout=_STEP_SECONDS, context=context)
            try:
                headers = {**self._headers, **({"Content-Type": "application/json"} if body is not None else {})}
                connect_until(connection, deadline)
                connection.request(method, self._base + path, json.dumps(body) if body is not None else None, headers)
                response = connection.getresponse()
                answer = bytearray()
                while chunk := response.read1(65536):
                    answer += chunk
                    if len(answer) > _MAX_ANSWER:
                        raise ServerAway(f"{where.text}: its answer is too long")
            finally:
                connection.close()
            if response.status // 100 != 2:
                raise ServerAway(f"{where.text}: {method} is answered with {response.status}")
            table = json.loads(answer) if answer else {}
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise ServerAway(f"{where.text}: {type(error).__name__} {error}") from error
        if not isinstance(table, dict):
            raise ServerAway(f"{where.text}: its answer is no JSON object")
        return table


def _digests(wanted: dict[str, Any]) -> set[str]:
    """Return the SHA-1 of every artifact of a deployment. What is not shaped like one has none."""
    found: set[str] = set()
    deployment = wanted.get("deployment")
    for chunk in _list(deployment, "chunks"):
        for artifact in _list(chunk, "artifacts"):
            hashes = artifact.get("hashes") if isinstance(artifact, dict) else None
            if isinstance(hashes, dict) and isinstance(hashes.get("sha1"), str):
                found.add(hashes["sha1"].lower())
    return found


def _list(table: Any, word: str) -> list[Any]:
    value = table.get(word) if isinstance(table, dict) else None
    return value if isinstance(value, list) else []
