"""The custody writer of a box: what instances in hold carry goes into its log before it gives an association up.

`python -m wardgate.hold.writer`; the command line is that of `wardgate.custody.writer`.
"""

from __future__ import annotations

import sys

from wardgate.custody.catchup import Find
from wardgate.custody.writer import main


def find(directory: str) -> Find:
    """Return who looks into the queue below `directory`; loaded when it is needed: most writers never look."""
    from wardgate.hold.unlogged import Unlogged

    return Unlogged(directory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], find))
