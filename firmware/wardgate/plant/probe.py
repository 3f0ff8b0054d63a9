"""Finds out what this kernel can do, in a network namespace of its own that vanishes: nothing of the host is touched.

`python -m wardgate.plant.probe` prints it; `probe()` is for `netd` and the tests. Needs CAP_SYS_ADMIN for the namespace.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys

from wardgate.plant.features import Features, lines

IP_TRANSPARENT = 19
_SECONDS = 30

_RULES = {
    "nft_bridge": ("bridge", "accept"),
    "nft_inet": ("inet", "accept"),
    "tproxy": ("inet", "meta l4proto tcp tproxy ip to 127.0.0.1:104 meta mark set 1"),
    "broute": ("bridge", "meta broute set 1"),
    "bridge_conntrack": ("bridge", "ct state established accept"),
    "limit_log": ("bridge", 'limit rate 1/second log prefix "x"'),
}


def probe() -> Features:
    """Return what is there. Raises `OSError` when no namespace can be made (`rules` needs none)."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise OSError("the program unshare is missing")
    argv = [unshare, "-n", sys.executable, "-P", "-m", __name__ if __name__ != "__main__" else "wardgate.plant.probe", "--inside"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise OSError(f"no network namespace for the probe: {done.stderr.strip()[-200:]}")
    return Features(**json.loads(done.stdout))


def rules() -> Features:
    """Return what the rule set depends on, asked where this process is: for `netd`, which may make no namespace."""
    found = {name: _rule(family, rule) for name, (family, rule) in _RULES.items()}
    return Features(**found, policy_routing=True, transparent_sockets=_transparent())


def _inside() -> dict[str, bool]:
    found = {name: _rule(family, rule) for name, (family, rule) in _RULES.items()}
    found["veth"] = _does("ip", "link", "add", "wgp0", "type", "veth", "peer", "name", "wgp1")
    base = "wgp0" if found["veth"] else "lo"
    found["vlan_devices"] = _does("ip", "link", "add", "link", base, "name", "wgp0.5", "type", "vlan", "id", "5")
    found["policy_routing"] = _does("ip", "rule", "add", "fwmark", "1", "iif", "lo", "lookup", "100")
    found["transparent_sockets"] = _transparent()
    return found


def _rule(family: str, rule: str) -> bool:
    hook = "type filter hook prerouting priority 0" if family == "inet" or rule[:2] != "ct" else "type filter hook forward priority 0"
    text = f"table {family} wgprobe {{\n chain c {{\n  {hook};\n  {rule}\n }}\n}}\n"
    return _does("nft", "-c", "-f", "-", given=text)  # -c: the kernel judges it and keeps nothing


def _does(*argv: str, given: str = "") -> bool:
    try:
        return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=_SECONDS, check=False).returncode == 0
    except OSError:
        return False


def _transparent() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
            sock.bind(("192.0.2.1", 0))
        except OSError:
            return False
    return True


def main() -> int:
    """Print the report."""
    if "--inside" in sys.argv:
        json.dump(_inside(), sys.stdout)
        return 0
    try:
        features = probe()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"kernel {os.uname().release}\n" + "".join(f"{line}\n" for line in lines(features)))
    return 1 if features.missing else 0


if __name__ == "__main__":
    sys.exit(main())
