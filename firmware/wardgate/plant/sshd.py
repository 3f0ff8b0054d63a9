"""The management service: OpenSSH's sshd with a configuration made from policy. `python -m wardgate.plant.sshd [--wanted] -c FILE FOLDER`.

It runs as an account of its own, never as root: it can let in nobody but that account. Keys only; one forced command (`plant.console`); no
terminal, no forwarding. `FOLDER` gets `sshd_config`; the host key is made at the first start. The rule set lets callers reach it by the
named port and address only, whatever sshd thinks.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from ipaddress import ip_interface
from pathlib import Path

from wardgate.policy.loader import load_config
from wardgate.policy.mistakes import ConfigErrors
from wardgate.policy.plant import Management, Ports, Side

_WRONG = 255
_SECONDS = 60


def config_text(management: Management, policy: str, folder: Path, python: str = sys.executable) -> str:
    """Return sshd_config(5). What is not named here is off or has no use without a shell."""
    own = ip_interface(management.address).ip
    listen = f"[{own}]:{management.port}" if own.version == 6 else f"{own}:{management.port}"
    console = shlex.join([python, "-P", "-m", "wardgate.plant.console", "-c", policy])
    rows = {
        "ListenAddress": listen,
        "HostKey": str(management.host_key),
        "PidFile": "none",
        "AllowUsers": management.user,
        "PermitRootLogin": "no",
        "AuthenticationMethods": "publickey",
        "PubkeyAuthentication": "yes",
        "AuthorizedKeysFile": str(management.keys),
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "HostbasedAuthentication": "no",
        "PermitEmptyPasswords": "no",
        "PermitUserEnvironment": "no",
        "PermitUserRC": "no",
        "PermitTTY": "no",
        "DisableForwarding": "yes",
        "ForceCommand": console,
        "ExposeAuthInfo": "yes",
        "PrintMotd": "no",
        "Compression": "no",
        "MaxAuthTries": "3",
        "MaxSessions": "1",
        "MaxStartups": "4:50:8",
        "LoginGraceTime": "20",
        "ClientAliveInterval": "30",
        "ClientAliveCountMax": "2",
        "LogLevel": "VERBOSE",  # names the fingerprint of the key
        "KexAlgorithms": "sntrup761x25519-sha512@openssh.com,curve25519-sha256,ecdh-sha2-nistp256",
        "Ciphers": "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com",
        "MACs": "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com",
        "HostKeyAlgorithms": "ssh-ed25519",
        "PubkeyAcceptedAlgorithms": "ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,sk-ecdsa-sha2-nistp256@openssh.com,"
        "rsa-sha2-512",
    }
    head = f"# Made from {policy} by wardgate.plant.sshd in {folder}; changes are lost.\n"
    return head + "".join(f"{word} {value}\n" for word, value in rows.items())


def prepare(management: Management, policy: str, folder: Path) -> None:
    """Write the configuration; make the host key if there is none. Raises `OSError`, `subprocess.SubprocessError`."""
    key = management.host_key
    if not key.exists():
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "wardgate", "-f", str(key)]
        subprocess.run(words, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=True)
    path = folder / "sshd_config"
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(config_text(management, policy, folder))


def main() -> int:
    """Run it. With `--wanted`: 0 yes, 1 management is off, 255 the policy has mistakes (for ExecCondition= of systemd)."""
    words = sys.argv[1:]
    asking = words[:1] == ["--wanted"]
    words = words[1:] if asking else words
    if len(words) != (2 if asking else 3) or words[0] not in ("-c", "--config"):
        sys.stderr.write("usage: python -m wardgate.plant.sshd -c FILE FOLDER | --wanted -c FILE\n")
        return 2
    try:
        plant = load_config(words[1], files=False).plant
    except ConfigErrors as errors:
        sys.stderr.write(f"{errors}\n")
        return _WRONG
    off = plant.management.side is Side.OFF or plant.ports is Ports.NONE
    if asking or off:
        return 1 if off else 0
    try:
        prepare(plant.management, os.path.abspath(words[1]), Path(words[2]))
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
