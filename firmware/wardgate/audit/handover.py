"""Takes over for the account `audit` the spool that the gateway's account had: `python -m wardgate.audit.handover`.

Run with root's rights before the sender of that account starts: what was spooled before is sent by it. Nothing stays in the old place. A
gateway under a policy put back begins another spool there, and two are never made one: that one is taken over when this one is gone.
"""

from __future__ import annotations

import pwd
import sys
from pathlib import Path

from wardgate.custody.handover import Owner, has_account, have, take


def main() -> int:
    """Do it for the image's places."""
    if len(sys.argv) != 1:
        sys.stderr.write("usage: python -m wardgate.audit.handover\n")
        return 2
    if not has_account("audit", "wardgate-audit/"):
        return 0  # the unit's own look finds the word in a comment too
    gateway, audit = (Owner(each.pw_uid, each.pw_gid) for each in map(pwd.getpwnam, ("wardgate", "audit")))
    have("/vault/audit", 0o700, audit)
    take(Path("/vault/wardgate/audit"), Path("/vault/audit/spool"), gateway, audit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
