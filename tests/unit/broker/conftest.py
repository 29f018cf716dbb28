"""A core on a journal in memory, with the worker's and the clients' messages put in by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from zjobs.broker.core.admission import Rules
from zjobs.broker.core.core import Core
from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.core.records.effects import Effects
from zjobs.broker.core.records.jobs import Envelope, Instant, Job
from zjobs.broker.core.records.needs import Details, Needs, OutputNeed, OutputPiece, ResultNeed, ResultPiece, TurnNeeds
from zjobs.broker.journaling import read
from zjobs.broker.storage.sqlite.database import MEMORY
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.messages.dispatch import Ack, Ended, Heartbeat, Invalid, Output, Reports, Returned
from zjobs.messages.records import BrokerName, Limits, TaskType
from zjobs.messages.requests.changes import Cancel, Forget, NewJob, Pause, Resume, Retry, Submit, SubmitReply
from zjobs.messages.requests.ops import Error, Reply, Request
from zjobs.messages.states import Outcome, Role

NAME = BrokerName("here", "tcp://127.0.0.1:5570", "journal")
TYPES = (
    TaskType("twice", max_attempts=2, max_reruns=2, retry_delay_ms=0),
    TaskType("again", max_attempts=1, max_reruns=1),
    TaskType("once", max_attempts=1, max_reruns=0),
    TaskType("later", max_attempts=4, max_reruns=2, retry_delay_ms=1_000),
)
CLIENT = (b"client", b"")


class Bench:
    """`turn` is a turn of the broker; what it led to is in `last`. The worker is A until `worker` says otherwise."""

    def __init__(self, rules: Rules) -> None:
        self.journal = SqliteJournal(MEMORY, "journal")
        self.journal.claim("a test")
        self.rules = rules
        self.mono_ms = 1_000
        self.wall_ms = 1_700_000_000_000  # where the wall clock is at mono_ms 0
        self.taken = 0
        self.acked = 0
        self.incarnation = "A"
        self._sessions = 0
        self._keys = 0
        self._numbers: dict[int, int] = {}
        self.last = Effects()
        self.restart()

    # --- the broker ------------------------------------------------------------------------------------------

    @property
    def now(self) -> Instant:
        return Instant(self.mono_ms, self.wall_ms + self.mono_ms)

    def restart(self) -> None:
        """A new broker on what is committed."""
        self.core = Core(self.journal.load(), self.rules, NAME, self.now)

    def ask(self, request: Request, envelope: Envelope = CLIENT, owner: str = "", who: Who | None = None) -> None:
        """A change within the present turn, with the records that it needs."""
        self.read(request, owner=who.name if who else owner)
        self.core.change(request, envelope, self.now, who or Who(owner, Role.OPERATOR))

    def read(self, *requests: Request, owner: str = "") -> None:
        """Reads what the core needs for these."""
        self.core.read(
            read(
                self.journal,
                TurnNeeds(self.core.needs([(owner, request) for request in requests], self.now), used_bytes=True),
            )
        )

    def turn(self) -> Effects:
        self.read()
        self.last = self.core.end_turn(self.now)
        if self.last.changes:
            self.journal.commit(self.last.changes)
        self._numbers.update(self.handed)
        return self.last

    def job(self, job_id: int) -> Job:
        return self.journal.read(Needs(jobs=[job_id])).jobs[job_id]

    def forgotten(self, job_id: int) -> bool:
        return not self.journal.read(Needs(jobs=[job_id])).jobs

    def details(self, job_id: int) -> Details:
        return self.journal.read(Needs(details=[job_id])).details[job_id]

    def data(self, *ids: int) -> dict[int, bytes]:
        return dict(self.journal.read(Needs(data=ids)).data)

    def result(self, job_id: int) -> ResultPiece:
        need = ResultNeed(job_id, 0, 1 << 20)
        return self.journal.read(Needs(results=[need])).results.get(need, ResultPiece())

    def output(self, job_id: int, run: int) -> OutputPiece:
        need = OutputNeed(job_id, run, 0, 1 << 20)
        return self.journal.read(Needs(outputs=[need])).outputs[need]

    @property
    def handed(self) -> list[tuple[int, int]]:
        """(number, job id) of what the last turn handed over."""
        return [(delivery, job.id) for delivery, job in self.last.dispatched]

    def sent(self, kind: type) -> list[object]:
        """The messages of this kind that the last turn sent down the pipe."""
        return [message for message in self.last.pipe if type(message) is kind]

    @property
    def ack(self) -> tuple[int, int | None] | None:
        """(reports, resume) of the last turn's acknowledgement."""
        acks = [message for message in self.last.pipe if isinstance(message, Ack)]
        assert len(acks) <= 1, "one acknowledgement a turn"
        return (acks[0].reports, acks[0].resume) if acks else None

    # --- clients ---------------------------------------------------------------------------------------------

    def key(self, key: str | None) -> str:
        """`key`, or one not used before."""
        self._keys += 1
        return key or f"key {self._keys}"

    def submit(
        self, *types: str, data: bytes | None = None, key: str | None = None, **fields: object
    ) -> SubmitReply | Error:
        """One job of each type; `fields`: further ones of NewJob, such as priority."""
        jobs = tuple(NewJob(name, data)._replace(**fields) for name in types)
        self.ask(Submit(self.key(key), jobs))
        reply = self.reply()
        assert isinstance(reply, (SubmitReply, Error))
        return reply

    def reply(self) -> Reply:
        """Ends the turn and gives the one reply."""
        self.turn()
        ((envelope, reply),) = self.last.replies
        assert envelope == CLIENT
        return reply

    def cancel(self, *ids: int) -> Effects:
        self.ask(Cancel(ids))
        return self.turn()

    def retry(self, *ids: int, key: str | None = None) -> Reply:
        self.ask(Retry(self.key(key), ids))
        return self.reply()

    def pause(self, reason: str = "", for_ms: int | None = None, who: Who = ANYBODY) -> Reply:
        self.ask(Pause(reason, for_ms=for_ms), who=who)
        return self.reply()

    def resume(self, who: Who = ANYBODY, everything: bool = False) -> Reply:
        self.ask(Resume(everything), who=who)
        return self.reply()

    def forget(self, *ids: int) -> Reply:
        self.ask(Forget(ids))
        return self.reply()

    def after(self, ms: int) -> Effects:
        """A turn so much later."""
        self.mono_ms += ms
        return self.turn()

    # --- the worker ------------------------------------------------------------------------------------------

    def heartbeat(self, session: str | None = "", turn: bool = True, **fields: object) -> Effects:
        """A heartbeat of the worker; `session` "": the one that the journal knows."""
        if session == "":
            session = self.core.session_name
        heartbeat = Heartbeat(self.incarnation, session, self.taken, self.acked, False, None, TYPES, NAME, "here", 7)
        self._sessions += 1
        self.core.on_heartbeat(heartbeat._replace(**fields), f"session {self._sessions}", self.now)
        return self.turn() if turn else self.last

    def worker(self, incarnation: str = "A") -> None:
        """A worker starts and is taken into service."""
        self.incarnation, self.taken, self.acked = incarnation, 0, 0
        self.heartbeat(session=None)
        self.heartbeat()

    def report(self, first: int, *reports: Output | Ended | Returned | Invalid, session: str = "") -> Effects:
        """Each end without an id is that of the job which was handed over under its number."""
        filled = tuple(
            one._replace(id=one.id or self._numbers[one.delivery]) if isinstance(one, Ended) else one for one in reports
        )
        self.core.on_reports(Reports(session or self.core.session_name, first, filled), self.now)
        return self.turn()

    def learn(self, *types: str, elapsed_us: int = 10) -> None:
        """Lets the core see a job of each type end, so that it knows how long they take."""
        for name in types:
            reply = self.submit(name)
            assert isinstance(reply, SubmitReply)
            ((delivery, _),) = self.handed
            self.taken = delivery
            self.acked += 1
            self.report(self.acked, Ended(delivery, Outcome.COMPLETED, elapsed_us, b"\xa2ok"))


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    """Makes a bench with other limits, or one that pauses by itself."""
    benches: list[Bench] = []

    def made(pause_on: str = "never", **limits: int) -> Bench:
        benches.append(Bench(Rules(Limits(**limits), pause_on)))
        return benches[-1]

    yield made
    for bench in benches:
        bench.journal.release()


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    """A core on an empty journal, with no worker yet."""
    return make()


@pytest.fixture
def ready(bench: Bench) -> Bench:
    """The same with worker A in service."""
    bench.worker()
    return bench
