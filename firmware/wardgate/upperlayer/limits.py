"""Bounds that every decoder checks before it allocates anything for what a length or count field promises."""

from __future__ import annotations

from wardgate.upperlayer.value import Value


class Limits(Value):
    """Sizes are bytes of the whole PDU without its 6-byte header; counts are of what one parent may hold.

    PS3.8 gives no bound but the 128 odd context IDs; the others are ours, far above what real peers send.
    """

    associate_bytes: int = 1 << 20
    pdu_bytes: int = 128 << 20
    contexts: int = 128  # PS3.8 9.3.2.2: odd IDs 1 to 255
    items: int = 256  # of an A-ASSOCIATE PDU, contexts among them
    context_items: int = 128  # abstract and transfer syntaxes of one context
    sub_items: int = 1024  # of the user information item
    related_classes: int = 256  # of one common extended negotiation sub-item
    pdvs: int = 65536  # of one P-DATA-TF


DEFAULT = Limits()
