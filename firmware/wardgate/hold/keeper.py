"""What a worker has of the queue: the store, the thread that makes files durable, the room left, what destinations accept."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.hold.gather import Beside
from wardgate.hold.memory import Accepted, Answer, ContextMemory, Pair, answers
from wardgate.hold.pots import Pots
from wardgate.hold.row import Lag
from wardgate.hold.space import Space, free_bytes
from wardgate.hold.store import Store
from wardgate.hold.syncer import Syncer
from wardgate.hold.wrap import WrapError, wrapper_for
from wardgate.policy.keyref import TokenKey
from wardgate.policy.model import Delivery, Direction
from wardgate.relay.tokens import Out

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wardgate.hold.commitment.post import Post
    from wardgate.hold.header import Header
    from wardgate.hold.store import Body, Entry
    from wardgate.policy.model import Config, Link, Party
    from wardgate.relay.loop import Loop
    from wardgate.upperlayer.pdu import AssociateAC, AssociateRQ

POKE_NAME: Final = "hold-poke.sock"
SPARES: Final = 2  # segments made ahead, while instances come
FEW_SPARES: Final = 1
GATHERING: Final = 8  # threads that hash, seal and wait until an instance is durable
NEWS: Final = 32  # instances told of in one packet, at most
CLOSE_SECONDS: Final = 2.0
PREPARE_SECONDS: Final = 1.0  # before a token that did not answer is asked again


class Keeper:
    """One a worker. Raises `OSError`, `WrapError` when it cannot be made."""

    def __init__(self, config: Config, loop: Loop, event: Callable[..., None]) -> None:
        hold = config.hold
        assert hold is not None
        self.store = Store(hold.directory, wrapper_for(hold, config.keys))
        self.memory = ContextMemory(self.store.contexts, self.store.files)
        self.space = Space(
            hold.max_bytes, hold.keep_free_bytes, lambda: self.store.counters.held_bytes, lambda: free_bytes(self.store.directory)
        )
        self.pots = Pots()
        self.syncer = Syncer(loop.call)  # waits for nobody: what hashes and seals may wait for it
        self._gatherer = Syncer(loop.call, threads=GATHERING)
        self.beside = Beside(self._gatherer.submit, loop.call, config.box.hash_threads == 0)
        self._teacher = Syncer(loop.call, threads=1)
        self._event = event
        self._loop = loop
        self._key = hold.key
        self._run_dir = config.box.run_dir
        self._post: Post | None = None
        self.key_out: Out | None = Out(Code.TOKEN_IS_ABSENT, "not asked yet") if isinstance(hold.key, TokenKey) else None
        self._era = 0  # counts what was said of the token
        self._full = False
        self._poke_path = str(poke_path(config.box.run_dir))
        self._poke = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.lag = Lag(loop, event)
        self.held = 0
        self._news: list[tuple[Entry, Pair, str, str]] = []  # what came and the forwarder was not told of
        self._laying_in = False
        self._taught: dict[Pair, list[Answer]] = {}
        loop.each_tick(self._look)

    def poke(self, entry: Entry, pair: Pair, abstract_syntax: str, transfer_syntax: str) -> None:
        """Tell the forwarder what came, several at once: at the next tick, or when they are many. It looks for itself too, now and then."""
        self._news.append((entry, pair, abstract_syntax, transfer_syntax))
        if len(self._news) >= NEWS:
            self._tell_news()

    def _tell_news(self) -> None:
        if self._news:
            news, self._news = self._news, []
            lines = [
                "\0".join((entry.stem, entry.place.path, str(entry.place.offset), str(entry.place.length), *pair, *syntaxes))
                for entry, pair, *syntaxes in news
            ]
            self.tell_forwarder("\n".join(lines))

    def tell_forwarder(self, *words: str) -> None:
        """Say something to the forwarder; it may not hear."""
        try:
            self._poke.sendto("\0".join(words).encode("utf-8", "replace"), self._poke_path)
        except OSError:
            pass

    def post(self) -> Post:
        """Return what storage commitment needs; made when it is needed first. Raises `OSError`."""
        if self._post is None:
            from wardgate.hold.commitment.post import Post

            self._post = Post(self, str(self._run_dir), self._loop)
        return self._post

    def begin(self, header: Header, landed: Callable[[], None]) -> Body:
        """Begin a new instance, in a segment laid in. `landed` is told when the disk has a piece. Raises `OSError`, `WrapError`."""
        if self.key_out is not None:
            raise WrapError(f"{self.key_out.code}: the token with the key of the queue is out")
        body = self.store.begin(header, lambda write: self.syncer.submit(write, lambda _error: landed()))
        if self.store.spares < FEW_SPARES and not self._laying_in:
            self._laying_in = True
            self.syncer.submit(lambda: self.store.lay_in(SPARES), self._laid_in)
        return body

    def prepare(self) -> None:
        """Nobody waits now: have keys ready for the next instances."""
        if self.key_out is None:
            with suppress(WrapError):  # who needs one is told
                self.store.make_keys()

    def take_back(self, body: Body) -> None:
        """Take an instance back that was kept and that nobody was told of, beside the loop."""
        self.syncer.submit(lambda: self.store.drop(body, kept=True), _ignore)

    def close(self) -> None:
        """The worker ends: finish what the disk is to do, let go of the segments."""
        self._gatherer.close(CLOSE_SECONDS)
        self.syncer.close(CLOSE_SECONDS)
        self._tell_news()
        if self._post is not None:
            self._post.close()
        self._teacher.close(CLOSE_SECONDS)
        self.store.close()

    def token(self, out: Out | None) -> None:
        """The token with the key of the queue is out, or it is there: without it nothing is accepted."""
        if not isinstance(self._key, TokenKey):
            return
        self._era += 1
        if out is not None:
            if self.key_out is None or self.key_out.code is not out.code:
                self._event(out.code, "hold", detail=out.detail)
            self.key_out = out
            self.store.forget_keys()
        elif self.key_out is not None:
            self._prepare(self._era)

    def _prepare(self, era: int) -> None:
        def prepared(error: Exception | None) -> None:
            if era != self._era:  # it went again meanwhile
                return
            if error is None:
                self.key_out = None
                self._event(Code.TOKEN_IS_BACK, "hold")
                return
            code = getattr(error, "code", Code.WORKER_DEFECT)
            self.key_out = Out(code, str(error))
            self._event(code, "hold", detail=error)
            self._loop.at(PREPARE_SECONDS, lambda: self._prepare(era))

        self._teacher.submit(self.store.wrapper.prepare, prepared)

    def _laid_in(self, _error: Exception | None) -> None:
        self._laying_in = False

    def recall(self, link: Link, peer: Party, request: AssociateRQ) -> Accepted:
        """Return what the destination of `request` accepted when it was last seen."""
        return self.memory.recall(pair_of(link, peer, request.calling_ae, request.called_ae))

    def passed(self, link: Link, direction: Direction, peer: Party, request: AssociateRQ, answer: AssociateAC) -> None:
        """An association was relayed: remember what the destination accepted."""
        if holds(link, direction):
            self.teach(pair_of(link, peer, request.calling_ae, request.called_ae), request, answer)

    def teach(self, pair: Pair, request: AssociateRQ, answer: AssociateAC) -> None:
        """Remember what a called side accepted, beside the loop."""
        told = answers(request, answer)
        if self._taught.get(pair) == told:
            return
        if len(self._taught) > 256:
            self._taught.clear()
        self._taught[pair] = told

        def done(error: Exception | None) -> None:
            if error is not None:
                self._taught.pop(pair, None)

        self._teacher.submit(lambda: _ignore(self.memory.teach(pair, told)), done)

    def room(self) -> bool:
        """Reserve room for the first bytes of an instance; say so in the log when there is none."""
        room = self.space.reserve()
        self._tell(not room)
        return room

    def _look(self) -> None:
        self.space.look_again()
        self._tell_news()
        if self._full:
            self._tell(not self.space.room())

    def _tell(self, full: bool) -> None:
        if full != self._full:
            self._full = full
            held = self.store.counters.held_bytes
            self._event(
                Code.HOLD_LOW_SPACE if full else Code.HOLD_SPACE_AGAIN, held_bytes=held, free_bytes=free_bytes(self.store.directory)
            )


def holds(link: Link, direction: Direction) -> bool:
    """May an association of this link and direction be held?"""
    return link.delivery is not Delivery.RELAY and direction is Direction.TO_HOSPITAL


def pair_of(link: Link, peer: Party, calling: str, called: str) -> Pair:
    """Return the key under which the destination's contexts are kept."""
    return Pair(link.name, peer.name, calling.strip(), called.strip())


def poke_path(run_dir: Path) -> str:
    """Return where the forwarder is told of new instances."""
    return os.path.join(run_dir, POKE_NAME)


def _ignore(_value: object) -> None:
    """A result that nobody wants."""
