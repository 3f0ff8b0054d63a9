"""Sockets from the plain factory have the properties that the relay counts on."""

from __future__ import annotations

import select
import socket

import pytest

from wardgate.policy.endpoint import Endpoint
from wardgate.transport.sockets import Listener, PlainSockets, SocketFactory, quickack


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_listen_and_connect_give_ready_made_sockets(host: str) -> None:
    factory: SocketFactory = PlainSockets()
    try:
        listener = factory.listen(Endpoint(host, 0))
    except OSError:
        pytest.skip(f"{host} is not here")
    with listener, factory.connect(Endpoint(listener.getsockname()[0], listener.getsockname()[1])) as caller:
        select.select([listener], [], [], 5)
        select.select([], [caller], [], 5)
        with listener.accept()[0] as accepted:
            for sock in (caller, accepted):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert not sock.get_inheritable()
                quickack(sock)
            assert not listener.getblocking()
            assert not caller.getblocking()
            assert caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert factory.original_destination(accepted) is None


def test_plain_sockets_connect_in_their_own_name() -> None:
    factory = PlainSockets()
    with (
        factory.listen(Endpoint("127.0.0.1", 0)) as listener,
        factory.connect(Endpoint("127.0.0.1", listener.getsockname()[1]), Endpoint("127.0.0.9", 0)) as caller,
    ):
        assert caller.getsockname()[0] == "127.0.0.1"


def test_any_address_of_both_families_can_be_listened_on_at_one_port() -> None:
    factory = PlainSockets()
    with factory.listen(Endpoint("0.0.0.0", 0)) as four:
        try:
            factory.listen(Endpoint("::", four.getsockname()[1])).close()
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")


def test_a_failed_listen_raises_and_leaks_no_socket(recwarn: pytest.WarningsRecorder) -> None:
    factory = PlainSockets()
    with factory.listen(Endpoint("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="in use"):
        factory.listen(Endpoint("127.0.0.1", listener.getsockname()[1]))
    assert not [w for w in recwarn if w.category is ResourceWarning]


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_listener_of_the_master_accepts_as_any_socket_does(host: str, family: int) -> None:
    try:
        made = PlainSockets().listen(Endpoint(host, 0))
    except OSError:
        pytest.skip(f"{host} is not here")
    with Listener(made.detach()) as listener, socket.create_connection(listener.getsockname()[:2], 5) as caller:
        select.select([listener], [], [], 5)
        accepted, address = listener.accept()
        with accepted:
            assert address[:2] == caller.getsockname()[:2]
            assert (accepted.family, accepted.type) == (family, socket.SOCK_STREAM)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not accepted.get_inheritable()
            caller.sendall(b"a")
            assert accepted.recv(1) == b"a"
