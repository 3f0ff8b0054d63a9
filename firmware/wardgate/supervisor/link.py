"""The supervisor's link: `python -m wardgate.supervisor.link`. Says "alive" to the supervisor while the box is well, and logs its events,
in the custody log too.

One loop. The line may come and go; a SIGTERM means that the box goes down on purpose, and the supervisor is asked for patience.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.notify import Notifier
from wardgate.supervisor.conversation import Conversation, Event, State, Status, What
from wardgate.supervisor.health import Health, Question
from wardgate.supervisor.keeping import Keeping
from wardgate.supervisor.shown import PATH, Shown
from wardgate.supervisor.tty import Line

if TYPE_CHECKING:
    from types import FrameType

_STATE: Final = "/state"
_LINE: Final = "/dev/ward-supervisor"  # named by udev
SILENCE_SECONDS: Final = 60
_WORDS: Final = 12  # in that time: a few may be missed on a busy box
# A shutdown may wait for associations (TimeoutStopSec=330), and a start with a TPM or a new slot takes its time.
GRACE_SECONDS: Final = 900
_OPEN_SECONDS: Final = 1.0
_TURN_SECONDS: Final = 0.5
_REST_SECONDS: Final = 0.02  # after each turn: a device that floods the line has no processor of the box for it
_LAST_WORD_SECONDS: Final = 0.2

_CODES: Final = {
    What.RESET: Code.SUPERVISOR_RESET,
    What.WITHHELD: Code.SUPERVISOR_WITHHELD,
    What.TAMPER_OPENED: Code.BOX_OPENED,
    What.TAMPER_CLOSED: Code.BOX_SWITCH,
    What.CARD_IN: Code.BOX_SWITCH,
    What.CARD_OUT: Code.BOX_SWITCH,
    What.BUTTON_HELD: Code.BOX_BUTTON,
}


class Link:
    """The loop. `silence`: seconds without a word after which the box is to be reset; `state`: where events are kept for the custody log;
    `shown`: the file for `wardgate status`."""

    def __init__(self, line: str, silence: int, state: str, shown: str) -> None:
        self._log = Log("supervisor")
        self._keeping = Keeping(state, self._log)
        self._shown = Shown(shown)
        self._notifier = Notifier()
        self._line = Line(line)
        self._silence = silence
        self._every = silence / _WORDS
        self._question = Question()
        self._conversation: Conversation | None = None
        self._health: Health | None = None
        self._next_question = self._next_opening = 0.0
        self._answered = True  # nothing was said of the line yet
        self._state: State | None = None
        self._damaged = self._lost = 0
        self._running = True

    def run(self) -> int:
        """Go on until SIGTERM; return the exit status."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        self._notifier.ready("looking for the supervisor")
        while self._running:
            now = time.monotonic()
            self._notifier.turned(now)
            self._open(now)
            self._ask(now)
            self._listen(now)
            self._shown.turn(now)
            poll = select.poll()
            for fd in (wake_read, self._line.fd, self._question.fd):
                if fd >= 0:
                    poll.register(fd, select.POLLIN)
            poll.poll(_TURN_SECONDS * 1000)
            time.sleep(_REST_SECONDS)
        self._end()
        return 0

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self._running = False

    def _open(self, now: float) -> None:
        if self._line.fd >= 0 or now < self._next_opening:
            return
        self._next_opening = now + _OPEN_SECONDS
        self._conversation = None
        if self._line.open():
            self._conversation = Conversation(now)
            self._state, self._damaged, self._lost = None, 0, 0
        else:
            self._away(self._line.problem)

    def _ask(self, now: float) -> None:
        health = self._question.take(now)
        if health is None and now >= self._next_question and self._question.fd < 0:
            problem = self._question.ask(now)
            self._next_question = now + self._every
            health = Health.NOT_WELL if problem else None
        if health is None:
            return
        self._next_question = now + self._every
        if health is Health.NOT_WELL:
            if self._health is not health:
                self._log.event(Code.BOX_NOT_WELL)
        elif self._conversation is not None:
            self._conversation.alive(self._silence, health is Health.SERVING)
        self._health = health

    def _listen(self, now: float) -> None:
        talk = self._conversation
        if talk is None or self._line.fd < 0:
            return
        for told in talk.receive(self._line.read(), now):
            if isinstance(told, Event):
                self._happened(told, now)
            else:
                self._stands(told)
        talk.tick(now)
        self._count(talk.damaged, talk.foreign)
        self._line.write(talk.take_output())
        if self._line.fd < 0:
            self._away(self._line.problem)
        elif talk.silent:
            self._state = None
            self._away("it is silent")

    def _happened(self, event: Event, now: float) -> None:
        """It is kept before the supervisor hears that it may forget it: what was received is answered at the end of the turn."""
        code = _CODES[event.what]
        self._log.event(code, what=event.what.name.lower(), seconds_ago=event.ago)
        self._keeping.happened(event, code, now)
        self._shown.happened(event)

    def _stands(self, status: Status) -> None:
        self._shown.stands(status)
        if status.state is not self._state:
            self._state, self._answered = status.state, True
            inputs = {"card": "in" if status.card else "out", "box": "open" if status.tamper else "closed"}
            self._log.event(Code.SUPERVISOR_ANSWERS, state=status.state.name.lower(), resets=status.resets, **inputs)
            self._notifier.status(f"the supervisor's watchdog: {status.state.name.lower()}")
        if status.lost > self._lost:
            self._log.event(Code.SUPERVISOR_EVENTS_LOST, lost=status.lost)
        self._lost = status.lost

    def _count(self, damaged: int, foreign: int) -> None:
        if damaged > self._damaged:
            self._log.event(Code.SUPERVISOR_NOISE, frames=damaged, other_version=foreign)
        self._damaged = damaged

    def _away(self, problem: str) -> None:
        self._shown.away(problem)
        if self._answered:
            self._answered = False
            self._log.event(Code.SUPERVISOR_AWAY, detail=problem)
            self._notifier.status("no supervisor answers")

    def _end(self) -> None:
        self._notifier.stopping("the supervisor is asked for patience")
        self._question.close()
        if self._conversation is not None and self._line.fd >= 0:
            self._conversation.grace(GRACE_SECONDS)
            self._line.write(self._conversation.take_output())
            time.sleep(_LAST_WORD_SECONDS)  # closing throws away what the device has not taken
        self._line.close()


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="wardgate.supervisor.link")
    parser.add_argument("--line", default=_LINE, help="the serial line (default: %(default)s)")
    parser.add_argument("--silence", type=int, default=SILENCE_SECONDS, help="seconds without a word after which the box is reset")
    parser.add_argument("--state", default=_STATE, help="the state partition (default: %(default)s)")
    parser.add_argument("--shown", default=PATH, help="the file for `wardgate status` (default: %(default)s)")
    options = parser.parse_args()
    return Link(options.line, options.silence, options.state, options.shown).run()


if __name__ == "__main__":
    sys.exit(main())
