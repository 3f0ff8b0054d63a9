"""`netd`: the process that alone holds CAP_NET_ADMIN and CAP_NET_RAW. `python -m wardgate.plant.netd -c FILE`, ready when it says READY.
With `--wanted` it only tells whether policy joins the ports: 0 yes, 1 no, 255 the policy has mistakes.

One `epoll` loop: the socket of those who ask, the two ports, signals, a tick. SIGHUP reads the configuration again, SIGTERM ends the
process; bridge and rules stay in the kernel, so that what is in force stays in force.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from pwd import getpwnam
from types import FrameType
from typing import Final

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.notify import Notifier
from wardgate.plant import wire
from wardgate.plant.acts import Button, Card
from wardgate.plant.box import Box
from wardgate.plant.features import Features
from wardgate.plant.mirror import Mirror, other
from wardgate.plant.ports import Port, link
from wardgate.plant.probe import rules
from wardgate.plant.programs import ProgramError, ip_batch
from wardgate.plant.requests import Asker, Requests
from wardgate.policy.loader import load_config
from wardgate.policy.mistakes import ConfigErrors
from wardgate.policy.plant import Ports, Side

_TICK_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 5.0
_REST_SECONDS: Final = 0.05
_LONGEST_REST_SECONDS: Final = 1.6
_MAX_CLIENTS: Final = 64
_WRONG: Final = 255  # to ExecCondition= of systemd: no "no", a failure


class Netd:
    """The loop."""

    def __init__(self, path: str) -> None:
        """Raises `ConfigErrors`."""
        self._path = path
        config = load_config(path, files=False)
        self.log = Log(f"{config.box.name}.netd")
        features = rules() if config.plant.ports is not Ports.NONE else Features()
        self.box = Box(config, features, self.log)
        self._requests = Requests(self.box, self._reload)
        self._mirror = Mirror(time.monotonic())
        self._epoll = select.epoll()
        self._notifier = Notifier()
        self._clients: dict[int, tuple[socket.socket, Asker]] = {}
        self._acts: dict[int, Button | Card] = {}
        self._resting: dict[int, float] = {}  # ports that are not heard until then
        self._rests: dict[int, float] = {}  # how long the last rest of a port was
        self._running = True
        self._reload_wanted = False

    def run(self) -> int:
        """Serve until SIGTERM; return the exit status."""
        plant = self.box.plant
        if plant.ports is Ports.NONE:  # the service of an image starts it whatever the policy says
            self.log.event(Code.NETD_NOT_NEEDED)
            self._say_ready()
            return 0
        if self.box.features.missing:
            self.log.event(Code.NETD_CANNOT_START, detail=", ".join(self.box.features.missing))
            return 1
        try:
            server = _listen(plant.socket)
            self.box.begin()
        except (ProgramError, OSError) as error:
            self.log.event(Code.NETD_CANNOT_START, detail=error)
            return 1
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        self._epoll.register(server.fileno(), select.EPOLLIN)
        self._epoll.register(wake_read, select.EPOLLIN)
        ports = {port.sock.fileno(): port for port in self.box.ports}
        for fd in ports:
            self._epoll.register(fd, select.EPOLLIN)
        self.log.event(Code.NETD_STARTED, ports=plant.ports, enforce=plant.enforce)
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        self._say_ready()
        tick = look = time.monotonic()
        while self._running:
            for fd, _events in self._epoll.poll(_REST_SECONDS if self._resting else _TICK_SECONDS):
                try:
                    self._event(fd, server, wake_read, ports)
                except (ProgramError, OSError) as error:
                    self.log.event(Code.PLANT_RULES_REFUSED, detail=error)
                except Exception as error:
                    self.log.event(Code.NETD_DEFECT, detail=f"{type(error).__name__}: {error}")
            now = time.monotonic()
            self._notifier.turned(now)
            for fd in [fd for fd, until in self._resting.items() if now >= until]:
                del self._resting[fd]
                self._epoll.register(fd, select.EPOLLIN)
            if now - tick >= _TICK_SECONDS:
                tick = now
                self._tick(now, look_too=now - look >= _LOOK_SECONDS)
                look = now if now - look >= _LOOK_SECONDS else look
        self._notifier.stopping("the rules stay in the kernel")
        server.close()
        plant.socket.unlink(missing_ok=True)
        self.log.event(Code.NETD_STOPPED)
        return 0

    def _event(self, fd: int, server: socket.socket, wake: int, ports: dict[int, Port]) -> None:
        if fd == wake:
            os.read(wake, 4096)
        elif fd == server.fileno():
            self._accept(server)
        elif fd in ports:
            if self.box.hear(ports[fd]):  # a flood: what it can teach is known soon; the processor is the study's
                self._rest(fd)
            else:
                self._rests.pop(fd, None)
        elif fd in self._clients:
            self._serve(*self._clients[fd])
        elif fd in self._acts:
            self.box.bypass.heard(self._acts[fd], time.monotonic())
            self._watch_acts()

    def _rest(self, fd: int) -> None:
        """Hear nothing of a port for a while, twice as long each time that it is still flooded."""
        rest = self._rests[fd] = min(2 * self._rests.get(fd, _REST_SECONDS / 2), _LONGEST_REST_SECONDS)
        self._epoll.unregister(fd)
        self._resting[fd] = time.monotonic() + rest

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload_wanted = True
        else:
            self._running = False

    def _tick(self, now: float, look_too: bool) -> None:
        try:
            if self._reload_wanted:
                self._reload_wanted = False
                self._notifier.reloading("reading the configuration again")
                try:
                    self._reload()
                except ValueError as error:
                    self.log.event(Code.PLANT_RULES_REFUSED, detail=error)
                finally:
                    self._say_ready()
            self.box.look(now)
            self._watch_acts()
            self._links(now)
            if look_too:
                self.box.look_at_refused()
        except (ProgramError, OSError) as error:
            self.log.event(Code.PLANT_RULES_REFUSED, detail=error)
        except Exception as error:
            self.log.event(Code.NETD_DEFECT, detail=f"{type(error).__name__}: {error}")

    def _reload(self) -> None:
        try:
            config = load_config(self._path, files=False)
        except ConfigErrors as errors:
            for mistake in errors.mistakes:
                self.log.event(mistake.code, place=mistake.place, expected=mistake.expected, found=mistake.found)
            raise ValueError("the configuration has mistakes; the old one holds") from errors
        self.box.reload(config)

    def _say_ready(self) -> None:
        plant = self.box.plant
        self._notifier.ready(f"{plant.ports}, {'the policy holds' if plant.enforce else 'ENFORCE = FALSE'}")

    def _links(self, now: float) -> None:
        plant = self.box.plant
        if not plant.link_loss or plant.ports is not Ports.BRIDGE:
            return
        devices = {Side.MODALITY: plant.modality_port, Side.HOSPITAL: plant.hospital_port}
        act = self._mirror.step(link(devices[Side.MODALITY]), link(devices[Side.HOSPITAL]), now)
        if act is not None:
            ip_batch([f"link set dev {devices[act.side]} {'up' if act.up else 'down'}"])
            self.log.event(Code.PLANT_LINK_BACK if act.up else Code.PLANT_LINK_LOST, devices[other(act.side)])

    # --- those who ask

    def _accept(self, server: socket.socket) -> None:
        client, _ = server.accept()
        client.setblocking(False)
        _pid, uid, _gid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        plant = self.box.plant
        keepers = (0, os.geteuid(), *(_uids([plant.management.user]) if plant.management.side is not Side.OFF else ()))
        if uid not in (*keepers, *plant.allow_uids, *_uids(plant.allow_users)):
            self.log.event(Code.NETD_STRANGER, f"uid {uid}")
            client.close()
            return
        if len(self._clients) >= _MAX_CLIENTS:  # the oldest gives way: whoever asks, asks at once
            self._leave(next(iter(self._clients.values()))[0])
        self._clients[client.fileno()] = client, Asker(uid, uid in keepers)
        self._epoll.register(client.fileno(), select.EPOLLIN)

    def _watch_acts(self) -> None:
        """Watch the button and the card reader that are open now: they come and go. A closed descriptor leaves the set by itself."""
        acts = {act.fd: act for act in self.box.bypass.acts if act.fd >= 0}
        for fd, act in acts.items():
            if self._acts.get(fd) is not act:
                self._epoll.register(fd, select.EPOLLIN)
        self._acts = acts

    def _serve(self, client: socket.socket, asker: Asker) -> None:
        try:
            request, fd = wire.receive(client)
            if fd is not None:
                os.close(fd)
        except BlockingIOError:
            return
        except (OSError, EOFError, wire.WireError):
            self._leave(client)
            return
        answer, sock = self._requests.answer(request, asker)
        try:
            wire.send(client, answer, sock.fileno() if sock is not None else None)
        except (OSError, wire.WireError):
            self._leave(client)
        finally:
            if sock is not None:
                sock.close()

    def _leave(self, client: socket.socket) -> None:
        self._clients.pop(client.fileno(), None)
        self._epoll.unregister(client.fileno())
        client.close()


def _uids(names: Iterable[str]) -> list[int]:
    found = []
    for name in names:
        try:
            found.append(getpwnam(name).pw_uid)
        except KeyError:
            pass  # on a bench
    return found


def _listen(path: Path) -> socket.socket:
    """The directory is open to all, the socket too: who may ask is told by SO_PEERCRED."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    server.bind(str(path))
    path.chmod(0o666)
    server.listen(64)
    return server


def main() -> int:
    """Run it."""
    words = sys.argv[1:]
    asking = words[:1] == ["--wanted"]
    words = words[1:] if asking else words
    if len(words) != 2 or words[0] not in ("-c", "--config"):
        sys.stderr.write("usage: python -m wardgate.plant.netd [--wanted] -c FILE\n")
        return 2
    try:
        if asking:
            return 1 if load_config(words[1], files=False).plant.ports is Ports.NONE else 0
        netd = Netd(os.path.abspath(words[1]))
    except ConfigErrors as errors:
        sys.stderr.write(f"{errors}\n")
        return _WRONG if asking else 1
    return netd.run()


if __name__ == "__main__":
    sys.exit(main())
