"""The rules of holding: what is accepted, what a status means, who is next, how long a pause is."""

from __future__ import annotations

import pytest

from support.command_sets import CT, INSTANCE, command_set, element, store_request, us
from support.wire import associate_ac, associate_rq
from wardgate.dimse import build
from wardgate.dimse.build import response, with_message_id
from wardgate.dimse.command import CommandError, parse
from wardgate.hold.fragments import COMMAND, fragment_size, fragments
from wardgate.hold.memory import Answer, Pair, answers, learn
from wardgate.hold.offer import answer, choose, is_storage
from wardgate.hold.outcome import Meaning, meaning
from wardgate.hold.pause import Pauses
from wardgate.hold.queue import Lane, Queue
from wardgate.hold.scan import Place
from wardgate.hold.scp import What, judge, no_room, stored
from wardgate.hold.space import STEP_BYTES, SURE_BYTES, Space
from wardgate.hold.store import Entry
from wardgate.upperlayer.pdu import AssociateAC, AssociateRQ, decode
from wardgate.upperlayer.walker import Walker

CT_UID = CT.decode().rstrip("\0")
MR = "1.2.840.10008.5.1.4.1.1.4"
FIND = "1.2.840.10008.5.1.4.31"
ECHO = "1.2.840.10008.1.1"
IMPLICIT, EXPLICIT, J2K = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"
ANY = frozenset({"*"})


def request(*contexts: tuple[int, str, tuple[str, ...]]) -> AssociateRQ:
    found = decode(associate_rq("CT1", "PACS", contexts))
    assert isinstance(found, AssociateRQ)
    return found


def results(
    rq: AssociateRQ, known: dict[str, list[str]], listed: tuple[str, ...] = (), classes: frozenset[str] = ANY
) -> list[tuple[int, str]]:
    return [(int(one.result), one.transfer_syntax) for one in choose(rq, known, listed, classes, frozenset())]


def test_only_a_syntax_that_the_destination_took_is_accepted() -> None:
    rq = request((1, CT_UID, (IMPLICIT, J2K)), (3, CT_UID, (IMPLICIT,)), (5, MR, (IMPLICIT,)))
    assert results(rq, {CT_UID: [J2K]}) == [(0, J2K), (4, IMPLICIT), (3, IMPLICIT)]


def test_the_order_of_the_proposal_decides_among_syntaxes_that_it_took() -> None:
    assert results(request((1, CT_UID, (EXPLICIT, J2K))), {CT_UID: [J2K, EXPLICIT]}) == [(0, EXPLICIT)]


def test_the_list_of_the_configuration_stands_in_for_memory_of_storage_classes_only() -> None:
    rq = request((1, CT_UID, (J2K, EXPLICIT)), (3, FIND, (EXPLICIT,)))
    assert results(rq, {}, (EXPLICIT,)) == [(0, EXPLICIT), (3, EXPLICIT)]


def test_a_query_is_not_held_though_the_destination_took_its_context() -> None:
    assert results(request((1, FIND, (IMPLICIT,))), {FIND: [IMPLICIT]}) == [(3, IMPLICIT)]


def test_verification_is_answered_without_memory() -> None:
    assert results(request((1, ECHO, (EXPLICIT, IMPLICIT))), {}) == [(0, IMPLICIT)]


def test_what_policy_refused_stays_refused() -> None:
    rq = request((1, CT_UID, (IMPLICIT,)))
    assert [int(one.result) for one in choose(rq, {CT_UID: [IMPLICIT]}, (), ANY, frozenset({1}))] == [1]


def test_a_private_class_is_storage_only_when_the_link_names_it() -> None:
    assert not is_storage("1.3.12.2.1", ANY)
    assert is_storage("1.3.12.2.1", frozenset({"1.3.12.2.1"}))
    assert not is_storage("1.2.840.10008.1.20.1", frozenset({"1.2.840.10008.1.20.1"}))


def test_the_answer_of_the_box_can_be_read_and_proposes_nothing_else() -> None:
    rq = request((1, CT_UID, (J2K, IMPLICIT)), (3, MR, (J2K,)))
    ac = decode(answer(rq, choose(rq, {CT_UID: [J2K]}, (), ANY, frozenset())).encode())
    assert isinstance(ac, AssociateAC)
    assert [(one.id, one.result, one.transfer_syntax) for one in ac.contexts] == [(1, 0, J2K), (3, 3, J2K)]
    assert ac.called_ae.strip() == "PACS"


def test_memory_learns_what_was_accepted_and_forgets_what_was_refused() -> None:
    rq = request((1, CT_UID, (J2K,)), (3, CT_UID, (IMPLICIT,)), (5, MR, (J2K, IMPLICIT)))
    ac = decode(associate_ac(associate_rq("CT1", "PACS", ((1, CT_UID, (J2K,)), (3, CT_UID, (IMPLICIT,)), (5, MR, (J2K, IMPLICIT))))))
    assert isinstance(ac, AssociateAC)
    known = learn({}, answers(rq, ac))
    assert known == {CT_UID: [J2K, IMPLICIT], MR: [J2K]}
    assert learn(known, [Answer(CT_UID, (J2K,), 4, "")]) == {CT_UID: [IMPLICIT], MR: [J2K]}
    assert learn(known, [Answer(MR, (J2K, EXPLICIT), 3, "")]) == {CT_UID: [J2K, IMPLICIT]}
    assert learn(known, [Answer(CT_UID, (J2K,), 0, EXPLICIT)]) == {CT_UID: [IMPLICIT], MR: [J2K]}, "accepted what was not proposed"


STATUSES = [(0, Meaning.TAKEN), (0xB000, Meaning.TAKEN), (0xB006, Meaning.TAKEN), (0xB007, Meaning.TAKEN), (0x0107, Meaning.TAKEN)]
STATUSES += [(0xA700, Meaning.LATER), (0xA7FF, Meaning.LATER), (0x0110, Meaning.LATER), (0x0213, Meaning.LATER)]
STATUSES += [(status, Meaning.NEVER) for status in (0xA900, 0xC000, 0xCFFF, 0x0122, 0x0124, 0x0117, 0xFE00, 0xFF00)]


@pytest.mark.parametrize(("status", "what"), STATUSES)
def test_each_status_has_one_meaning(status: int, what: Meaning) -> None:
    assert meaning(status) is what


def test_pauses_double_to_their_bound_with_jitter_and_end_with_a_success() -> None:
    pauses = Pauses(10, lambda: 1.0)
    assert [pauses.failed(100.0) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert pauses.until == 110.0
    pauses.worked()
    assert (pauses.failures, pauses.until) == (0, 0.0)
    assert Pauses(10, lambda: 0.0).failed(0.0) == 0.5


def entry(number: int) -> Entry:
    stem = f"{number:016d}-{'0' * 16}"
    return Entry(stem, Place("nowhere", 0, 0))


def pair(name: str = "CT1", peer: str = "pacs") -> Pair:
    return Pair("ct1", peer, name, "PACS")


def numbers(lane: Lane) -> list[int]:
    return [item.number for item in lane.ahead(100)]


def test_a_lane_gives_its_instances_in_order_whatever_the_order_in_which_they_were_found() -> None:
    queue = Queue(lambda: Pauses(10, lambda: 1.0))
    for number in (5, 1, 9, 3, 1):
        queue.add(entry(number), pair(), "a", "b")
    (lane,) = queue.lanes.values()
    assert numbers(lane) == [1, 3, 5, 9]
    head = lane.head()
    assert head is not None
    queue.remove(lane, head)
    queue.add(entry(2), pair(), "a", "b")
    assert numbers(lane) == [2, 3, 5, 9]
    assert len(queue) == 4


def test_lanes_are_sent_side_by_side_within_the_bound_of_their_destination() -> None:
    queue = Queue(lambda: Pauses(10, lambda: 1.0))
    for number in range(6):
        queue.add(entry(number), pair(f"CT{number}"), "a", "b")
    queue.add(entry(9), pair("CT0", "other"), "a", "b")
    chosen = queue.ready(0.0, 2)
    assert [lane.pair.calling for lane in chosen] == ["CT0", "CT1", "CT0"]
    for lane in chosen:
        lane.busy = True
        lane.destination.running += 1
    assert queue.ready(0.0, 2) == []
    chosen[0].busy = False
    chosen[0].destination.running -= 1
    assert [lane.pair.calling for lane in queue.ready(0.0, 2)] == ["CT0"]


def test_a_destination_in_its_pause_waits_and_the_others_do_not() -> None:
    queue = Queue(lambda: Pauses(10, lambda: 1.0))
    queue.add(entry(1), pair("A", "away"), "a", "b")
    queue.add(entry(2), pair("B", "away"), "a", "b")
    queue.add(entry(3), pair("A", "there"), "a", "b")
    queue.destinations[("ct1", "away")].pauses.failed(100.0)
    assert [lane.pair.peer for lane in queue.ready(100.5, 4)] == ["there"]
    assert [lane.pair.peer for lane in queue.ready(101.5, 4)] == ["away", "there"], "one finds out whether it is back"


def test_an_empty_lane_is_forgotten_when_nobody_sends_it() -> None:
    queue = Queue(lambda: Pauses(10, lambda: 1.0))
    queue.add(entry(1), pair(), "a", "b")
    (lane,) = queue.lanes.values()
    lane.busy = True
    head = lane.head()
    assert head is not None
    queue.remove(lane, head)
    assert queue.lanes
    lane.busy = False
    queue.forget(lane)
    assert not queue.lanes


def test_room_is_refused_before_the_disk_is_full_and_promises_count() -> None:
    free = [10 * STEP_BYTES]
    space = Space(0, 8 * STEP_BYTES, lambda: 0, lambda: free[0])
    assert space.reserve() and space.reserve()
    assert not space.reserve()
    space.used(STEP_BYTES)
    assert space.reserve()
    free[0] = 100 * STEP_BYTES
    assert space.reserve()  # near the bound it looks each time
    held = Space(3 * STEP_BYTES, 0, lambda: 2 * STEP_BYTES, lambda: 1 << 50)
    assert held.reserve()
    assert not held.reserve()


def test_with_much_room_the_file_system_is_asked_now_and_then_and_again_when_told_to() -> None:
    asked: list[int] = []
    free = [10_000 * STEP_BYTES]

    def look() -> int:
        asked.append(free[0])
        return free[0]

    space = Space(0, STEP_BYTES, lambda: 0, look)
    assert all(space.reserve() for _ in range(200))
    assert len(asked) == -(-200 * STEP_BYTES // SURE_BYTES)
    space.promised = 0
    free[0] = STEP_BYTES  # others have filled the disk
    space.look_again()
    assert not space.reserve()


def echo_request() -> bytes:
    return command_set(element(0x0002, b"1.2.840.10008.1.1\0"), us(0x0100, 0x30), us(0x0110, 9), us(0x0800, 0x0101))


def test_the_scp_takes_stores_and_answers_echoes_and_refuses_the_rest() -> None:
    assert judge(CT_UID, store_request(4)).what is What.STORE
    echo = judge(ECHO, echo_request())
    found = parse(echo.reply)
    assert (echo.what, found.command_field, found.status, found.message_id_responded) == (What.ANSWER, 0x8030, 0, 9)
    find = command_set(element(0x0002, CT), us(0x0100, 0x20), us(0x0110, 2), us(0x0800, 1))
    found = parse(judge(CT_UID, find).reply)
    assert (found.command_field, found.status) == (0x8020, 0x0211)
    cancel = command_set(us(0x0100, 0x0FFF), us(0x0120, 2), us(0x0800, 0x0101))
    assert judge(CT_UID, cancel).what is What.NOTHING


def test_a_store_of_another_class_than_its_context_is_refused_with_0122() -> None:
    verdict = judge(MR, store_request(4))
    assert (verdict.what, parse(verdict.reply).status) == (What.REFUSE, 0x0122)


def test_responses_echo_what_they_answer() -> None:
    command = judge(CT_UID, store_request(4)).command
    for reply, status in ((stored(command), 0), (no_room(command, "no room in the queue"), 0xA700)):
        found = parse(reply)
        assert (found.command_field, found.message_id_responded, found.status) == (0x8001, 4, status)
        assert found.sop_instance == INSTANCE.decode().rstrip("\0")
        assert not found.has_data_set
    assert parse(response(command, 1, "x" * 99)).status == 1


@pytest.mark.parametrize("comment", ["", "odd", "even"])
@pytest.mark.parametrize(("sop_class", "sop_instance"), [("1.2", "1.2.3"), ("1.23", ""), ("", "1.2")])
def test_a_response_is_the_command_set_of_its_elements(comment: str, sop_class: str, sop_instance: str) -> None:
    command = judge(CT_UID, store_request(4)).command
    command.sop_class, command.sop_instance = sop_class, sop_instance
    elements: dict[int, int | str] = {0x0100: 0x8001, 0x0120: 4, 0x0800: 0x0101, 0x0900: 0xA700}
    elements |= {number: text for number, text in ((0x0002, sop_class), (0x0902, comment), (0x1000, sop_instance)) if text}
    assert response(command, 0xA700, comment) == build.command_set(elements)


def test_only_the_message_id_of_a_held_command_changes() -> None:
    before = store_request(4)
    after = with_message_id(before, 0x1234)
    assert parse(after).message_id == 0x1234
    assert len(after) == len(before)
    assert with_message_id(after, 4) == before
    with pytest.raises(CommandError):
        with_message_id(b"", 1)


class Seen:
    """A follower that gathers a data set."""

    def __init__(self) -> None:
        self.data = b""
        self.whole = 0
        self.walker = Walker(self, 1 << 20, 1 << 20)

    def passes(self, data: memoryview) -> None: ...

    def control(self, pdu: bytes) -> None: ...

    def long_pdu(self, length: int) -> None: ...

    def command(self, context: int, command: bytearray):  # type: ignore[no-untyped-def]
        self.walker.expects_data = True
        return self.take

    def take(self, data: memoryview) -> None:
        self.data += data

    def data_set(self, context: int, length: int) -> None:
        self.whole += 1


@pytest.mark.parametrize("maximum", [0, 128, 4096, 16384, 131072, 1 << 30])
@pytest.mark.parametrize("size", [0, 2, 5000, 300_000])
def test_fragments_come_together_again_and_none_is_longer_than_the_peer_takes(maximum: int, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    fragment = fragment_size(maximum)
    assert fragment % 2 == 0 and (fragment + 6 <= maximum or maximum < 1030)
    half = size // 2 & ~1
    wire = fragments(1, COMMAND, store_request(1), fragment)
    wire += fragments(1, 0, data[:half], fragment, last=False) if half else b""
    wire += fragments(1, 0, data[half:], fragment)
    seen = Seen()
    assert seen.walker.feed(memoryview(wire)) == len(wire)
    assert (seen.data, seen.whole) == (data, 1)
