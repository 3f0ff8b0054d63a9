"""A connection that waits: how its end is told."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from support import tlskit
from wardgate.transport.blocking import BlockingChannel, Ended
from wardgate.transport.context import TlsContexts
from wardgate.transport.tls import TlsChannel


def test_an_end_that_comes_in_one_read_with_data_is_told_behind_them() -> None:
    """Half a TCP connection: nothing comes behind the close_notify, not even the end."""
    ours, theirs = socket.socketpair()
    server = TlsChannel(tlskit.peer_context(server=True), True)
    shaking = threading.Thread(target=tlskit.shake_over, args=(theirs, server))
    shaking.start()
    channel = BlockingChannel(ours, time.monotonic() + 20)
    checker: Any = SimpleNamespace(check=lambda *_: None)
    channel.shake(TlsContexts(tlskit.make_tls()), checker)
    shaking.join(20)
    said = server.seal(b"word")
    assert isinstance(said, bytes)
    theirs.sendall(said + server.close())
    heard = b""
    while not heard:  # tickets come first
        assert channel.readable(20)
        heard = channel.receive()
    assert heard == b"word"
    assert channel.readable(0)
    with pytest.raises(Ended, match="close_notify"):
        channel.receive()
    channel.close()
    theirs.close()
