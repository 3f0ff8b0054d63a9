"""`python -m wardkeys`."""

import sys

from wardkeys.main import main

sys.exit(main())
