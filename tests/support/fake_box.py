"""`wardgate run` with stand-ins for worker and writer: the master and the resolver are the real ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from wardgate.master import pulse, weight
from wardgate.master.programs import Programs
from wardgate.master.supervisor import Supervisor

_CHILD = (sys.executable, str(Path(__file__).with_name("fake_child.py")))
# The real resolver, once a test lets it: `go` beside the configuration.
_HELD = (
    "/bin/sh",
    "-c",
    'until [ -e "$(dirname "$1")/go" ]; do sleep 0.02; done; exec "$0" -m wardgate.policy.resolve "$1"',
    sys.executable,
)
# Notes beside the configuration, whose path it is given, that it was started.
_FETCH = ("/bin/sh", "-c", 'echo "$$" >>"$(dirname "$0")/fetched"; sleep 0.5')

if __name__ == "__main__":
    weight.LOOK_SECONDS = 0.2
    pulse.HUNG_SECONDS = float(os.environ.get("FAKE_HUNG_SECONDS", pulse.HUNG_SECONDS))
    reader = {"resolve": _HELD} if os.environ.get("FAKE_HELD_RESOLVER") else {}
    programs = Programs(worker=(*_CHILD, "worker"), writer=(*_CHILD, "writer"), crl_fetch=_FETCH, **reader)
    sys.exit(Supervisor(sys.argv[1], programs).run())
