"""What passes the box when nothing is edited: the same bytes, whatever their fragmentation, and their right digest."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import pytest

from support.command_sets import store_request
from support.relaykit import Relay, dribble, message, response, store
from support.wire import echo_rq, echo_rsp, pdv, status_of
from wardgate.policy.model import Role


def _read_exactly(peer, count: int) -> bytes:
    return peer._exactly(count)


def test_the_associate_pdus_pass_unchanged_and_the_release_is_answered(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(pdv(1, 3, echo_rq()))
        pair.pass_on(pdv(1, 3, echo_rsp()), back=True)
        pair.release()
        relay.settled()
        assert [close["ended"] for close in relay.writer.closes()] == ["released"]


@pytest.mark.parametrize("hash_threads", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_bytes_and_digests_are_right_under_random_pdu_sizes_and_random_reads(folder: Path, seed: int, hash_threads: int) -> None:
    rng = random.Random(seed)
    bodies = [rng.randbytes(rng.choice((1, 2, 1000, 70_000, 700_000))) for _ in range(8)]
    stream = b"".join(
        b"".join(store(number, body, chunk=rng.choice((1 << 20, 5000, 300)) if len(body) > 1 else 1))
        for number, body in enumerate(bodies, 1)
    )
    with Relay(folder, hash_threads=hash_threads) as relay, relay.associate() as pair:
        sizes = (rng.choice((1, 5, 7, 1460, 9000, 200_000)) for _ in range(1 << 20))
        sender = threading.Thread(target=dribble, args=(pair.near.sock, stream, sizes))
        sender.start()
        assert _read_exactly(pair.far, len(stream)) == stream
        sender.join()
        answers = [response(number) for number in range(1, len(bodies) + 1)]
        pair.far.send(b"".join(answers))
        assert _read_exactly(pair.near, sum(map(len, answers))) == b"".join(answers)
        pair.release()
        found = [record["digests"][0]["value"] for record in relay.writer.stores()]
        assert found == [hashlib.sha256(body).hexdigest() for body in bodies]
        assert [record["length"] for record in relay.writer.stores()] == [len(body) for body in bodies]


def test_one_byte_at_a_time_passes_both_ways(folder: Path) -> None:
    request = b"".join(store(1, bytes(range(256)) * 2, chunk=100))
    answer = response(1)
    with Relay(folder) as relay, relay.associate() as pair:
        dribble(pair.near.sock, request, (1 for _ in request))
        assert _read_exactly(pair.far, len(request)) == request
        dribble(pair.far.sock, answer, (1 for _ in answer))
        assert _read_exactly(pair.near, len(answer)) == answer
        pair.release()
        assert relay.writer.stores()[0]["digests"][0]["value"] == hashlib.sha256(bytes(range(256)) * 2).hexdigest()


def test_a_command_in_fragments_and_several_pdvs_in_a_pdu_pass_unchanged(folder: Path) -> None:
    command = store_request(1)
    request = message((3, 1, command[:10]), (3, 1, command[10:11])) + message((3, 3, command[11:]), (3, 0, b"ab"), (3, 2, b"cd"))
    with Relay(folder) as relay, relay.associate() as pair:
        for cut in (request, b""):
            pair.near.send(cut)
        assert _read_exactly(pair.far, len(request)) == request
        pair.pass_on(response(1), back=True)
        pair.release()
        assert relay.writer.stores()[0]["digests"][0]["value"] == hashlib.sha256(b"abcd").hexdigest()


def test_stores_from_the_called_side_are_recorded_as_sent_by_the_requestor_leg(folder: Path) -> None:
    """As C-GET sends them: on the association that the modality opened, C-STORE requests come from the PACS."""
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*store(9, b"from the archive"), back=True)
        pair.pass_on(response(9, 0xB000))
        pair.release()
        record = relay.writer.stores()[0]
        assert (record["sent_by"], record["status"], record["outcome"]) == ("requestor", "B000", "status")
        assert record["direction"] == "to-hospital"
        assert record["digests"][0]["value"] == hashlib.sha256(b"from the archive").hexdigest()


def test_an_association_that_the_hospital_opens_is_relayed_the_same(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate(Role.PEER) as pair:
        pair.pass_on(*store(1, b"to the modality"))
        pair.pass_on(response(1), back=True)
        pair.release()
        record = relay.writer.stores()[0]
        assert (record["sent_by"], record["direction"]) == ("acceptor", "to-modality")


def test_the_peers_own_failure_status_passes_and_is_recorded(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*store(1))
        pair.far.send(response(1, 0xA700))
        kind, body = pair.near.read()
        assert kind == 4 and status_of(body) == 0xA700
        pair.release()
        assert relay.writer.stores()[0]["status"] == "A700"


def test_responses_out_of_order_are_matched_by_message_id(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        for number in (1, 2, 3):
            pair.pass_on(*store(number, b"body %d" % number))
        for number in (3, 1, 2):
            pair.pass_on(response(number, 0xB000 + number), back=True)
        pair.release()
        records = relay.writer.stores()
        assert [record["status"] for record in records] == ["B003", "B001", "B002"]
        expected = [hashlib.sha256(b"body %d" % number).hexdigest() for number in (3, 1, 2)]
        assert [record["digests"][0]["value"] for record in records] == expected


def test_a_message_id_may_be_used_again_after_its_response(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        for body in (b"one", b"two"):
            pair.pass_on(*store(1, body))
            pair.pass_on(response(1), back=True)
        pair.release()
        found = [record["digests"][0]["value"] for record in relay.writer.stores()]
        assert found == [hashlib.sha256(body).hexdigest() for body in (b"one", b"two")]


def test_a_message_id_used_again_without_a_response_leaves_two_records(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*store(1, b"one"))
        pair.pass_on(*store(1, b"two"))
        pair.pass_on(response(1), back=True)
        pair.release()
        relay.settled()
        assert sorted(str(record["outcome"]) for record in relay.writer.stores()) == ["status", "unknown"]


def test_a_response_before_the_data_set_is_whole_is_recorded_without_a_digest(folder: Path) -> None:
    first, *rest = store(1, b"x" * 3000, chunk=1000)
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(first, rest[0])
        pair.pass_on(response(1, 0xA900), back=True)
        pair.pass_on(*rest[1:])
        pair.pass_on(*store(2, b"next"))
        pair.pass_on(response(2), back=True)
        pair.release()
        early, late = relay.writer.stores()
        assert (early["status"], early["digests"]) == ("A900", [])
        assert late["digests"][0]["value"] == hashlib.sha256(b"next").hexdigest()
