"""What the card knows only while it has power, and the two ways to change what it knows for good."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from virtualcard import state
from virtualcard.apdu import Refusal, Status, tries_left
from virtualcard.state import CardState, Secret, SymmetricKey
from virtualcard.store import Store


class Session:
    """Security state and persistent state of one card under power."""

    def __init__(self, store: Store, random: Callable[[int], bytes] = os.urandom) -> None:
        self._store = store
        self.random = random
        self.state: CardState = store.load()
        self.signed = False  # this command used a private key, which takes a real card long
        self.forget()

    def forget(self) -> None:
        """Lose all security state, as after a reset."""
        self.pin_verified = False
        self.leave()

    def leave(self) -> None:
        """Lose what holds for one application, when another one is selected. The PIN stays verified: it is the card's (decision 019)."""
        self.pin_fresh = False  # the PIN came directly before (SP 800-73-4 Part 1, table 5: PIN always)
        self.admin_verified = False
        self.challenge: bytes | None = None  # what the card drew last for somebody else to answer
        self.purpose = ""  # which command may answer it

    @contextmanager
    def change(self) -> Iterator[CardState]:
        """Give a copy of the state to change; what was changed is durable and counts when the block has ended."""
        changed = state.copy(self.state)
        yield changed
        try:
            self._store.save(changed)
        except OSError as error:
            raise Refusal(Status.MEMORY_FAILURE) from error
        self.state = changed

    def draw(self, length: int, purpose: str) -> bytes:
        """Draw a challenge that only `purpose` may answer, once."""
        self.challenge, self.purpose = self.random(length), purpose
        return self.challenge

    def take_challenge(self, purpose: str) -> bytes:
        """Return the challenge and forget it. Raises `Refusal` (6985) where none was drawn for `purpose`."""
        challenge, expected = self.challenge, self.purpose
        self.challenge, self.purpose = None, ""
        if challenge is None or expected != purpose:
            raise Refusal(Status.CONDITIONS)
        return challenge

    def need_pin(self) -> None:
        """Raises `Refusal` (6982) unless the PIN was verified."""
        if not self.pin_verified:
            raise Refusal(Status.NOT_SATISFIED)

    def need_admin(self) -> None:
        """Raises `Refusal` (6982) unless the holder of the management key authenticated."""
        if not self.admin_verified:
            raise Refusal(Status.NOT_SATISFIED)

    def compare(self, which: Callable[[CardState], Secret | SymmetricKey], expected: bytes, given: bytes) -> None:
        """Compare under a try counter."""
        self.judge(which, lambda: hmac.compare_digest(expected, given))

    def judge(self, which: Callable[[CardState], Secret | SymmetricKey], right: Callable[[], bool]) -> None:
        """Judge under a try counter. The try is used up durably before `right` looks at the bytes.

        So a power cut between comparison and answer gains nobody a try. Raises `Refusal` (63CX, 6983; 6300 where nothing is counted).
        """
        counted = which(self.state).limit > 0
        if counted:
            if not which(self.state).tries:
                raise Refusal(Status.BLOCKED)
            with self.change() as changed:
                which(changed).tries -= 1
        if not right():
            raise tries_left(which(self.state).tries) if counted else Refusal(Status.WRONG)
        if counted:
            with self.change() as changed:
                which(changed).tries = which(changed).limit
