"""What rauc-hawkbit-updater is given: its configuration, made from `[updates]`, and the authorities that it believes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wardgate.custody.files import read_file, write_durably

if TYPE_CHECKING:
    from wardgate.policy.updates import Updates

FOLDER: Final = "/run/wardgate-hawkbit"  # RuntimeDirectory= of wardgate-hawkbit-begin.service
FETCHED: Final = "/vault/hawkbit/update.raucb"  # image/common/overlay/usr/lib/wardgate/before-install knows it too
_MAX_ANCHORS: Final = 1 << 20
_CONFIGURATION: Final = """\
# Made from [updates] of the policy at each start; a change here is lost.
[client]
hawkbit_server = {server}
ssl = true
ssl_verify = true
tenant_id = {tenant}
target_name = {device}
auth_token = {token}
bundle_download_location = {fetched}
connect_timeout = 20
timeout = 60
retry_wait = {retry}
post_update_reboot = false
log_level = message

[device]
hw_boardname = {board}
hw_revision = default
sw_version = {version}
"""


def configuration(updates: Updates, token: str, board: str, version: str, fetched: str = FETCHED) -> str:
    """Return the client's file. `board`: RAUC's compatible string."""
    return _CONFIGURATION.format(
        server=updates.server.text, tenant=updates.tenant, device=updates.device, token=token, fetched=fetched,
        retry=updates.retry_seconds, board=board, version=version,
    )  # fmt: skip


def give(updates: Updates, token: str, board: str, version: str, folder: str = FOLDER) -> None:
    """Write it below `folder`, with the authorities where the client's libcurl looks. Raises `OSError`."""
    certificates = Path(folder, "certs")
    certificates.mkdir(exist_ok=True)
    certificates.chmod(0o755)  # the client runs as another account
    bundle = certificates / "ca-certificates.crt"
    write_durably(str(bundle), read_file(str(updates.anchors), _MAX_ANCHORS))
    bundle.chmod(0o644)
    descriptor = os.open(os.path.join(folder, "client.conf"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(configuration(updates, token, board, version).encode("ascii"))


def take_back(folder: str = FOLDER) -> None:
    """The client is to have nothing, and so does not start. Raises `OSError`."""
    for name in ("client.conf", "certs"):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
