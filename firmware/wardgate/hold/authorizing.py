"""The forwarder's side of `wardgate custody authorize` (PS3.15 A.1.1 b): writes statements, takes signed ones, once each."""

from __future__ import annotations

import hashlib
import os
import re
import time
from typing import TYPE_CHECKING, Any, Final

from wardgate.codes import Code
from wardgate.custody.status import NotPermitted
from wardgate.edit.elements import DatasetError
from wardgate.hold import holding
from wardgate.hold.originals import now_text
from wardgate.hold.seal import Damaged
from wardgate.hold.statement import MAX_INSTANCES, Named, NotAuthorized, read_signed, statement

if TYPE_CHECKING:
    from wardgate.hold.forwarder import Forwarder
    from wardgate.hold.header import Header
    from wardgate.hold.originals import Originals
    from wardgate.hold.store import Entry
    from wardgate.policy.model import Link

VALID_SECONDS: Final = 900.0  # of a statement
MAX_STATEMENTS: Final = 64
_COMMENT: Final = re.compile(r"[ -~]{0,256}")  # an LT of ASCII
_UID: Final = re.compile(r"[0-9.]{1,64}")


class Authorizing:
    """One a forwarder. Statements are in memory: a restart makes them void."""

    def __init__(self, forwarder: Forwarder, originals: Originals) -> None:
        self._forwarder = forwarder
        self._originals = originals
        self._statements: dict[str, tuple[float, str, str, tuple[Named, ...]]] = {}  # text -> until, link, comment, instances
        self._done: dict[str, str] = {}  # SHA-256 of a statement -> how it ended

    def write(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return a statement over the instances named; all of them wait for authorization on one link. Raises what the disk raises."""
        uids = [uid for uid in question.get("instances", []) if isinstance(uid, str) and _UID.fullmatch(uid)]
        comment = str(question.get("comment", ""))
        if not 0 < len(uids) <= MAX_INSTANCES or len(set(uids)) != len(uids):
            return _no(f"one to {MAX_INSTANCES} SOP Instance UIDs, each once")
        if not _COMMENT.fullmatch(comment):
            return _no("a comment of at most 256 ASCII characters")
        found = self._waiting(set(uids))
        missing = [uid for uid in uids if uid not in found]
        if missing:
            return _no(f"no such original waits: {missing[0]}")
        links = {found[uid][1].link for uid in uids}
        if len(links) != 1:
            return _no("instances of one link only")
        try:
            named = tuple(Named(uid, self._digest(*found[uid])) for uid in uids)
        except (DatasetError, Damaged) as error:
            return _no(str(error)[:200])
        (link,) = links
        text = statement(self._forwarder.config.box.name, link, os.urandom(16).hex(), now_text(), comment, named)
        now = self._forwarder.loop.now
        self._statements = {each: of for each, of in self._statements.items() if of[0] > now}
        if len(self._statements) >= MAX_STATEMENTS:
            return _no("too many statements wait for their signature")
        self._statements[text] = (now + VALID_SECONDS, link, comment, named)
        return {"ok": True, "statement": text}

    def take(self, question: dict[str, Any]) -> dict[str, Any]:
        """Take a signed statement: each instance becomes AO once its record is durable. Raises what the disk raises."""
        text = str(question.get("statement", ""))
        until, link_name, comment, named = self._statements.get(text, (0.0, "", "", ()))
        if until <= self._forwarder.loop.now:
            return self._refused("the box has not written this statement, or it is too old, or it was used")
        link = next((link for link in self._forwarder.config.links if link.name == link_name), None)
        if link is None:
            return self._refused("its link is gone")
        try:
            signed = read_signed(question, link.authorizers, time.time())
        except NotAuthorized as error:
            return self._refused(str(error))
        del self._statements[text]  # once
        found = self._waiting({each.sop_instance for each in named})
        for each in named:
            if each.sop_instance not in found or self._digest(*found[each.sop_instance]) != each.sha256:
                return self._refused(f"another instance than the one that was signed: {each.sop_instance}")
        name = hashlib.sha256(text.encode("ascii")).hexdigest()
        left = [len(named)]
        good = [True]

        def done(durable: bool) -> None:
            left[0] -= 1
            good[0] &= durable
            if not left[0]:
                self._done[name] = "done" if good[0] else "not all of it could be recorded"
                self._forwarder.put_back([found[each.sop_instance][0] for each in named])

        fields = {"statement": name, "signature": signed.signature.hex()}
        self._done[name] = ""
        if len(self._done) > MAX_STATEMENTS:
            self._done.pop(next(iter(self._done)))
        for each in named:
            self._one(*found[each.sop_instance], link, signed.fingerprint, comment, fields, done)
        return {"ok": True, "name": name, "instances": len(named)}

    def ended(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return how a statement ended; empty while its records are being written."""
        return {"ok": True, "ended": self._done.get(str(question.get("name", "")), "unknown")}

    def _one(self, entry: Entry, header: Header, link: Link, by: str, comment: str, fields: dict[str, str], done: Any) -> None:
        claim, found = self._originals.look(entry, header, link)
        try:
            after = holding.authorized(claim, time.time_ns(), by, comment)
        except NotPermitted:
            self._forwarder.loop.soon(lambda: done(False))
            return

        def recorded(durable: bool) -> None:
            if durable:
                self._forwarder.gate.event(Code.ORIGINAL_AUTHORIZED, link=link.name, instance=header.sop_instance, by=by[:16])
            done(durable)

        self._originals.authorize(entry, header, claim, after, {**fields, "digest": found.sha256}, recorded)

    def _waiting(self, uids: set[str]) -> dict[str, tuple[Entry, Header]]:
        """Return the originals among `uids` that wait: the last one of each, if it came more than once."""
        found: dict[str, tuple[Entry, Header]] = {}
        for entry in self._forwarder.store.quarantined():
            if self._forwarder.store.why(entry.stem).get("code") != str(Code.ORIGINAL_WAITS):
                continue
            try:
                reader = self._forwarder.store.read(entry)
            except (Damaged, OSError):
                continue
            reader.close()
            if reader.header.sop_instance in uids:
                found[reader.header.sop_instance] = (entry, reader.header)
        return found

    def _digest(self, entry: Entry, header: Header) -> str:
        route = self._forwarder.route(header.link, header.peer)
        if route is None:
            raise DatasetError(Code.HOLD_NO_ROUTE, "its destination is not configured any more")
        return self._originals.look(entry, header, route[0])[1].sha256

    def _refused(self, why: str) -> dict[str, Any]:
        self._forwarder.gate.event(Code.ORIGINAL_NOT_AUTHORIZED, detail=why)
        return _no(f"{Code.ORIGINAL_NOT_AUTHORIZED} {why}")


def _no(error: str) -> dict[str, Any]:
    return {"ok": False, "error": error}
