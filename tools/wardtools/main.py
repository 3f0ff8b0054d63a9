"""The command `wardtool`: finds the subcommand's module and runs it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

# name -> (module with `main(arguments) -> exit status`, what it does)
COMMANDS: Final = {
    "pki": ("wardtools.pki", "make a test PKI with good and defective certificates (never for patients' data)"),
    "iscl": ("wardtools.iscl", "read the legacy ISCL-style channel off a capture and say which reconstruction fits"),
    "card": ("wardtools.card.cli", "personalise a smartcard: PIN, keys made on it, certificates, ISCL keys"),
    "custody": ("wardtools.custody", "verify, show and prove what a custody log holds"),
    "state": ("wardtools.state", "sign the state partition of a box: policy, anchors, addresses"),
    "release": ("wardtools.release.cli", "make, sign, show and verify a bundle for an update of the box"),
    "witness": ("wardtools.witness.main", "run a witness for custody logs, elsewhere than the box"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; exit status 2 when there is none of that name."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in COMMANDS:
        return int(import_module(COMMANDS[words[0]][0]).main(words[1:]))
    sys.stderr.write("usage: wardtool COMMAND ...\n")
    for name, (_, purpose) in COMMANDS.items():
        sys.stderr.write(f"  {name:10} {purpose}\n")
    return 0 if words in (["-h"], ["--help"]) else 2


if __name__ == "__main__":
    sys.exit(main())
