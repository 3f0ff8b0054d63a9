"""`python -m wardgate` is the command `wardgate`."""

from __future__ import annotations

import sys

from wardgate.main import main

sys.exit(main())
