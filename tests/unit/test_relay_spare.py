"""When the loop hands hashing to its thread, told by what became of earlier hand-overs."""

from __future__ import annotations

from wardgate.relay.spare import KEPT, LONGEST, MISSES, SHORTEST, Spare


def reads_until_wanted(spare: Spare) -> int:
    """Return how many reads are not handed over before one is."""
    reads = 0
    while not spare.wanted():
        reads += 1
    return reads


def test_it_begins_with_handing_over() -> None:
    assert Spare().wanted()


def test_one_in_vain_now_and_then_changes_nothing() -> None:
    spare = Spare()
    for _ in range(100):
        for taken in (False, True, False, True, True):
            assert spare.wanted()
            spare.tell(taken)


def test_what_is_in_vain_is_left_for_a_while_and_tried_again_ever_more_seldom() -> None:
    spare = Spare()
    for _ in range(MISSES):
        assert spare.wanted()
        spare.tell(False)
    pauses = []
    for _ in range(8):
        pauses.append(reads_until_wanted(spare))
        spare.tell(False)
    assert pauses == [16, 32, 64, 128, 256, 512, LONGEST, LONGEST]


def test_once_a_processor_is_there_all_is_handed_over_and_the_past_forgotten() -> None:
    spare = Spare()
    for _ in range(MISSES + 5):
        reads_until_wanted(spare)
        spare.tell(False)
    reads_until_wanted(spare)
    for _ in range(KEPT):
        spare.tell(True)
        assert spare.wanted()
    for _ in range(MISSES):
        assert spare.wanted()
        spare.tell(False)
    assert reads_until_wanted(spare) == SHORTEST
