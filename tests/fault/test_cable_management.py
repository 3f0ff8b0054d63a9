"""Management over the box's own address: OpenSSH's sshd as made from policy, called by OpenSSH's ssh, in network namespaces.

The account is `daemon` with a shell, in a mount namespace of its own: nothing of this machine's accounts is changed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.netns import Namespace, can
from support.peers import have
from support.plant import CLEAR, ENVIRONMENT, PACS, Plant
from support.processes import run, until
from wardgate.plant.sshd import prepare
from wardgate.policy.loader import load_config
from wardtools.pki import Pki

pytestmark = [
    pytest.mark.skipif(can() is not None, reason=str(can())),
    pytest.mark.skipif(not have("sshd", "ssh", "ssh-keygen"), reason="openssh-server or openssh-client is not installed"),
]
OWN, PORT = "10.77.0.9", 2222
GLASS = f'[plant.break_glass]\nallow = true\nacts = ["command"]\nminutes = 5\naddresses = ["{PACS}:{CLEAR}"]\n'


class Keeper:
    """A plant whose box has a management address on the hospital side, sshd there, and keys."""

    def __init__(self, plant: Plant, place: Path) -> None:
        self.plant, self.place = plant, place
        for name in ("keeper", "stranger"):
            assert run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]).returncode == 0
        self.keys = place / "management.keys"
        shutil.copy(place / "keeper.pub", self.keys)
        self.keys.chmod(0o644)
        (place / "host").mkdir()
        plant.settings.tables.append(
            f'[plant.management]\nside = "hospital"\naddress = "{OWN}/24"\nport = {PORT}\nsources = ["{PACS}"]\nuser = "daemon"\n'
            f'keys = "{self.keys}"\nhost_key = "{place}/host/key"\n'
        )
        plant.settings.tables.append(GLASS)

    def start(self) -> None:
        """Start netd, then sshd as its account and with no capability."""
        plant, place = self.plant, self.place
        plant.start_netd()
        prepare(load_config(str(plant.config), files=False).plant.management, str(plant.config), place)
        for path in (place / "host", place / "host/key", place / "host/key.pub", place / "sshd_config"):
            shutil.chown(path, "daemon", "daemon")
        plant.folder.chmod(0o755)
        plant.config.chmod(0o644)
        passwd = place / "passwd"
        lines = Path("/etc/passwd").read_text().splitlines()
        rest = [line for line in lines if not line.startswith("daemon:")]
        passwd.write_text("\n".join([*rest, f"daemon:x:1:1:daemon:{place}/host:/bin/sh", ""]))
        drop = "setpriv --reuid=1 --regid=1 --clear-groups --bounding-set=-all --no-new-privs"
        script = f"mount --bind {passwd} /etc/passwd && exec {drop} {shutil.which('sshd')} -D -e -f {place}/sshd_config"
        plant.programs.append(plant.box.start(["unshare", "-m", "sh", "-c", script], plant.folder / "sshd.log"))
        until(lambda: plant.box.listens(PORT), "sshd listens")
        assert run(["ssh-keygen", "-l", "-f", f"{place}/host/key.pub"]).returncode == 0

    def ssh(self, *words: str, by: Namespace | None = None, key: str = "keeper", options: tuple[str, ...] = ()) -> CompletedProcess[str]:
        """Call the box from the PACS's place."""
        known = self.place / "known"
        known.write_text(f"[{OWN}]:{PORT} {(self.place / 'host/key.pub').read_text()}")
        fixed = (
            "-o",
            f"UserKnownHostsFile={known}",
            "-o",
            "IdentitiesOnly=yes",
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
        )
        argv = ["ssh", *fixed, *options, "-o", "ConnectTimeout=50", "-i", str(self.place / key), "-p", str(PORT), f"daemon@{OWN}", *words]
        return (by or self.plant.pacs).run(*argv, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def keeper(pki: Pki) -> Iterator[Keeper]:
    """All of it, running. Not below /tmp: sshd trusts no file in a folder that everybody may write."""
    with tempfile.TemporaryDirectory(prefix="wg-", dir="/run") as place, tempfile.TemporaryDirectory(prefix="wg-") as name:
        Path(place).chmod(0o755)
        plant = Plant(Path(name), pki)
        try:
            made = Keeper(plant, Path(place))
            made.start()
            yield made
        finally:
            plant.close()


def test_a_keeper_with_a_key_sees_the_plant(keeper: Keeper) -> None:
    done = keeper.ssh("plant", "status")
    assert done.returncode == 0 and "ports bridge: policy holds" in done.stdout, done.stdout


def test_a_keeper_with_a_key_sees_the_gateway_and_not_what_is_its_own_accounts(keeper: Keeper) -> None:
    plant = keeper.plant
    plant.start_gateway()
    assert keeper.ssh("status").returncode == 1, "the run directory is for its group only"
    # On the box the account of management is in the gateway's group; here the gateway is root.
    for path in (plant.folder / "run", plant.folder / "run/status.sock"):
        shutil.chown(path, group="daemon")
    done = keeper.ssh("status")
    assert done.returncode == 0, done.stdout
    assert "ward-ct1: serving, up" in done.stdout and "plant: bridge, policy holds" in done.stdout and "worker 0: pid" in done.stdout
    assert "custody, hold: only the gateway's own account may ask" in done.stdout
    assert "records durable" in plant.ask("status", "-c", str(plant.config)).stdout
    assert plant.gateway is not None
    plant.stop(plant.gateway)


@pytest.mark.parametrize(
    "command", ["sh", "plant status; id", "plant rules", "cat /etc/passwd", "", "plant status extra", "$(id)", "scp -t /tmp"]
)
def test_there_is_no_shell_and_nothing_but_the_verbs(keeper: Keeper, command: str) -> None:
    done = keeper.ssh(command)
    assert done.returncode == 2 and "plant confirm" in done.stdout and "uid=" not in done.stdout and "root:" not in done.stdout


def test_there_is_no_terminal_no_forwarding_and_no_file_transfer(keeper: Keeper) -> None:
    assert "PTY allocation request failed" in keeper.ssh("plant", "status", options=("-tt",)).stdout
    refused = keeper.ssh("-N", options=("-o", "ExitOnForwardFailure=yes", "-R", "9999:127.0.0.1:22"))
    assert refused.returncode == 255 and "forward" in refused.stdout
    assert keeper.ssh(options=("-s", "-o", "RequestTTY=no"), by=keeper.plant.pacs).returncode != 0  # no subsystem, sftp or other
    assert keeper.ssh(options=("-W", "127.0.0.1:22")).returncode == 255


def test_a_key_that_is_not_named_is_refused(keeper: Keeper) -> None:
    done = keeper.ssh("plant", "status", key="stranger")
    assert done.returncode == 255 and "Permission denied (publickey)" in done.stdout


def test_a_password_is_not_even_asked_for(keeper: Keeper) -> None:
    options = ("-o", "BatchMode=no", "-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password,keyboard-interactive")
    done = keeper.ssh("plant", "status", options=options)
    assert done.returncode == 255 and "Permission denied (publickey)" in done.stdout


def test_no_other_account_is_let_in(keeper: Keeper) -> None:
    for account in ("root", "nobody"):
        done = keeper.ssh("plant", "status", options=("-l", account, "-o", f"User={account}"))
        # The address line of `ssh` names the account once more; the option given first counts.
        assert done.returncode == 255 and f"{account}@{OWN}: Permission denied" in done.stdout, done.stdout


@pytest.mark.parametrize("who", ["intruder", "modality"])
def test_who_is_not_named_or_is_on_the_other_side_reaches_nothing_even_with_the_key(keeper: Keeper, who: str) -> None:
    done = keeper.ssh("plant", "status", by=getattr(keeper.plant, who), options=("-o", "ConnectTimeout=3"))  # the first word of it counts
    assert done.returncode == 255 and "timed out" in done.stdout


def test_break_glass_started_over_it_names_the_key(keeper: Keeper) -> None:
    key = run(["ssh-keygen", "-l", "-f", str(keeper.keys)]).stdout.split()[1]
    done = keeper.ssh("break-glass", "start", "key", "service", "dead")
    assert done.returncode == 0 and key in done.stdout and "key service dead" in done.stdout, done.stdout
    assert keeper.ssh("break-glass", "end").returncode == 0
    begin = (keeper.plant.folder / "state/bypass.jsonl").read_text().splitlines()[0]
    assert key in begin and "daemon" in begin


def test_the_rule_set_lets_nothing_else_of_the_box_be_reached(keeper: Keeper) -> None:
    for port in (22, CLEAR, PORT + 1):
        assert keeper.plant.pacs.run("timeout", "2", "bash", "-c", f"echo >/dev/tcp/{OWN}/{port}").returncode != 0
