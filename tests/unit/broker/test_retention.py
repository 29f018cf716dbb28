"""What is forgotten, on request and by the operator's rules, and what that leaves."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from zjobs.broker.core.admission import Rules
from zjobs.broker.core.core import Core
from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import Instant, Job, Printed, Service
from zjobs.broker.core.records.needs import Needs, TurnNeeds
from zjobs.broker.journaling import read
from zjobs.broker.retention import STEP_BYTES, STEP_EVERY_MS, STEP_JOBS, STEP_LOOKED_AT, SWEEP_EVERY_MS, Keep, Retention
from zjobs.broker.storage.api import StorageError
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.messages.dispatch import Ended
from zjobs.messages.records import BrokerName, Missing
from zjobs.messages.requests.changes import Cancel, ForgetReply, NewJob, Submit
from zjobs.messages.states import ErrorCode, JobState, Outcome


def done(delivery: int) -> Ended:
    return Ended(delivery, Outcome.COMPLETED, 10, b"\xa2ok")


# --- on request ------------------------------------------------------------------------------------------------------


def test_forget_drops_what_has_ended_alone(ready: Any) -> None:
    """The reply says what became of each, once; ids that were never given stay not_found, the others are expired."""
    ready.submit("once", "once", "twice")
    ready.report(1, done(1))
    ready.cancel(3)
    assert ready.forget(1, 2, 3, 1, 99) == ForgetReply("journal", (1, 3), (2,), (Missing(99, ErrorCode.NOT_FOUND),))
    assert ready.forgotten(1) and ready.forgotten(3)
    assert ready.core.why_missing(1) is ErrorCode.EXPIRED
    assert ready.forget(1).missing == (Missing(1, ErrorCode.EXPIRED),)
    assert (ready.core.counters.completed, ready.core.counters.cancelled, ready.core.counters.next_id) == (0, 0, 4)
    ready.restart()
    assert ready.core.counters == ready.journal.load().counters and ready.core.why_missing(1) is ErrorCode.EXPIRED


def test_a_job_that_ended_in_this_turn_is_kept_until_the_next(ready: Any) -> None:
    """Its end is being written."""
    ready.submit("twice", "once")
    ready.ask(Cancel((2,)))
    assert ready.forget(2).kept == (2,)
    assert ready.forget(2).forgotten == (2,)


def test_forget_twice_in_a_turn_counts_once(ready: Any) -> None:
    """By two requests, or by one and the operator's rule."""
    ready.submit("once", "once")
    ready.cancel(2)
    job = ready.job(2)
    ready.core.read(read(ready.journal, TurnNeeds(Needs(jobs=[2]))))
    assert ready.core.drop(job) is True
    assert ready.core.drop(job) is False
    assert ready.forget(2).missing == (Missing(2, ErrorCode.EXPIRED),)
    assert ready.core.counters.cancelled == 0


def test_a_key_goes_with_the_last_of_its_jobs(ready: Any) -> None:
    """Then the same submit makes new jobs."""
    ready.submit("once", "once", key="k")
    ready.cancel(2)
    ready.report(1, done(1))
    ready.forget(1)
    assert ready.submit("once", "once", key="k").first_id == 1
    ready.forget(2)
    assert ready.submit("once", "once", key="k").first_id == 3


# --- by rule ----------------------------------------------------------------------------------------------------------


class Store:
    """A core on a file with `count` ended jobs; job n ended after n seconds of service."""

    def __init__(self, path: Path, count: int, data: bytes = b"") -> None:
        self.journal = SqliteJournal(str(path), "journal")
        self.journal.claim("a test")
        self.journal.announce("a test")
        made = Changes()
        for delivery in range(1, count + 1):
            made.added[delivery] = Job(delivery, "x", JobState.QUEUED, 0, 0, 0, len(data), 0)
            made.changed[delivery] = made.added[delivery]._replace(
                state=JobState.FAILED, ended_at=1, ended_served_ms=delivery * 1_000
            )
        made.data = [(delivery, data) for delivery in made.added]
        self.mono_ms = 0
        self.wall_ms = 1_700_000_000_000
        made.service = Service(count * 1_000, self.wall_ms)
        core = self._load()
        made.counters = core.counters._replace(next_id=count + 1, failed=count)
        self.journal.commit(made)
        self.core = self._load()

    def _load(self) -> Core:
        return Core(self.journal.load(), Rules(), BrokerName("h", "f", "journal"), self.now)

    @property
    def now(self) -> Instant:
        return Instant(self.mono_ms, self.wall_ms)

    def step(self, retention: Retention, gives_back: bool = True) -> int:
        """How many jobs one step drops, in the one or two turns that it takes."""
        dropped = 0
        while True:  # until the page is looked at
            page, ended = retention.needs(self.now)
            records = read(self.journal, TurnNeeds(Needs(jobs=page, kept_bytes=page), ended))
            self.core.read(records)
            pages = retention.step(self.core, records, self.now)
            changes = self.core.end_turn(self.now).changes
            if changes:
                self.journal.commit(changes)
            if pages and gives_back:
                self.journal.give_back_space(pages)
            dropped += len(changes.forgotten)
            if ended is None or retention.due_at_ms() != self.mono_ms:
                return dropped

    def sweep(self, retention: Retention) -> list[int]:
        """The steps of a sweep, each when it is due."""
        dropped = []
        while True:
            due = retention.due_at_ms()
            assert due is not None
            self.mono_ms = max(self.mono_ms, due)
            dropped.append(self.step(retention))
            if retention.due_at_ms() == self.mono_ms + SWEEP_EVERY_MS:
                return dropped

    def left(self) -> list[int]:
        return [job.id for job in self.journal.ended(0, 10_000)[0]]


@pytest.fixture
def stores(tmp_path: Path) -> Any:
    """Makes a store."""
    made: list[Store] = []

    def make(count: int, data: bytes = b"") -> Store:
        made.append(Store(tmp_path / f"{len(made)}.db", count, data))
        return made[-1]

    yield make
    for store in made:
        store.journal.release()


def test_everything_is_kept_unless_the_operator_says_otherwise(stores: Any) -> None:
    """Then it is never looked at."""
    store, retention = stores(5), Retention(Keep())
    assert retention.due_at_ms() is None and store.step(retention) == 0 and len(store.left()) == 5


def test_old_jobs_are_dropped_by_age(stores: Any) -> None:
    """Those whose end is longer ago than that."""
    store, retention = stores(10), Retention(Keep(for_ms=3_000))
    store.sweep(retention)
    assert store.left() == [7, 8, 9, 10] and store.core.counters.failed == 4
    store.mono_ms += 1_000
    store.sweep(Retention(Keep(for_ms=3_000)))
    assert store.left() == [8, 9, 10]


def test_the_oldest_are_dropped_by_number(stores: Any) -> None:
    """So many stay."""
    store = stores(10)
    store.sweep(Retention(Keep(jobs=4)))
    assert store.left() == [7, 8, 9, 10] and store.core.counters.failed == 4


def test_both_rules_together(stores: Any) -> None:
    """Whichever wants a job gone."""
    store = stores(10)
    store.sweep(Retention(Keep(for_ms=8_000, jobs=5)))
    assert store.left() == [6, 7, 8, 9, 10]


def test_jobs_that_have_not_ended_stay(stores: Any) -> None:
    """However old."""
    store = stores(0)
    more = Changes()
    more.added = {1: Job(1, "x", JobState.QUEUED, 0, 0, 0, 0, 0)}
    more.counters = store.core.counters._replace(next_id=2)
    store.journal.commit(more)
    store.mono_ms = 10**9
    assert store.sweep(Retention(Keep(for_ms=0, jobs=1))) == [0] and len(store.journal.page(2, None, 1)[0]) == 1


def test_it_works_in_small_steps(stores: Any) -> None:
    """Each looks at a bounded number of jobs and drops a bounded number; the next comes soon, the next sweep later."""
    count = STEP_LOOKED_AT + 3 * STEP_JOBS
    store, retention = stores(count), Retention(Keep(for_ms=0))
    store.mono_ms += 10_000
    assert store.step(retention) == STEP_JOBS and retention.due_at_ms() == store.mono_ms + STEP_EVERY_MS
    store.mono_ms += STEP_EVERY_MS - 1
    assert store.step(retention) == 0, "not due yet"
    assert store.sweep(retention)[:7] == [STEP_JOBS] * 7
    assert store.left() == [] and retention.due_at_ms() == store.mono_ms + SWEEP_EVERY_MS


def test_large_jobs_are_dropped_in_smaller_steps(stores: Any) -> None:
    """By what is kept of them: data, result and output."""
    store, retention = stores(6, bytes(STEP_BYTES // 4)), Retention(Keep(for_ms=0))
    more = Changes()
    more.results = [(1, bytes(STEP_BYTES // 4))]
    more.outputs = [Printed(1, 1, place, bytes(STEP_BYTES // 4)) for place in (0, STEP_BYTES // 4)]
    store.journal.commit(more)
    store.mono_ms += 10_000
    assert store.sweep(retention) == [1, 4, 1] and store.left() == []


def test_what_is_dropped_is_not_written_again(stores: Any) -> None:
    """Some builds of SQLite overwrite it: then dropping costs as much as storing did."""
    store, retention = stores(8, bytes(1 << 20)), Retention(Keep(for_ms=0))
    store.journal.recover()  # moves the log into the file
    store.mono_ms += 10_000
    assert store.step(retention, gives_back=False) == 8
    assert store.left() == [] and Path(f"{store.journal.name}-wal").stat().st_size < 2 << 20


def test_a_disk_that_refuses_is_not_asked_again_at_once(stores: Any) -> None:
    """The error is for the turn to deal with; the next sweep tries again."""
    store, retention = stores(3), Retention(Keep(jobs=1))
    store.journal._db.connection.set_authorizer(lambda action, *_: int(action == sqlite3.SQLITE_PRAGMA))
    with pytest.raises(StorageError):
        store.step(retention)
    retention.postpone(store.now)
    assert retention.due_at_ms() == SWEEP_EVERY_MS
    store.journal._db.connection.set_authorizer(lambda *_: 0)
    store.core = store._load()
    store.sweep(retention)
    assert store.left() == [3]


def test_the_file_gives_its_space_back(stores: Any) -> None:
    """Step by step: when all is gone, so is most of the file."""
    store, retention = stores(300, b"x" * 10_000), Retention(Keep(for_ms=0))
    full = store.journal.size_bytes()
    store.mono_ms += 10_000
    for _ in range(5):
        store.sweep(retention)
    store.journal.recover()  # moves the log into the file
    assert store.left() == [] and store.journal.size_bytes() < full / 10


# --- clocks that are set ----------------------------------------------------------------------------------------------

DAY_MS = 24 * 3_600_000


def test_a_clock_that_is_set_drops_nothing(stores: Any) -> None:
    """Forward by years and back: only the time for which the journal was in service counts."""
    store, retention = stores(10), Retention(Keep(for_ms=60_000))
    for step in (50 * 365 * DAY_MS, -100 * 365 * DAY_MS):
        store.wall_ms += step
        store.sweep(retention)
        assert len(store.left()) == 10
    store.mono_ms += 60_000
    store.sweep(retention)
    assert store.left() == []


@pytest.mark.parametrize(
    ("break_ms", "counted_ms"), [(5_000, 5_000), (DAY_MS, DAY_MS), (3_650 * DAY_MS, DAY_MS), (-7 * DAY_MS, 0)]
)
def test_a_break_counts_a_day_at_most(stores: Any, break_ms: int, counted_ms: int) -> None:
    """What the wall clock says of it may be wrong."""
    store = stores(10)
    before = store.core.service(store.now).served_ms
    store.wall_ms += break_ms
    store.core = store._load()
    assert store.core.service(store.now).served_ms == before + counted_ms


def test_the_clock_that_was_wrong_when_a_job_ended_does_not_age_it(stores: Any) -> None:
    """A broker that started in 1970 and was put right a second later."""
    store = stores(3)
    store.wall_ms = 7
    store.core = store._load()
    for request in (Submit("key", (NewJob("x", None),)), Cancel((4,))):
        store.core.read(read(store.journal, TurnNeeds(store.core.needs([("", request)], store.now))))
        store.core.change(request, (b"", b""), store.now)
        store.step(Retention(Keep()))
    store.wall_ms = 1_700_000_000_000
    assert store.journal.ended(3, 1)[0][0].ended_at == 7
    store.sweep(Retention(Keep(for_ms=60_000)))
    assert store.left() == [1, 2, 3, 4]


def test_the_service_of_an_idle_broker_is_noted_each_hour(stores: Any) -> None:
    """Else weeks in which nothing happened would count as one break."""
    store, retention = stores(3), Retention(Keep(jobs=5))
    store.sweep(retention)
    for hour in range(1, 6):
        store.mono_ms += 3_600_000
        store.sweep(retention)
        assert store.journal.load().service.served_ms == pytest.approx(3_000 + hour * 3_600_000, abs=60_000)


def test_jobs_of_older_formats_age_from_then_on(stores: Any) -> None:
    """When they ended the service was not counted yet."""
    store = stores(3)
    store.journal._db.connection.execute("UPDATE job SET ended_served_ms = NULL")
    store.sweep(Retention(Keep(for_ms=5_000)))
    assert store.left() == [1, 2, 3]
    store.mono_ms += 5_000
    store.sweep(Retention(Keep(for_ms=5_000)))
    assert store.left() == []
