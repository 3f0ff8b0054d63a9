"""A short-lived program: reads and checks a configuration and prints it as JSON, for the master.

python -m wardgate.policy.resolve FILE
{"ok":true, "config":{...}, "unsafe":[...], "warnings":[...], "certificates":[[link,party,chain,not_after],...],
 "fetch_crls":bool, "openssl_conf":text or null}
{"ok":false, "mistakes":[{"name":"CONFIG_VALUE","place":"...","expected":"...","found":"..."},...]}
"""

from __future__ import annotations

import json
import sys
from typing import Any

from wardgate.policy.claims import check_claims, expiring, own_certificates, restart_with_openssl_conf, wants_crls
from wardgate.policy.keycheck import check_token_keys
from wardgate.policy.loader import load_config
from wardgate.policy.mistakes import ConfigErrors, Mistake
from wardgate.policy.model import as_data


def resolve(path: str) -> dict[str, Any]:
    """Return the answer for the configuration at `path`."""
    from wardgate.transport.process import openssl_conf

    mistakes: list[Mistake] = []
    try:
        config = load_config(path)
    except ConfigErrors as errors:
        return _refused(errors.mistakes)
    restart_with_openssl_conf(config)
    check_claims(config, mistakes)
    check_token_keys(config, mistakes)  # what it could not check, the state of the tokens tells while the gateway runs
    certificates = own_certificates(config, mistakes)
    if mistakes:
        return _refused(mistakes)
    return {
        "ok": True,
        "config": as_data(config),
        "unsafe": list(config.unsafe),
        "warnings": expiring(certificates),
        "certificates": [list(own) for own in certificates],
        "fetch_crls": wants_crls(config),
        "openssl_conf": openssl_conf(config),
    }


def _refused(mistakes: list[Mistake]) -> dict[str, Any]:
    rows = [{"name": m.code.name, "place": m.place, "expected": m.expected, "found": m.found} for m in mistakes]
    return {"ok": False, "mistakes": rows}


if __name__ == "__main__":
    json.dump(resolve(sys.argv[1]), sys.stdout)
