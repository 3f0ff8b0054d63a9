"""Two scripted ends of an association that end in some way at some moment, all from one seed: what they say is joined, or cut to pieces.

Nothing here sleeps or has a thread: `Case.run` looks after both ends. A socket ends last what its channel ends first: see `End.leave`.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from support.processes import backlog
from support.relaykit import RELEASE_RP_PDU, RELEASE_RQ_PDU, Relay, response, store
from support.tlskit import peer_context
from support.wire import ABORT, associate_ac, associate_rq, echo_rq, echo_rsp, pdu, pdv, readable
from wardgate.iscl.errors import IsclError
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.terms import Role as IsclRole
from wardgate.policy.model import Iscl, Role
from wardgate.policy.tls import Tls
from wardgate.transport.errors import TlsFailure
from wardgate.transport.iscl import IsclChannel
from wardgate.transport.isclkeys import opener
from wardgate.transport.isclsettings import settings_of
from wardgate.transport.iscltls import IsclInTls
from wardgate.transport.peer import ANONYMOUS
from wardgate.transport.tls import TlsChannel

ENDS = ("close", "reset", "half", "leave", "leave and close", "abort", "abort and leave", "abort and close", "nonsense", "torn")
SILENCE = "silence"
BOUND_SECONDS = 100.0  # all the box's own deadlines, on a busy machine
PATIENCE_SECONDS = 0.5  # of an end for what it waits for; then it ends
_USER_ABORT = pdu(ABORT, bytes(4))

Step = Callable[["End"], None]


class End:
    """One end: what it has to say and to wait for, and its wire."""

    def __init__(self, chance: random.Random, tls: Tls | None, iscl: Iscl | None, server: bool) -> None:
        self.chance = chance
        self.sock: socket.socket | None = None
        self.plain = bytearray()  # that came
        self.came = 0  # whole PDUs of these
        self.first = b""  # PDU that came
        self.steps: list[Step] = []
        self.told: list[str] = []  # what it did: for a test that fails
        self.over = False  # the box has closed, or we have
        self.deaf_until = 0.0  # it does not read
        self._wire = bytearray()  # kept for what comes next
        self._pieces: list[bytes] = []  # said, and not sent yet
        self._halves = False  # it closes its half behind these
        self._wait = (0, 0.0)  # PDUs waited for, until when
        self._shaken = tls is None and iscl is None
        self._wakes = False  # it has begun
        self.channel: TlsChannel | IsclChannel | None = None
        if tls is not None:
            self.channel = TlsChannel(peer_context(server=server), server)
        if iscl is not None:
            own = iscl._replace(name=iscl.peer_name, peer_name=iscl.name)
            side = IsclRole.SERVER if server else IsclRole.CLIENT
            words = (side, settings_of(own), LibPrimitives(), opener(own, settings_of(own), "").open())
            carried = self.channel
            self.channel = IsclChannel(*words) if carried is None else IsclInTls(*words, carried, lambda: ANONYMOUS)
        self._server = server

    # --- what a script has

    def say(self, data: bytes, join: bool) -> None:
        """Say it, alone or with what comes next."""
        if self.over or not self._shaken:
            return
        if self.channel is None:
            self._wire += data
        else:
            with suppress(IsclError, TlsFailure):
                sealed = self.channel.seal(data)
                self._wire += b"".join(sealed) if isinstance(sealed, list) else sealed
        if not join:
            self.flush()

    def wait(self, pdus: int) -> None:
        """Go on when so many more PDUs have come."""
        self.flush()
        self._wait = (self._wait[0] + pdus, time.monotonic() + PATIENCE_SECONDS)

    def flush(self) -> None:
        """Send what is said, whole or in pieces."""
        data, self._wire = bytes(self._wire), bytearray()
        if self.sock is None or self.over or not data:
            return
        pieces = [data]
        if self.chance.random() < 0.3:
            cuts = sorted(self.chance.randrange(len(data)) for _ in range(self.chance.choice((1, 3, 30))))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        self._pieces += pieces
        self.drain()

    @property
    def full(self) -> bool:
        """Does something wait to be sent?"""
        return bool(self._pieces)

    def drain(self) -> None:
        """Send what the socket takes."""
        try:
            while self._pieces and self.sock is not None:
                sent = self.sock.send(self._pieces[0])
                self._pieces[0] = self._pieces[0][sent:]
                if not self._pieces[0]:
                    del self._pieces[0]
            if self._halves and self.sock is not None:
                self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.over = True  # it closes when it has read what is left
            self._pieces.clear()

    def end(self, how: str) -> None:
        """End in one of `ENDS`, or in silence; what was joined goes with it."""
        self.told.append(how)
        self.steps.clear()
        if how == "reset" and self.sock is not None:
            self.flush()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how.startswith("abort"):
            self.say(_USER_ABORT, True)
        if how == "nonsense":
            self.say(b"GET / HTTP/1.1\r\n\r\n", True)
        if how == "torn":
            self._wire += b"\x17\x03\x03\x00\x40" + self.chance.randbytes(64)
        leaves = "leave" in how and self.channel is not None and self._shaken
        if leaves:
            with suppress(IsclError, TlsFailure):
                self._wire += self.channel.close()  # type: ignore[union-attr]
        self.flush()
        if how == "half" or (how == "leave" and not leaves):
            self._halves = True
            self.drain()
        if how.endswith(("close", "reset")):
            self.close()

    def close(self) -> None:
        """It is gone."""
        self.over = True
        self.steps.clear()
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    # --- driven by the case

    def begin(self, sock: socket.socket) -> None:
        """The connection is there."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.sock = sock
        self._wakes = True
        if self.channel is not None and not (self._server and self.channel.tls_first):
            self._shake(None)

    def go(self) -> None:
        """Do what can be done without the box."""
        while self.steps and not self.over and self._shaken and self._wakes:
            wanted, until = self._wait
            if self.came < wanted:
                if time.monotonic() > until:
                    self.end(self.chance.choice(("close", "half", "leave", "leave and close")))
                return
            self.steps.pop(0)(self)
        if not self.steps and self._shaken:
            self.flush()

    def readable(self) -> None:
        """Read once."""
        assert self.sock is not None
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            if self._shaken:
                self._take(data)
            else:
                self._shake(data)
        except (IsclError, TlsFailure):
            self.steps.clear()

    def _shake(self, data: bytes | None) -> None:
        assert self.channel is not None
        wire, done = self.channel.step(data)
        self._wire += wire
        self._shaken = done
        if not done or self.chance.random() < 0.5:
            self.flush()
        if done and isinstance(self.channel, IsclChannel):
            self.channel.attach(lambda work, finished: finished(work(), None), lambda _error: None)
        if done:
            self._take(b"")

    def _take(self, data: bytes) -> None:
        if self.channel is None:
            self.plain += data
        else:
            into = memoryview(bytearray(1 << 19))
            size = self.channel.open(data, into)
            self.plain += into[:size]
            while self.channel.pending:
                size = self.channel.open(b"", into)
                self.plain += into[:size]
            if self.channel.talks:
                said = self.channel.to_send()
                self._wire += said
                if said:
                    self.flush()
        while len(self.plain) >= 6:
            length = 6 + int.from_bytes(self.plain[2:6], "big")
            if len(self.plain) < length:
                return
            self.first = self.first or bytes(self.plain[:length])
            del self.plain[:length]
            self.came += 1


class Case:
    """One association through `relay`, from `seed`."""

    def __init__(
        self, relay: Relay, seed: int, caller: Role, words: dict[Role, tuple[Tls | None, Iscl | None]], ends: tuple[str, ...]
    ) -> None:
        self.relay = relay
        self.chance = chance = random.Random(seed)
        called = Role.PEER if caller is Role.MODALITY else Role.MODALITY
        self._called_role, self._caller_role = called, caller
        titles = ("CT1", "PACS") if caller is Role.MODALITY else ("PACS", "CT1")
        self.near = End(chance, *words[caller], server=False)
        self.far = End(chance, *words[called], server=True)
        self._later: list[tuple[float, Callable[[], None]]] = []
        near, far, behind = self.near.steps, self.far.steps, 0
        near += [self._say(associate_rq(*titles)), self._wait(1)]
        far += [self._wait(1), lambda end: end.say(associate_ac(end.first), self._joins())]
        for number in range(1, chance.choice((0, 1, 1, 2, 3, 7)) + 1):
            asked, answer = self._operation(number)
            near += map(self._say, asked)
            far += [self._wait(len(asked)), self._say(answer)]
            if chance.random() < 0.7:
                near.append(self._wait(1))
            else:
                behind += 1
        near += [self._wait(behind)]
        self._release(near, far)
        for steps in chance.choice(((near,), (near,), (far,), (near, far))):
            at = chance.randrange(len(steps) + 1)
            how = chance.choice(ends)
            steps.insert(at, lambda end, how=how: end.end(how))  # type: ignore[misc]
        if chance.random() < 0.2:
            chance.choice((near, far)).insert(chance.randrange(len(near)), self._deaf(chance.choice((0.05, 0.3))))
        self.room = chance.choice((4096, 65536, 1 << 20))
        self.before = chance.random() < 0.1  # the caller may end before it has shaken hands

    def _joins(self) -> bool:
        return self.chance.random() < 0.4

    def _say(self, data: bytes) -> Step:
        if self.chance.random() < 0.05:
            data = data[: self.chance.randrange(1, len(data))]
        join = self._joins()
        return lambda end: end.say(data, join)

    def _wait(self, pdus: int) -> Step:
        return lambda end: end.wait(pdus)

    def _deaf(self, seconds: float) -> Step:
        def deaf(end: End) -> None:
            end.deaf_until = time.monotonic() + seconds

        return deaf

    def _operation(self, number: int) -> tuple[list[bytes], bytes]:
        if self.chance.random() < 0.2:
            return [pdv(1, 3, echo_rq(number))], pdv(1, 3, echo_rsp(number))
        size = self.chance.choice((2, 1000, 60_000, 1_000_000))
        return store(number, self.chance.randbytes(size), chunk=16_000), response(number, self.chance.choice((0, 0, 0xB000, 0xA700)))

    def _release(self, near: list[Step], far: list[Step]) -> None:
        who = self.chance.random()
        if who < 0.7:
            near += [self._say(RELEASE_RQ_PDU), self._wait(1)]
            far += [self._wait(1), self._say(RELEASE_RP_PDU)]
        elif who < 0.85:
            far += [self._say(RELEASE_RQ_PDU), self._wait(1)]
            near += [self._wait(1), self._say(RELEASE_RP_PDU)]
        else:  # both at once: the requestor answers first
            near += [self._say(RELEASE_RQ_PDU), self._wait(1), self._say(RELEASE_RP_PDU), self._wait(1)]
            far += [self._say(RELEASE_RQ_PDU), self._wait(1), self._say(RELEASE_RP_PDU), self._wait(1)]
        for steps in (near, far) if who >= 0.7 else (near,):  # whoever asked has to close, or both
            how = self.chance.choice(("close", "leave and close", "leave", "half"))
            steps.append(lambda end, how=how: end.end(how))  # type: ignore[misc]

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something of the test's after this time."""
        self._later.append((time.monotonic() + seconds, act))

    def run(self) -> None:
        """Play it until the box has closed every connection. Raises `AssertionError` when it does not."""
        listener = self.relay._called[self._called_role]
        listener.settimeout(BOUND_SECONDS)
        sock = socket.socket()
        for each in (listener, sock):  # so that not all that is said is on its way at once
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.room)
        sock.connect(("127.0.0.1", self.relay.port[self._caller_role]))
        self.near.begin(sock)
        if self.before:
            self.near.end(self.chance.choice(ENDS))
        deadline = time.monotonic() + BOUND_SECONDS
        try:
            while True:
                for at, act in [each for each in self._later if each[0] <= time.monotonic()]:
                    self._later.remove((at, act))
                    act()
                for end in (self.near, self.far):
                    end.go()
                fds = {end.sock.fileno(): end for end in (self.near, self.far) if end.sock is not None}
                if not fds and not self._later and self._box_is_done():
                    return
                assert time.monotonic() < deadline, f"not closed: {self}"
                poll = select.poll()
                poll.register(listener.fileno(), select.POLLIN)
                for fd, end in fds.items():
                    hears = select.POLLIN if end.deaf_until < time.monotonic() else 0
                    poll.register(fd, hears | (select.POLLOUT if end.full else 0))
                for fd, events in poll.poll(20):
                    if fd in fds:
                        if events & select.POLLOUT and fds[fd].sock is not None:
                            fds[fd].drain()
                        if events & ~select.POLLOUT and fds[fd].sock is not None:
                            fds[fd].readable()
                    else:
                        sock, _ = listener.accept()
                        self.far.begin(sock) if not self.far._wakes else sock.close()
        finally:
            for end in (self.near, self.far):
                end.close()
            while readable(listener.fileno(), seconds=0):  # the box was gone before we looked
                listener.accept()[0].close()

    def _box_is_done(self) -> bool:
        """Has the box taken the connection, and is nothing left of its association? A caller may be gone before either."""
        if backlog(self.relay.port[self._caller_role]):
            return False
        self.relay.turned()
        return not self.relay.gate.associations

    def __str__(self) -> str:
        left = [association.phase for association in self.relay.gate.associations]
        return f"near {self.near.told} {self.near.came}, far {self.far.told} {self.far.came}, {left}, {sorted(self.relay.codes())}"
