"""What the writer is told of tokens by the master, and records.

    master -> writer  {"do":"tokens","out":["WG740","detail"] or null,"news":[[n,{"event":...,"token":...,...}],...]}
    writer -> master  {"is":"tokens","done":n}       the records up to n are durable

`out`: why checkpoints cannot be signed now. News carry rising numbers and are sent again until they are done; a writer that took over
knows none of them, so after a crash a record may stand in the log twice. Serial numbers come in clear and are recorded as SHA-256.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from wardgate.codes import Code
from wardgate.custody.background import Background
from wardgate.custody.control import Control
from wardgate.custody.journal import NO_BOUND, Journal
from wardgate.custody.options import Options
from wardgate.custody.record import TokenEvent, TokenNews
from wardgate.custody.sha import sha256
from wardgate.log import Log

_MAX_WAITING: Final = 1024
_FIELDS: Final = ("box", "token", "serial", "users", "code", "detail")


class TokenBook:
    """Writes token records in the order in which they came; answers the master when they are durable."""

    def __init__(self, options: Options, log: Log, journal: Journal, background: Background, control: Control) -> None:
        self._options = options
        self._control = control
        self._log = log
        self._journal = journal
        self._background = background
        self._waiting: deque[tuple[int, TokenNews]] = deque()  # number (0: our own), news
        self._written: list[tuple[int, TokenNews]] = []  # in the batch
        self._last = 0
        self._box = ""
        self._full = False

    def told(self, data: bytes) -> None:
        """Take a message of the master."""
        from wardgate.master.control import ControlError, decode

        try:
            message = decode(data)
            news = [(int(number), _news(fields)) for number, fields in message.get("news", ())]
        except (ControlError, ValueError, TypeError, KeyError) as error:
            self._log.event(Code.CUSTODY_WIRE, "master", detail=type(error).__name__)
            return
        for number, item in news:
            if number > self._last and len(self._waiting) < _MAX_WAITING:
                self._last = number
                self._box = item.box
                self._waiting.append((number, item))
        out = message.get("out")
        self._background.tell((str(out[0]), str(out[1])) if isinstance(out, list) and len(out) == 2 else None)

    def write(self) -> None:
        """Put what waits into the batch."""
        background, journal = self._background, self._journal
        while background.news:
            event, code, detail = background.news.pop(0)
            self._waiting.append((0, TokenNews(event, self._box, self._options.origin, "", "custody", code, detail)))
        if not journal.broken:
            while self._waiting and journal.add_token(self._waiting[0][1], not background.signing.is_out):
                self._written.append(self._waiting.popleft())
        full = journal.state.next_index >= journal.stop_at
        if full and not self._full:
            self._log.event(Code.CUSTODY_UNSIGNED_FULL, unsigned=journal.state.next_index - journal.signed)
        self._full = full

    def settle(self) -> None:
        """The batch was committed, or lost: then its news wait again."""
        if not self._written:
            return
        if self._journal.broken:
            self._waiting.extendleft(reversed(self._written))
        else:
            done = max(number for number, _ in self._written)
            if done:
                self._control.say(b'{"is":"tokens","done":%d}' % done)
        self._written.clear()

    def called(self) -> None:
        """Another master: its numbers are its own, and none of them was heard yet."""
        self._last = 0

    def report(self) -> dict[str, Any]:
        """Return what the status shows of signing."""
        signing, journal = self._background.signing, self._journal
        if not signing.is_out:
            return {"signing": "in"}
        bound = self._options.unsigned_records if journal.stop_at != NO_BOUND else 0
        return {
            "signing": "out",
            "signing_since": int(signing.since),
            "signing_code": signing.code,
            "signing_detail": signing.detail,
            "unsigned_bound": bound,
        }


def _news(fields: dict[str, object]) -> TokenNews:
    news = TokenNews(TokenEvent(fields["event"]), *(str(fields.get(name, "")) for name in _FIELDS))
    return news._replace(serial=sha256(news.serial.encode()).hexdigest() if news.serial else "")
