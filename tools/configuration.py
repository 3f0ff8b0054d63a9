"""Writes the page of configuration words from the schema: `tools/configuration.py docs/configuration.md`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from wardgate.policy.schema import Kind, Need, Word
from wardgate.policy.tables import TABLES

_HEAD: Final = """\
# Configuration

One TOML file. `wardgate check -c FILE` names every mistake with its place, what was expected and what was found;
`wardgate run` refuses a file with a mistake. After a change: `wardgate check`, then SIGHUP. A running gateway keeps its old
configuration when the new one has a mistake. Relative paths count from the folder of the file,
so a policy that names its files so is the same on a workstation and on a box.
Changes of `[custody]`, `box.name`, `box.run_dir`, `plant.ports`, `plant.socket`, of a queue's `directory` and `key`
(or an end of `[hold]`), of `audit.socket`, and of `keys.socket` while a key is in a token need a restart.

`format = 1`, before all tables, says which form the file has; without it, 1. A release with a newer form translates an older one as it
reads it, and never writes the file: the release in the other slot reads it too (docs/update.md, *Migrations*).

A word that begins with `unsafe_` lets something pass that should not; it shows in check, log and status while it is on.
One listening port carries one declared transport. Two parties may share a port only when they have the same transport and
source addresses that do not overlap. Where both speak mutual TLS they may also share the source address (two archives behind one NAT
address), each with its own root, names and CRLs: their AE titles must differ and every other word of their TLS tables be the same.

```toml
[box]
name = "ward-ct1"

[custody]
log = "/var/lib/custody/log"
socket = "/run/wardgate-custody/custody.sock"
origin = "ward-ct1.example.org/custody"
key = "pkcs11:token=ward-ct1;object=custody;type=private"

[[link]]
name = "ct1"
sop_classes = ["*"]
directions = ["to-hospital", "to-modality"]

[link.modality]
ae_titles = ["CT1"]
addresses = ["192.0.2.10"]
listen = ["192.0.2.1:104"]
connect = "192.0.2.10:104"
transport = "plain"

[[link.peer]]
name = "pacs"
ae_titles = ["PACS"]
addresses = ["198.51.100.5"]
connect = "198.51.100.5:2762"
listen = ["198.51.100.2:2762"]
transport = "tls"

[link.peer.tls]
profile = "B.12"
certificates = [{ chain = "box.pem", key = "pkcs11:token=ward-ct1;object=tls-ec;type=private" }]
anchors = "pacs-ca.pem"
names = ["pacs.example.org"]
crls = ["pacs-ca.crl"]
```

This page is made from `firmware/wardgate/policy/schema.py` by `tools/configuration.py`.
"""

_TITLES: Final = {
    "": "The file",
    "box": "`[box]`",
    "custody": "`[custody]`",
    "custody.witness": "`[[custody.witness]]`",
    "keys": "`[keys]`",
    "limits": "`[limits]`",
    "hold": "`[hold]`",
    "link": "`[[link]]`",
    "link.modality": "`[link.modality]`",
    "link.peer": "`[[link.peer]]`",
    "tls": "`[link.modality.tls]`, `[link.peer.tls]`, `[audit.repository.tls]`",
    "updates": "`[updates]`",
    "audit": "`[audit]`",
    "audit.repository": "`[[audit.repository]]`",
    "iscl": "`[link.modality.iscl]`, `[link.peer.iscl]`",
    "iscl.r1": "`[link.modality.iscl.r1]`, `[link.peer.iscl.r1]`",
    "certificate": "`certificates = [{ ... }]`",
    "plant": "`[plant]`",
    "plant.allow": "`[[plant.allow]]`",
    "plant.neighbours": "`[[plant.neighbours]]`",
    "plant.management": "`[plant.management]`",
    "plant.break_glass": "`[plant.break_glass]`",
    "plant.router": "`[plant.router]`",
}


def page() -> str:
    """Return the page, Markdown."""
    parts = [_HEAD]
    for table, words in TABLES.items():
        parts.append(f"\n## {_TITLES[table]}\n\n| Word | Value | Default | Meaning |\n|---|---|---|---|\n")
        parts += [f"| `{word.name}` | {_value(word)} | {_default(word)} | {word.meaning} |\n" for word in words]
    return "".join(parts)


def _value(word: Word) -> str:
    if word.kind is Kind.CHOICE:
        text = ", ".join(f"`{choice}`" for choice in word.choices)
    elif word.kind is Kind.INTEGER:
        text = f"{word.low} to {word.high}"
    else:
        text = word.kind.value
    return f"array: {text}" if word.many else text


def _default(word: Word) -> str:
    if isinstance(word.default, Need):
        return "must be there"
    if word.default in (None, "", {}, []):
        return "none" if word.default != {} else "see below"
    return f"`{json.dumps(word.default)}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
