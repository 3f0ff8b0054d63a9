"""PDUs as bytes that our own encoder did not make: from pynetdicom 3.0.4, and by hand from the tables of PS3.8 9.3."""

from __future__ import annotations

# --- made by pynetdicom 3.0.4 ---
# CT1 calls PACS: CT Image Storage (1) in two transfer syntaxes, Verification (3) in one; sub-items 51H to 58H, all of them.
# The answer: 1 accepted as explicit little endian, 3 refused with result 3; 59H.
RQ = bytes.fromhex(
    "0100000001eb000100005041435320202020202020202020202043543120202020202020202020202020000000000000000000000000000000000000"
    "000000000000000000000000000010000015312e322e3834302e31303030382e332e312e312e312000004d0100000030000019312e322e3834302e31"
    "303030382e352e312e342e312e312e3240000013312e322e3834302e31303030382e312e322e3140000011312e322e3834302e31303030382e312e32"
    "2000002e0300000030000011312e322e3834302e31303030382e312e3140000011312e322e3834302e31303030382e312e3250000107510000040000"
    "3ffe5200001b312e322e3832362e302e312e333638303034332e382e3439382e315500000a4d4f44414c4954595f3153000004000300025400001d00"
    "19312e322e3834302e31303030382e352e312e342e312e312e320101560000210019312e322e3834302e31303030382e352e312e342e312e312e3202"
    "00030001005700006c0019312e322e3834302e31303030382e352e312e342e312e312e320011312e322e3834302e31303030382e342e32003c001d31"
    "2e322e3834302e31303030382e352e312e342e312e312e38382e3232001b312e322e3834302e31303030382e352e312e342e312e312e322e31580000"
    "1002010004746563680006736563726574"
)
AC = bytes.fromhex(
    "02000000012c000100005041435320202020202020202020202043543120202020202020202020202020000000000000000000000000000000000000"
    "000000000000000000000000000010000015312e322e3834302e31303030382e332e312e312e312100001b0100000040000013312e322e3834302e31"
    "303030382e312e322e31210000190300030040000011312e322e3834302e31303030382e312e325000008f5100000400003ffe5200001b312e322e38"
    "32362e302e312e333638303034332e382e3439382e315500000a4d4f44414c4954595f3153000004000300025400001d0019312e322e3834302e3130"
    "3030382e352e312e342e312e312e320101560000210019312e322e3834302e31303030382e352e312e342e312e312e32020003000100590000080006"
    "7469636b6574"
)
RJ = bytes.fromhex("03000000000400020302")
PDATA = bytes.fromhex("040000000018000000060103636d64210000000a01020001020304050607")
RLRQ = bytes.fromhex("05000000000400000000")
RLRP = bytes.fromhex("06000000000400000000")
ABORT = bytes.fromhex("07000000000400000206")

# --- by hand ---


def item(number: int, content: bytes, reserved: int = 0) -> bytes:
    """Build an item from its parts."""
    return bytes((number, reserved)) + len(content).to_bytes(2, "big") + content


def pdu(number: int, content: bytes, reserved: int = 0) -> bytes:
    """Build a PDU from its parts."""
    return bytes((number, reserved)) + len(content).to_bytes(4, "big") + content


def associate(number: int, *items: bytes, called: bytes = b"PACS            ", calling: bytes = b"CT1             ") -> bytes:
    """Build an A-ASSOCIATE-RQ (1) or -AC (2) from its items."""
    return pdu(number, b"\x00\x01\x00\x00" + called + calling + bytes(32) + b"".join(items))


def context_rq(number: int, abstract: str = "1.2.840.10008.1.1", *transfer: str) -> bytes:
    """Build item 20H."""
    syntaxes = b"".join(item(0x40, uid.encode()) for uid in transfer or ("1.2.840.10008.1.2",))
    return item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract.encode()) + syntaxes)


def context_ac(number: int, result: int = 0, transfer: str = "1.2.840.10008.1.2") -> bytes:
    """Build item 21H."""
    return item(0x21, bytes((number, 0, result, 0)) + item(0x40, transfer.encode()))


APPLICATION = item(0x10, b"1.2.840.10008.3.1.1.1")
USER = item(0x50, item(0x51, b"\x00\x00\x40\x00") + item(0x52, b"1.2.3"))

# Reserved bytes that are not zero at every place, unknown items at every level, items out of order, a UID padded with NUL.
ODD_RQ = pdu(
    1,
    b"\x80\x03\xaa\xbb"
    + b"PACS\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    + b"  CT\x01\xff 1        "
    + bytes(range(32))
    + item(0x50, item(0x52, b"1.2.3\x00", 7) + item(0x5F, b"later", 1) + item(0x51, b"\xff\xff\xff\xff", 9), 3)
    + item(0x20, b"\xff\x01\x02\x03" + item(0x7E, b"") + item(0x40, b"1.2.840.10008.1.2", 4) + item(0x30, b"1.2.840.10008.1.1", 5), 6)
    + item(0x99, b"\x00\x01\x02", 0xFE)
    + item(0x10, b"1.2.840.10008.3.1.1.1", 0xFD),
    0x77,
)
# Contexts out of order; a refused one without transfer syntax; result of a later edition.
ODD_AC = associate(
    2,
    APPLICATION,
    item(0x21, b"\x05\x11\x00\x22" + item(0x40, b"1.2.840.10008.1.2")),
    item(0x21, b"\x01\x00\x03\x00"),
    item(0x21, b"\x03\x00\x63\x00" + item(0x40, b"")),
    USER,
    called=b"\x00" * 16,
    calling=b"\xff" * 16,
)
ODD_RJ = bytes.fromhex("03 55 00000004 66 09 08 07")
ODD_RLRQ = bytes.fromhex("05 01 00000004 01020304")
ODD_RLRP = bytes.fromhex("06 01 00000004 ffffffff")
ODD_ABORT = bytes.fromhex("07 01 00000004 aabb 01 ff")
ODD_PDATA = bytes.fromhex("04 09 0000000d  00000002 ff 01  00000003 01 fc 99")

ALL = {
    "rq": RQ,
    "ac": AC,
    "rj": RJ,
    "p-data": PDATA,
    "release-rq": RLRQ,
    "release-rp": RLRP,
    "abort": ABORT,
    "odd rq": ODD_RQ,
    "odd ac": ODD_AC,
    "odd rj": ODD_RJ,
    "odd release-rq": ODD_RLRQ,
    "odd release-rp": ODD_RLRP,
    "odd abort": ODD_ABORT,
    "odd p-data": ODD_PDATA,
}
