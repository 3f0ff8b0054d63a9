"""What has passed when the walker finds something wrong: whole PDUs, each byte once, and `between_pdus` tells the truth."""

from __future__ import annotations

import pytest

from support.command_sets import store_request
from support.relaykit import store
from support.wire import pdu, pdv
from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.walker import MAX_KEPT, Walker

BAD = pdu(4, b"\0\0\0\xff\x03\x00ab")


class Seen:
    """A follower that keeps what passes."""

    def __init__(self) -> None:
        self.passed = b""
        self.walker = Walker(self, 1 << 20, 1 << 20)

    def passes(self, data: memoryview) -> None:
        """Keep it."""
        self.passed += data

    def control(self, pdu: bytes) -> None:
        """Keep it too."""
        self.passed += pdu

    def command(self, context: int, command: bytearray) -> None:
        """Every command announces a data set."""
        self.walker.expects_data = True

    def data_set(self, context: int, length: int) -> None:
        """Nothing."""

    def long_pdu(self, length: int) -> None:
        """Nothing."""


def _feed(seen: Seen, *reads: bytes) -> None:
    kept = b""
    for read in reads:
        data = kept + read
        kept = data[seen.walker.feed(memoryview(data)) :]


GOOD = b"".join(store(1, b"whole"))


@pytest.mark.parametrize("cut", range(1, len(GOOD) + 1))
def test_what_is_whole_passes_once_before_what_is_wrong(cut: int) -> None:
    seen = Seen()
    with pytest.raises(PduError):
        _feed(seen, GOOD[:cut], GOOD[cut:] + GOOD + BAD)
    assert seen.passed == GOOD + GOOD
    assert seen.walker.between_pdus


def test_a_pdu_whose_second_part_is_wrong_leaves_the_walker_in_the_middle_of_it() -> None:
    seen = Seen()
    two = pdv(3, 3, store_request(1)), b"\0\0\0\x04\x03\x00ab" + b"\0\0\0\xff\x03\x00ab"
    head = pdu(4, two[1])
    with pytest.raises(PduError):
        _feed(seen, two[0] + head[:13], head[13:])
    assert seen.passed == two[0] + head[:14]
    assert not seen.walker.between_pdus


def test_too_many_fragments_of_a_command_pass_nothing_twice() -> None:
    seen = Seen()
    endless = pdv(3, 1, b"\0") * (MAX_KEPT // 13 + 2)
    with pytest.raises(PduError):
        _feed(seen, GOOD + endless)
    assert seen.passed == GOOD
