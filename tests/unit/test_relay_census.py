"""The table in which all workers count connections together, and the master that gives its parts out."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from wardgate.master.parts import PARTS, Parts
from wardgate.relay.census import MAX_ADDRESSES, Census, Count

A, B, SIX = "10.0.0.1", "10.0.0.2", "2001:db8::1"


@pytest.fixture
def parts() -> Iterator[Parts]:
    made = Parts()
    yield made
    made.close()


@pytest.fixture
def two(parts: Parts) -> tuple[Census, Census]:
    return Census(parts.fd, parts.take()), Census(parts.fd, parts.take())


def test_connections_of_one_address_add_up_over_workers(two: tuple[Census, Census]) -> None:
    one, other = two
    assert one.arrived(A) and one.arrived(A) and other.arrived(A) and other.arrived(B)
    assert one.of(A) == Count(3, 1)
    assert other.of(A) == Count(3, 2)
    assert one.of(B) == Count(1, 1)
    assert one.everybody() == Count(4, 2)


def test_who_has_spoken_is_silent_no_more(two: tuple[Census, Census]) -> None:
    one, other = two
    one.arrived(A)
    one.spoke(A)
    assert other.of(A) == Count(1, 0)
    one.arrived(A)
    one.left(A, silent=True)
    assert other.of(A) == Count(1, 0)
    one.left(A, silent=False)
    assert other.of(A) == other.everybody() == Count(0, 0)


def test_a_worker_that_ended_gives_its_share_back(parts: Parts) -> None:
    first, second = parts.take(), parts.take()
    dead, alive = Census(parts.fd, first), Census(parts.fd, second)
    dead.arrived(A)
    alive.arrived(A)
    parts.give_back(first)
    assert alive.of(A) == Count(1, 0)
    assert Census(parts.fd, parts.take()).everybody() == Count(1, 1)


def test_ipv4_ipv6_and_mapped_addresses_are_told_apart_as_the_network_does(two: tuple[Census, Census]) -> None:
    one, other = two
    one.arrived(SIX)
    one.arrived("::ffff:10.0.0.1")
    other.arrived("fe80::1%eth0")
    assert other.of(SIX) == Count(1, 1)
    assert other.of(A) == Count(1, 1)
    assert one.of("fe80::1") == Count(1, 1)


def test_an_address_that_lies_across_two_entries_is_not_found(two: tuple[Census, Census]) -> None:
    one, other = two
    one.arrived("2001:db8:1:2:3:4:5:6")
    one.arrived("2001:db8:7:8:9:a:b:c")
    table = b"\x00\x03\x00\x04\x00\x05\x00\x06" + b"\x01\x00\x00\x00" + b"\x01\x00\x00\x00"
    across = ":".join(f"{int.from_bytes(table[at : at + 2], 'big'):x}" for at in range(0, 16, 2))
    assert other.of(across) == Count(0, 0)


def test_more_addresses_than_there_is_room_for_are_refused_and_their_places_used_again() -> None:
    census = Census()
    hosts = [f"10.{number >> 8}.{number & 255}.1" for number in range(MAX_ADDRESSES)]
    assert all(census.arrived(host) for host in hosts)
    assert not census.arrived("192.0.2.1")
    assert census.everybody().all == MAX_ADDRESSES
    census.left(hosts[5], silent=True)
    assert census.arrived("192.0.2.1")
    assert census.of("192.0.2.1").all == 1
    assert census.of(hosts[5]).all == 0


def test_when_all_parts_are_out_a_worker_counts_for_itself(parts: Parts) -> None:
    assert sorted(parts.take() for _ in range(PARTS)) == list(range(PARTS))
    assert parts.take() == -1
    parts.give_back(-1)
    parts.give_back(7)
    assert parts.take() == 7


def test_a_part_beyond_the_table_is_refused(parts: Parts) -> None:
    with pytest.raises(ValueError, match="part 64"):
        Census(parts.fd, PARTS)
    assert os.fstat(parts.fd).st_size
