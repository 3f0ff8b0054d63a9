"""The OpenSSL configuration file that a process with a B.13 link needs: TLS 1.3 suites, groups, signature algorithms.

Python before 3.15 has no setter for them. OpenSSL reads the file once, when the process starts, from `OPENSSL_CONF`; it is for all
contexts of the process, so contexts of other profiles check after the handshake what was chosen (`context.outside_profile`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wardgate.transport import compat
from wardgate.transport.context import GROUPS
from wardgate.transport.profiles import PROFILES
from wardgate.transport.suites import TLS13

if TYPE_CHECKING:
    from wardgate.policy.model import Config

# PS3.15 B.13: ECDSA, RSASSA-PSS, RSASSA-PKCS1-v1_5 with SHA-256 or SHA-384. Also keeps SHA-1 out at security level 0.
_SIGNATURES: Final = (
    *("ECDSA+SHA256", "ECDSA+SHA384", "rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384"),
    *("rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "RSA+SHA256", "RSA+SHA384"),
)


def openssl_conf(config: Config) -> str | None:
    """Return the text of the file when a party of `config` claims a profile that needs it, else None."""
    if compat.can_set_tls13_suites():
        return None
    profiles = (PROFILES.get(tls.profile) for _, tls in config.tls_tables)
    return TEXT if any(profile is not None and profile.required13 for profile in profiles) else None


def in_memory(name: str, text: str) -> int:
    """Return the descriptor of a file in memory that stays open over exec. Raises `OSError`."""
    fd = os.memfd_create(name, 0)
    with open(os.dup(fd), "w") as file:
        file.write(text)
    return fd


def environment(config: Config, directory: Path) -> dict[str, str]:
    """Write the file into `directory` if `config` needs it; return what to add to the environment of the workers, or of `check`."""
    text = openssl_conf(config)
    if text is None:
        return {}
    path = directory / "openssl.cnf"
    partial = path.with_suffix(".partial")
    partial.write_text(text, "ascii")
    partial.replace(path)
    return {"OPENSSL_CONF": str(path)}


def process_is_ready(config: Config) -> bool:
    """Whether this process has what `config` needs. If not, `wardgate check` starts itself again with `environment`."""
    text = openssl_conf(config)
    if text is None:
        return True
    try:
        return Path(compat.process_configuration()).read_text("ascii") == text
    except (OSError, ValueError):
        return False


TEXT: Final = f"""\
# Made by Wardgate for the processes that serve a B.13 link (PS3.15 B.13).
openssl_conf = wardgate
[wardgate]
ssl_conf = wardgate_ssl
[wardgate_ssl]
system_default = wardgate_defaults
[wardgate_defaults]
Ciphersuites = {":".join(TLS13.values())}
Groups = {":".join(GROUPS)}
SignatureAlgorithms = {":".join(_SIGNATURES)}
"""
