"""Numbers that the rule set, the routes and the sockets share. A leaf."""

from __future__ import annotations

from typing import Final

# Packet and socket marks: which port the packet came in by, or has to leave by. The upper half tells ours from others'.
MARK_MODALITY: Final = 0x57470001
MARK_HOSPITAL: Final = 0x57470002
MARK_ROUTED: Final = 0x57470003  # in the router: came in by one of the ports, so that the table `wardgate` judges it
MARK_MASK: Final = 0xFFFF0000
MARK_OURS: Final = 0x57470000

BRIDGE: Final = "wgbr0"
BRIDGE_MAC: Final = "02:57:47:00:00:01"  # locally administered; no frame leaves with it but those of the management address

TRUNK: Final = "wgbr1"  # with `vlan`: joins the bare ports, for what comes without a tag
TRUNK_MAC: Final = "02:57:47:00:00:02"

TABLE_LOCAL: Final = 5740  # "deliver here", for what came in with a mark
TABLE_MODALITY: Final = 5741  # everything is reached by the bridge; the neighbour entry says where
TABLE_HOSPITAL: Final = 5742
RULE_PREFERENCE: Final = 5740
