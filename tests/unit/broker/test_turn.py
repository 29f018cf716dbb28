"""One turn, step by step: what it names, when it says something, and what it does when the journal fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from zjobs.broker.core.admission import Rules
from zjobs.broker.core.core import PREFETCH
from zjobs.broker.core.people.who import Who
from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import Instant
from zjobs.broker.core.records.needs import Needs
from zjobs.broker.journaling import read, take_turn, try_writing
from zjobs.broker.retention import Keep, Retention
from zjobs.broker.storage.api import Journal, StorageError
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.broker.turn import RETRY_WRITING_MS, Asked, Inputs, Line, Said, Turn
from zjobs.messages import codec
from zjobs.messages.dispatch import PIPE, Ended, Heartbeat, Jobs, Reports, StartSession
from zjobs.messages.records import BrokerName, Paused, TaskType
from zjobs.messages.requests.changes import Cancel, NewJob, Pause, Retry, Submit, SubmitReply
from zjobs.messages.requests.ops import Error, Request
from zjobs.messages.states import ErrorCode, JobState, Outcome, Role, WorkerState

NAME = BrokerName("here", "tcp://127.0.0.1:5570", "journal")
CLIENT = (b"client", b"")


class Disk:
    """A journal that counts what is asked of it, and refuses commits or reads while it is told to."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.read_only: str | None = None
        self.refuses_commits = self.refuses_reads = False
        self.asked: list[str] = []
        self.needs: list[Needs] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object) -> Any:
            self.asked.append(name)
            self.needs += [needs for needs in arguments if isinstance(needs, Needs)]
            if self.refuses_reads and name != "load":
                raise StorageError("unplugged")
            return getattr(self.journal, name)(*arguments)

        return call

    @property
    def files(self) -> Any:
        return self

    def commit(self, changes: Changes) -> None:
        self.asked.append("commit")
        if self.refuses_commits:
            self.read_only = "full"
            raise StorageError("full")
        self.journal.commit(changes)

    def recover(self) -> None:
        if self.refuses_commits:
            raise StorageError("full")
        self.read_only = None


class Bench:
    """A broker without sockets. `said`: what its last turn said; `sent`: the messages in its outbox, now gone."""

    def __init__(self, keep: Keep | None = None) -> None:
        journal = SqliteJournal(":memory:", "journal")
        journal.claim("a test")
        self.disk: Any = Disk(journal)
        self.now = Instant(1_000, 1_700_000_000_000)
        self.taken = 0
        self.said = Said()
        self.turns = Turn(self.disk.load(), Rules(), NAME, Retention(keep or Keep()), 7, lambda: "session", self.now)
        self.disk.asked.clear()

    def turn(self, *requests: Request, frames: tuple[bytes, ...] = (), lost: bool = False) -> Said:
        inputs = Inputs([Asked(CLIENT, request) for request in requests], frames, lost)
        self.said = take_turn(self.turns, self.disk, inputs, self.now)
        return self.said

    def wait(self, ms: int) -> None:
        self.now = Instant(self.now.mono_ms + ms, self.now.wall_ms + ms)

    @property
    def sent(self) -> list[Any]:
        messages = [codec.decode(frame, PIPE) for frame in self.turns.outbox]
        self.turns.outbox.clear()
        return messages

    def heartbeat(self, session: str | None) -> bytes:
        types = (TaskType("x", max_reruns=2),)
        return codec.encode(Heartbeat("A", session, self.taken, 0, False, None, types, NAME, "here", 7))

    def worker(self) -> None:
        """A worker that is known from here on."""
        self.turn(frames=(self.heartbeat(None),))
        self.turn(frames=(self.heartbeat("session"),))
        self.turns.outbox.clear()

    def job_ids(self) -> list[int]:
        """The jobs in the `jobs` messages that were sent."""
        return [job.id for message in self.sent if isinstance(message, Jobs) for job in message.jobs]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.disk.journal.release()


ALICE = Who("alice", Role.SUBMITTER)


def submit(key: str, count: int = 1, data: bytes | None = b"d") -> Submit:
    return Submit(key, (NewJob("x", data),) * count)


def test_a_turn_without_anything_asks_nothing_of_the_disk(bench: Bench) -> None:
    """An idle broker costs a networked database nothing."""
    bench.turn()
    assert bench.disk.asked == []


def test_what_a_decision_looks_up_is_named_first(bench: Bench) -> None:
    """Jobs by id, request keys with their owners; jobs that are at hand are not named again."""
    bench.turn(submit("1", 3))
    requests = [Asked((), Retry("k", (7, 8)), ALICE), Asked((), Cancel((1, 9))), Asked((), submit("2"))]
    needs = bench.turns.needs(Inputs(requests), bench.now).records
    assert needs.jobs == [7, 8, 9] and needs.submits == [("alice", "k"), ("", "2")]


def test_too_many_ids_are_not_read(bench: Bench) -> None:
    """A retry that is refused whatever they are."""
    needs = bench.turns.needs(Inputs([Asked((), Retry("k", tuple(range(1, 5_000))))]), bench.now)
    assert not needs.records.jobs


def test_nothing_is_said_before_the_commit(bench: Bench) -> None:
    """A decision leaves no message behind: neither for the worker, nor for those who watch all jobs."""
    bench.worker()
    inputs = Inputs([Asked(CLIENT, submit("1")), Asked(CLIENT, Pause("lunch"))])
    decided = bench.turns.decide(inputs, read(bench.disk, bench.turns.needs(inputs, bench.now)), bench.now)
    assert not bench.turns.outbox
    bench.disk.commit(decided.changes)
    said = bench.turns.committed(decided, bench.now)
    assert said.service is not None and said.service.paused == Paused(bench.now.wall_ms, "lunch")
    assert isinstance(said.replies[0][1], SubmitReply)


def test_a_submitted_job_leaves_in_the_same_turn(bench: Bench) -> None:
    """Its data is at hand, so nothing is read but the request key."""
    bench.worker()
    bench.disk.asked.clear()
    bench.turn(submit("1"))
    assert bench.job_ids() == [1] and bench.disk.asked == ["read", "commit"]


def test_the_data_of_an_older_job_is_read_with_the_next_turn(bench: Bench) -> None:
    """Which comes at once."""
    bench.turn(submit("1"))
    bench.worker()
    assert bench.turns.deadline_ms(False, bench.now.mono_ms) == bench.now.mono_ms
    bench.disk.asked.clear()
    bench.turn()
    ((_, data),) = [(job.id, job.data) for message in bench.sent if isinstance(message, Jobs) for job in message.jobs]
    assert data == b"d" and bench.disk.asked == ["read"]
    assert bench.turns.deadline_ms(False, bench.now.mono_ms) != bench.now.mono_ms


def test_a_long_queue_is_read_in_its_turn(bench: Bench) -> None:
    """Of jobs submitted long ago only the next are read, many at a time, and each is dispatched once, in order."""
    for number in range(4):
        bench.turn(submit(str(number), 200, None))
    bench.worker()
    seen: list[int] = []
    for number in range(1, 801):
        bench.turn()
        seen += bench.job_ids()
        report = Ended(number, Outcome.COMPLETED, 1, b"\xc0", id=seen[number - 1])
        bench.turn(frames=(codec.encode(Reports("session", number, (report,), 1)),))
        seen += bench.job_ids()
    assert seen == list(range(1, 801))
    named = [needs.jobs for needs in bench.disk.needs if needs.jobs]
    assert len(named) <= 2 + 800 // PREFETCH


def test_a_failed_commit_is_as_if_nothing_had_been_asked(bench: Bench) -> None:
    """The requests hear `storage`, the state is that of the disk, and nothing goes to the worker."""
    bench.worker()
    bench.disk.refuses_commits = True
    said = bench.turn(submit("1"), Pause("lunch"))
    assert said.refused and said.anew and bench.sent == []
    assert [reply.code for _, reply in said.replies if isinstance(reply, Error)] == [ErrorCode.STORAGE] * 2
    assert bench.turns.core.queued == 0 and bench.turns.core.paused is None
    assert said.service is not None and said.service.worker is WorkerState.ABSENT
    assert any(line.level == "error" and "full" in line.text for line in said.lines)


def test_a_read_that_fails_is_no_different(bench: Bench) -> None:
    """Nothing was decided; the next turn tries again."""
    bench.disk.refuses_reads = True
    said = bench.turn(submit("1"))
    assert said.refused and said.anew and bench.turns.core.queued == 0
    bench.disk.refuses_reads = False
    assert isinstance(bench.turn(submit("1")).replies[0][1], SubmitReply)


def test_while_the_disk_is_full_nothing_is_heard(bench: Bench) -> None:
    """Changes are refused; the worker's reports are not acknowledged, so it repeats them."""
    bench.worker()
    bench.disk.refuses_commits = True
    bench.turn(submit("1"))
    said = bench.turn(submit("2"), frames=(bench.heartbeat("session"),))
    assert said.refused and not said.anew and bench.sent == []
    assert [reply.code for _, reply in said.replies if isinstance(reply, Error)] == [ErrorCode.READ_ONLY]
    assert bench.turns.core.worker.state is WorkerState.ABSENT


def test_writing_is_tried_again_each_second(bench: Bench) -> None:
    """And when it works, the worker is known again at its next heartbeat."""
    bench.worker()
    bench.disk.refuses_commits = True
    bench.turn(submit("1"))
    assert not bench.turns.retries_writing(bench.now)
    assert bench.turns.deadline_ms(True, bench.now.mono_ms) == bench.now.mono_ms + RETRY_WRITING_MS
    bench.wait(RETRY_WRITING_MS)
    assert bench.turns.retries_writing(bench.now)
    try_writing(bench.turns, bench.disk, bench.now)
    assert bench.disk.read_only and not bench.turns.retries_writing(bench.now)
    bench.disk.refuses_commits = False
    bench.wait(RETRY_WRITING_MS)
    try_writing(bench.turns, bench.disk, bench.now)
    bench.turn(submit("1"), frames=(bench.heartbeat("session"),))
    assert bench.job_ids() == [1]


def test_a_message_that_cannot_be_read_is_dropped(bench: Bench) -> None:
    """With a line of a kind that is not written often; those behind it are heard."""
    said = bench.turn(frames=(b"\xc1", bench.heartbeat(None)))
    assert [line.kind for line in said.lines] == ["worker", ""] and isinstance(bench.sent[0], StartSession)


def test_the_state_of_the_worker_is_said_once(bench: Bench) -> None:
    """In the log, and to those who watch all jobs."""
    said = bench.turn(frames=(bench.heartbeat(None),))
    assert said.lines == [Line("info", "the worker is ready")]
    assert said.service is not None and said.service.worker is WorkerState.READY
    said = bench.turn(frames=(bench.heartbeat("session"),))
    assert said.lines == [] and said.service is None


def test_a_lost_connection_voids_what_was_on_its_way(bench: Bench) -> None:
    """The jobs go again, in a new round, when the worker is heard."""
    bench.worker()
    bench.turn(submit("1"))
    bench.turn(lost=True)
    assert bench.sent == []
    bench.turn(frames=(bench.heartbeat("session"),))
    bench.turn()
    assert bench.job_ids() == [1]


def test_retention_looks_first_and_drops_then(bench: Bench) -> None:
    """How much is kept is read of those pages alone that have something to drop."""
    bench = Bench(Keep(jobs=1))
    bench.turn(submit("1", 3))
    bench.turn(Cancel((1, 2, 3)))
    bench.disk.asked.clear()
    bench.wait(10_000)
    bench.turn()
    assert bench.disk.asked == ["ended"]
    assert bench.turns.deadline_ms(False, bench.now.mono_ms) == bench.now.mono_ms
    bench.turn()
    left = [job.id for job in bench.disk.journal.ended(0, 100)[0]]
    assert left == [3] and bench.disk.asked == ["ended", "read", "commit", "give_back_space"]
    assert bench.disk.journal.ended(0, 100)[0][0].state is JobState.CANCELLED
