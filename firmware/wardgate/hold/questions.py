"""What a person asks the forwarder by `hold.sock`: the queue, another try, an authorization, the removal of what is in quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wardgate.codes import Code
from wardgate.hold.authorizing import Authorizing

if TYPE_CHECKING:
    from wardgate.hold.forwarder import Forwarder


class Questions:
    """Answers for one forwarder."""

    def __init__(self, of: Forwarder) -> None:
        self._of = of
        self._authorizing = Authorizing(of, of.originals)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer a question from `hold.sock`. Raises what the disk raises."""
        what = question.get("do")
        if what == "status":
            return {"ok": True, **self.status()}
        for word, answer in (
            ("authorization", self._authorizing.write),
            ("authorize", self._authorizing.take),
            ("authorization-ended", self._authorizing.ended),
        ):
            if what == word:
                return answer(question)
        stems = [stem for stem in question.get("files", []) if isinstance(stem, str)]
        there = {entry.stem: entry for entry in self._of.store.quarantined()}
        missing = [stem for stem in stems if stem not in there]
        if missing:
            return {"ok": False, "error": f"not in quarantine: {missing[0][:60]}"}
        if what == "retry":
            for stem in stems or (sorted(there) if question.get("all") else []):
                self._of.store.put_back(stem)
                self._of.log.event(Code.HOLD_REQUEUED, file=stem)
            for destination in self._of.queue.destinations.values():
                destination.pauses.worked()
            self._of.desk.retry()
            self._of.try_again()
            return {"ok": True}
        if what == "release" and stems:
            for stem in stems:
                why = self._of.originals.may_remove(there[stem])
                if why:
                    self._of.log.event(Code.ORIGINAL_STAYS, file=stem, detail=why)
                    return {"ok": False, "error": f"{Code.ORIGINAL_STAYS} {stem}: {why}"}
            for stem in stems:
                self._of.store.release(stem)
                self._of.log.event(Code.HOLD_RELEASED, file=stem, by=str(question.get("by", ""))[:64])
            return {"ok": True}
        return {"ok": False, "error": "not a question of this port"}

    def status(self) -> dict[str, Any]:
        """Return the state of the queue."""
        now = self._of.loop.now
        waiting: dict[tuple[str, str], int] = {}
        for lane in self._of.queue.lanes.values():
            key = (lane.pair.link, lane.pair.peer)
            waiting[key] = waiting.get(key, 0) + len(lane)
        return {
            "waiting": len(self._of.queue),
            "quarantined": len(self._of.store.quarantined()),
            "held_bytes": self._of.store.counters.held_bytes,
            "forwarded": self._of.forwarded,
            "unlogged": len(self._of.confirming),
            "answered_unrecorded": self._of.unrecorded_now,
            "kept": len(self._of.kept),
            "commitment": self._of.desk.status(),
            "key": self._of.store.wrapper.name,
            "destinations": [
                {
                    "link": destination.link,
                    "peer": destination.peer,
                    "waiting": waiting.get(key, 0),
                    "associations": destination.running,
                    "delivered": destination.delivered,
                    "failures": destination.pauses.failures,
                    "next_try_seconds": max(0, round(destination.pauses.until - now)),
                    "last": destination.last_code,
                }
                for key, destination in sorted(self._of.queue.destinations.items())
            ],
        }
