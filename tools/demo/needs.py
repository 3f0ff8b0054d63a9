"""What a demonstration needs that may not be installed."""

from __future__ import annotations

from support.peers import have


def dcmtk() -> str:
    """Return what is missing and how to get it, empty where nothing is."""
    programs = ("dcmconv", "dcmsend", "echoscu", "storescp", "storescu")
    return "" if have(*programs) else "DCMTK is not installed: apt-get install dcmtk, or `make setup` as root"
