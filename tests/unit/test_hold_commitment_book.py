"""The book of storage commitment: each event, each repetition, and the same book again from its entries."""

from __future__ import annotations

import itertools
import random

from wardgate.dimse.commitment import EXPLICIT_LITTLE, IMPLICIT_LITTLE, SOP_CLASS, Reference, Report, read_report
from wardgate.dimse.nservice import data_set
from wardgate.hold.commitment import book as book_module
from wardgate.hold.commitment.book import COMMITTED, NO_SUCH_INSTANCE, Book, Entry, Request, Step
from wardgate.hold.memory import Pair

PAIR = Pair("ct1", "pacs", "CT1", "PACS")
WHERE = ("ct1", "pacs")
CT = "1.2.840.10008.5.1.4.1.1.2"


def ripe(_request: Request) -> bool:
    return True


class Kept:
    """A book and the journal of its entries."""

    def __init__(self) -> None:
        self.book = Book(lambda: 0.0)
        self.journal: list[Entry] = []
        self._uids = itertools.count(1)

    def take(self, entries: list[Entry]) -> list[Entry]:
        for entry in entries:
            self.book.apply(entry)
        self.journal += entries
        return entries

    def sent(self, *uids: str, stem: bool = True) -> None:
        for uid in uids:
            self.take(self.book.sent(PAIR, CT, uid, f"stem-{uid}" if stem else "", True))

    def asked(self) -> str:
        (entry,) = self.take(self.book.ask(WHERE, lambda: f"2.25.{next(self._uids)}"))
        return str(entry["t"])

    def reported(self, transaction: str, **reasons: int) -> book_module.Judged:
        references = tuple(Reference(CT, uid.replace("_", "."), reason) for uid, reason in reasons.items())
        entries, judged = self.book.report(WHERE, Report(transaction, references))
        self.take(entries)
        return judged

    def step(self, uid: str) -> Step:
        return self.book.instances[(*WHERE, uid)].step


def state(book: Book) -> object:
    """All that matters of a book, comparable."""
    return (
        {key: (one.pair, one.sop_class, one.step, one.reason, one.stems) for key, one in book.instances.items()},
        {key: sorted(waits) for key, waits in book.waits.items() if waits},
        {key: (one.pair, one.instances, one.closed) for key, one in book.transactions.items()},
        {key: (one.references, one.results, one.told, one.number) for key, one in book.requests.items()},
        book.kept,
    )


def test_an_instance_is_committed_by_the_report_of_its_own_transaction_and_nothing_else() -> None:
    kept = Kept()
    kept.sent("1.1", "1.2")
    transaction = kept.asked()
    assert kept.step("1.1") is Step.ASKED
    assert kept.reported("2.25.999", **{"1_1": COMMITTED}).transaction is None
    judged = kept.reported(transaction, **{"1_1": COMMITTED, "1_3": COMMITTED})
    assert (len(judged.news), judged.unknown) == (1, 1)
    assert (kept.step("1.1"), kept.step("1.2")) == (Step.COMMITTED, Step.WAITS)
    assert (*WHERE, "1.3") not in kept.book.instances


def test_a_report_from_another_destination_is_not_of_this_transaction() -> None:
    kept = Kept()
    kept.sent("1.1")
    transaction = kept.asked()
    entries, judged = kept.book.report(("ct1", "archive"), Report(transaction, (Reference(CT, "1.1"),)))
    assert not entries and judged.transaction is None


def test_a_report_of_another_class_is_not_believed() -> None:
    kept = Kept()
    kept.sent("1.1")
    transaction = kept.asked()
    entries, judged = kept.book.report(WHERE, Report(transaction, (Reference("1.2.3", "1.1"),)))
    kept.take(entries)
    assert judged.unknown == 1 and kept.step("1.1") is Step.WAITS


def test_late_and_repeated_reports_change_nothing_twice() -> None:
    kept = Kept()
    kept.sent("1.1")
    first = kept.asked()
    kept.take(kept.book.again(first))
    second = kept.asked()
    assert kept.reported(first, **{"1_1": COMMITTED}).news, "late, and still true"
    before = len(kept.journal)
    for transaction in (first, second, first):
        assert not kept.reported(transaction, **{"1_1": 0x0110}).news
    assert kept.step("1.1") is Step.COMMITTED
    assert len(kept.journal) - before <= 1  # that the second transaction is closed


def test_a_transaction_that_never_left_is_no_try_also_after_the_journal_was_shortened() -> None:
    kept = Kept()
    kept.sent("1.1")
    for _ in range(5):
        kept.take(kept.book.again(kept.asked(), unsent=True))
    short = Book(lambda: 0.0)
    for entry in list(kept.book.entries()):
        short.apply(entry)
    for book in (kept.book, short):
        instance = book.instances[(*WHERE, "1.1")]
        assert (instance.step, instance.tries) == (Step.WAITS, 0)
    kept.asked()
    assert kept.book.instances[(*WHERE, "1.1")].tries == 1


def test_a_late_report_takes_nothing_back_that_is_being_asked_in_another_transaction() -> None:
    kept = Kept()
    kept.sent("1.1", "1.2")
    first = kept.asked()
    kept.take(kept.book.again(first))
    second = kept.asked()
    kept.reported(first, **{"1_1": COMMITTED})  # late, and of one of the two
    assert (kept.step("1.1"), kept.step("1.2")) == (Step.COMMITTED, Step.ASKED)
    assert not kept.book.waits.get(WHERE)
    kept.reported(second, **{"1_2": COMMITTED})
    assert kept.step("1.2") is Step.COMMITTED


def test_what_is_sent_again_must_be_committed_again() -> None:
    kept = Kept()
    kept.sent("1.1")
    first = kept.asked()
    kept.sent("1.1")  # other bytes, perhaps
    assert not kept.reported(first, **{"1_1": COMMITTED}).news
    assert kept.step("1.1") is Step.WAITS


def test_a_request_is_answered_only_when_ripe_and_from_what_the_destination_said() -> None:
    kept = Kept()
    kept.sent("1.1", "1.2", "1.3")
    transaction = kept.asked()
    kept.take(kept.book.wanted("m1", PAIR, Report("5.5", tuple(Reference(CT, uid) for uid in ("1.1", "1.2", "1.9"))), 7))
    assert not kept.book.settle(lambda _request: False)
    kept.take(kept.book.settle(ripe))
    request = kept.book.requests["m1"]
    assert request.results == {"1.9": NO_SUCH_INSTANCE} and not request.answered
    kept.reported(transaction, **{"1_1": COMMITTED, "1_2": 0x0110})
    kept.take(kept.book.settle(ripe))
    assert request.answered
    assert {each.sop_instance: each.reason for each in request.report().references} == {"1.1": -1, "1.2": 0x0110, "1.9": 0x0112}
    kept.take(kept.book.told("m1"))
    assert not kept.book.requests and not kept.book.told("m1")


def test_a_request_of_another_class_fails_with_0119() -> None:
    kept = Kept()
    kept.sent("1.1")
    kept.take(kept.book.wanted("m1", PAIR, Report("5.5", (Reference("1.2.3", "1.1"),)), 1))
    kept.take(kept.book.settle(ripe))
    assert kept.book.requests["m1"].results == {"1.1": 0x0119}


def test_a_repeated_request_is_told_again_and_a_transaction_uid_for_others_fails_with_0131() -> None:
    kept = Kept()
    kept.sent("1.1")
    report = Report("5.5", (Reference(CT, "1.1"),))
    kept.take(kept.book.wanted("m1", PAIR, report, 1))
    assert not kept.book.wanted("m1", PAIR, report, 1), "the same message, read twice"
    assert not kept.book.wanted("m2", PAIR, report, 1), "it will be told anyway"
    kept.take(kept.book.told("m1"))
    kept.take(kept.book.wanted("m3", PAIR, report, 1))
    assert list(kept.book.requests) == ["m1"]
    kept.take(kept.book.wanted("m4", PAIR, Report("5.5", (Reference(CT, "1.2"),)), 1))
    assert kept.book.requests["m4"].results == {"1.2": 0x0131}


def test_bounds_hold_and_a_forgotten_instance_is_never_claimed() -> None:
    kept = Kept()
    limit = book_module.MAX_INSTANCES
    try:
        book_module.MAX_INSTANCES = 3  # type: ignore[misc]
        kept.sent("1.1", stem=False)
        kept.reported(kept.asked(), **{"1_1": COMMITTED})
        kept.sent("1.2", "1.3", "1.4", stem=False)
        assert list(kept.book.instances) == [(*WHERE, uid) for uid in ("1.2", "1.3", "1.4")]
        kept.take(kept.book.wanted("m1", PAIR, Report("5.5", (Reference(CT, "1.1"),)), 1))
        kept.take(kept.book.settle(ripe))
        assert kept.book.requests["m1"].results == {"1.1": NO_SUCH_INSTANCE}
    finally:
        book_module.MAX_INSTANCES = limit  # type: ignore[misc]
    assert kept.book.room(book_module.MAX_WANTED - 1) and not kept.book.room(book_module.MAX_WANTED)


def test_groups_are_of_one_pair_of_titles_and_bounded() -> None:
    kept = Kept()
    for number in range(book_module.GROUP + 5):
        kept.sent(f"1.{number}")
    kept.take(kept.book.sent(PAIR._replace(calling="CT2"), CT, "2.1", "", True))
    assert len(kept.book.transactions[kept.asked()].instances) == book_module.GROUP
    assert len(kept.book.transactions[kept.asked()].instances) == 5
    assert kept.book.transactions[kept.asked()].instances == ["2.1"]
    assert not kept.book.ask(WHERE, lambda: "9")


def test_any_history_gives_the_same_book_from_its_journal_and_from_a_short_one() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        kept = Kept()
        transactions: list[str] = []
        for step in range(120):
            what = chance.randrange(7)
            uid = f"1.{chance.randrange(12)}"
            if what == 0:
                kept.sent(uid, stem=chance.random() < 0.5)
            elif what == 1 and kept.book.waits.get(WHERE):
                transactions.append(kept.asked())
            elif what == 2 and transactions:
                kept.reported(chance.choice(transactions), **{uid.replace(".", "_"): chance.choice((COMMITTED, 0x0112))})
            elif what == 3 and transactions:
                kept.take(kept.book.again(chance.choice(transactions), unsent=chance.random() < 0.3))
            elif what == 4:
                references = (Reference(CT, uid), Reference(CT, "1.50"))
                kept.take(kept.book.wanted(f"m{step}", PAIR, Report(f"5.{chance.randrange(9)}", references), step))
            elif what == 5:
                kept.take(kept.book.settle(ripe))
            elif kept.book.requests:
                kept.take(kept.book.told(chance.choice(list(kept.book.requests))))
            if what == 6 and kept.book.kept:
                link, peer, one = chance.choice(list(kept.book.kept.values()))
                kept.take(kept.book.released((link, peer), one))
        whole = Book(lambda: 0.0)
        for entry in kept.journal:
            whole.apply(entry)
        assert state(whole) == state(kept.book), seed
        short = Book(lambda: 0.0)
        for entry in kept.book.entries():
            short.apply(entry)
        assert state(short) == state(kept.book), seed


def test_data_sets_are_read_back_in_both_encodings_also_by_pydicom() -> None:
    report = Report("1.2.77", (Reference(CT, "1.2.3"), Reference(CT, "1.2.34", 0x0112)))
    for syntax in (IMPLICIT_LITTLE, EXPLICIT_LITTLE):
        found = read_report(data_set(report, syntax), syntax)
        assert found.transaction == "1.2.77" and set(found.references) == set(report.references)
        asked = read_report(data_set(report, syntax, action=True), syntax)
        assert [each.reason for each in asked.references] == [COMMITTED, COMMITTED]
    from io import BytesIO

    from pydicom.filereader import read_dataset

    for syntax in (IMPLICIT_LITTLE, EXPLICIT_LITTLE):
        shown = read_dataset(BytesIO(data_set(report, syntax)), syntax == IMPLICIT_LITTLE, True)
        assert shown.TransactionUID == "1.2.77" and shown.FailedSOPSequence[0].FailureReason == 0x0112
        assert shown.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3"
    assert SOP_CLASS == "1.2.840.10008.1.20.1"
