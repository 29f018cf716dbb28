"""The blocking client: submit jobs, ask about them, wait for them.

    with Client() as client:
        job = client.submit("reverse", "example")
        print(job.id, job.status().state, job.result(timeout=60))

A `Client` may be shared by threads and used on both sides of a fork.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zjobs.client.job import Job, Watch
from zjobs.client.protocol import operations, pages, submission
from zjobs.client.protocol.job import NO_DATA, Duration, Time
from zjobs.client.protocol.waiting import Ends
from zjobs.client.submitting import Submitting
from zjobs.messages.records import AuditEntry, JobStatus
from zjobs.messages.requests.changes import (
    CancelReply,
    EditReply,
    ForgetReply,
    PauseReply,
    Resume,
    ResumeReply,
)
from zjobs.messages.requests.queries import (
    Hello,
    HelloReply,
    Info,
    InfoReply,
    Log,
    LogReply,
    Queue,
    QueueReply,
    Show,
    ShowReply,
    StatusReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

if TYPE_CHECKING:
    from datetime import datetime


class Client(Submitting):
    """A broker's client.

    broker: its endpoint, or several, as a list or with commas: the client uses the first that answers, and goes on to
    the next when it no longer does. By default that of the service, else the environment variable ZJOBS_BROKER, else
    tcp://127.0.0.1:5570.
    timeout: seconds for one reply, including repeated attempts; it never limits a job.
    patience: seconds for which a wait outlasts a lost broker.
    key: the key file; by default the one that the environment variable ZJOBS_KEY names, else zjobs/client.key in the
    user's configuration directory if it exists. Empty: none.
    service: the name of a service in zjobs/config.toml of that directory, from which broker and key are taken if they
    are not given. Without broker and ZJOBS_BROKER, it is by default the service that ZJOBS_SERVICE names, else the
    file's default.

    Every method raises BrokerUnreachable if no reply comes in time, and the ZjobsError of its code if the reply is an
    error; also KeyRefused, KeyNeeded and UntrustedBroker, without waiting. The constructor raises BadAddress for an
    invalid endpoint, BadKeyFile for a file that is not a key file or can be read by others, BadConfig for an unknown
    service or a mistake in config.toml.
    """

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Calls in other threads end as they would have."""
        if self.whole is not self:
            return
        if self.background is not None:
            self.background.close()
        self.connection.close()

    # --- ask -----------------------------------------------------------------------------------------------

    def job(self, id: int, journal: str | None = None) -> Job:
        """Return the job with this id, from an earlier `submit`. This sends no request."""
        return Job(self, id, journal)

    def status(self, ids: Sequence[int], *, timeout: float | None = None, preview: bool = False) -> StatusReply:
        """Return the status of these jobs, in this order, and the ids that have no job.

        preview: with `data_preview`, the beginning of each job's data; `preview_text` makes it text.
        """
        return self._run(operations.status(self, ids, timeout, preview))

    def queue(self, limit: int = 20, *, timeout: float | None = None) -> QueueReply:
        """Return the running job and the next `limit` (1 to 1,000) in order; a submitter sees only its own."""
        return self._ask(Queue(limit), QueueReply, timeout)

    def result(self, id: int, *, journal: str | None = None) -> Any:
        """Return the result of a completed job, as often as you like.

        journal: the journal the id belongs to, if known. Raises NotFinished, NotFound, Expired; JobFailed or
        JobCancelled if the job ended without a result.
        """
        return self._run(operations.result(self, id, journal))

    def data(self, id: int, *, journal: str | None = None) -> Any:
        """Return the data that a job was submitted with; NO_DATA if it has none.

        journal: as in `result`. Raises NotFound, Expired, and BadData for data that is not a packed value.
        """
        return self._run(operations.data(self, id, journal))

    def show(self, id: int, *, preview: bool = False) -> ShowReply:
        """Return everything known about a job, except its data and result. preview: as in `status`."""
        return self._ask(Show(JobId(id), preview), ShowReply)

    def types(self) -> TypesReply:
        """Return the task types that the worker has announced."""
        return self._ask(Types(), TypesReply)

    def schema(self, type: str, digest: str | None = None) -> dict[str, Any] | None:
        """Return the JSON Schema of a type's parameters, None if the worker has announced none.

        digest: from `types`; by default, a schema received earlier is used.
        """
        parameters = self._run(self.schemas.of(type, digest)).parameters
        return None if parameters is None else parameters.schema

    def check(self, type: str, data: Any = NO_DATA) -> bool:
        """Raise BadData, naming the field and what it must be, if a job of this type cannot have this data.

        `submit` checks as well. Returns False if the worker has announced no schema, so that only the worker can judge.
        """
        return self._run(submission.check(self.schemas, type, data))

    def info(self, *, timeout: float | None = None) -> InfoReply:
        """Return the state of the broker: versions, journal, worker, counts, warnings."""
        return self._ask(Info(), InfoReply, timeout)

    def hello(self) -> HelloReply:
        """Return the journal's identity, the limits and the address of the events."""
        return self._ask(Hello(), HelloReply)

    def log(self, id: int, offset: int = 0) -> LogReply:
        """Return the output of the job's last run, which may still be running, from byte `offset` on, at most 64 KiB.

        Only the end of long output is kept, so the reply's own `offset` may be greater than requested.
        """
        return self._ask(Log(JobId(id), offset), LogReply)

    def list(
        self,
        state: JobState | str | None = None,
        type: str | None = None,
        limit: int | None = None,
        before: int | None = None,
        *,
        name: str | None = None,
        comment: str | None = None,
        owner: str | None = None,
        submitter: str | None = None,
        since: Duration | None = None,
        mine: bool = False,
        preview: bool = False,
    ) -> Iterator[JobStatus]:
        """Iterate over jobs, newest first: of this state and type, at most `limit`, with ids below `before`.

        name, comment, owner, submitter: only jobs with these; `*` stands for any text. since: only those submitted
        within this time, such as "1d". mine: only one's own, by the owner or, if the broker has no keys, by the
        submitter. preview: as in `status`. Pages are fetched as they are needed. Raises ValueError for an unknown
        state.
        """
        wanted = pages.wanted(self, state, type, before, name, comment, owner, submitter, since, mine, preview)
        found = pages.Pages(self, wanted, limit)
        while found.more:
            yield from self._run(found.next())

    def audit(self, limit: int | None = None, since: Duration | None = None) -> Iterator[AuditEntry]:
        """Iterate over the audit trail, newest first: at most `limit` entries, made within the time `since`.

        A submitter gets only its own entries. Pages are fetched as they are needed.
        """
        found = pages.AuditPages(self, limit, since)
        while found.more:
            yield from self._run(found.next())

    # --- control -------------------------------------------------------------------------------------------

    def cancel(self, ids: Sequence[int]) -> CancelReply:
        """Cancel these jobs. Return what each is now: cancelled, `cancelling` (it runs and was told to end), or ended
        before. Ids without a job are in `missing`."""
        return self._run(operations.cancel(self, ids))

    def hold(self, ids: Sequence[int]) -> EditReply:
        """Hold jobs: they do not start until `release`. See `edit` for the reply."""
        return self._run(operations.edit(self, ids, held=True))

    def release(self, ids: Sequence[int]) -> EditReply:
        """Release held jobs. See `edit` for the reply."""
        return self._run(operations.edit(self, ids, held=False))

    def edit(
        self,
        ids: Sequence[int],
        *,
        priority: int | None = None,
        time_limit: Duration | None = None,
        name: str | None = None,
        comment: str | None = None,
        at: Time | None = None,
        start_by: Time | None = None,
    ) -> EditReply:
        """Change jobs that have not started; the arguments are those of `submit`, a `time_limit` of 0 is the type's,
        an `at` of 0 ends a delay, and a `start_by` of 0 takes that time away.

        A job that the worker has already is recalled first. The reply's `changed` are changed, on disk. Those in `late`
        have started or ended, and are as they were. The worker has those in `pending`, and did not say in time whether
        they have started: ask again. Ids without a job are in `missing`.
        """
        return self._run(operations.edit(self, ids, None, priority, time_limit, name, comment, at, start_by))

    def forget(self, ids: Sequence[int]) -> ForgetReply:
        """Drop ended jobs with their data, result and output. Jobs that have not ended are in `kept`."""
        return self._run(operations.forget(self, ids))

    def pause(
        self,
        reason: str = "",
        *,
        duration: Duration | None = None,
        until: datetime | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> PauseReply:
        """Pause the queue: no more jobs start, even after restarts. The running job goes on.

        duration: for how long, in seconds, as text such as "30m" or a timedelta; until: a time, local unless it has a
        zone; by default until `resume`. Pauses of several people add up; this one replaces those of one's own that
        would end earlier.

        The reply names the jobs that were dispatched before: `running`, and those in `may_start`, which may start in
        the next moments. wait: return only when none of them runs or can start, so that it is safe to touch the
        instrument. Raises what `wait_until_idle` raises; the pause stays in force.
        """
        reply = self._ask(operations.pause(self, reason, duration, until), PauseReply)
        if wait:
            self.wait_until_idle(timeout)
        return reply

    def wait_until_idle(self, timeout: float | None = None) -> None:
        """Wait, while the queue is paused, until nothing runs and nothing can start.

        Raises StillRunning after `timeout` seconds, Resumed if somebody ended the pause, and BrokerUnreachable if the
        broker is lost for longer than the client's patience. A job whose worker was lost counts as running until
        another worker comes, because only that worker can tell that it does not run.
        """
        self._run(operations.wait_until_idle(self, timeout))

    def resume(self, *, all: bool = False) -> ResumeReply:
        """Lift one's own pauses. An operator also lifts those without an owner, such as the broker's; with `all`,
        everybody's.

        The reply has the pauses that were `lifted`, and the `pauses` still in force: if there are none, the queue runs.
        """
        return self._ask(Resume(all, self.submitter), ResumeReply)

    # --- wait ----------------------------------------------------------------------------------------------

    def watch(self, ids: Iterable[int] | None = None, *, journal: str | None = None) -> Watch:
        """Watch these jobs until all have ended; without ids, watch all jobs, without end.

        When this returns, the subscription is in force. Use `for event in client.watch(): …`, or `with`; see Watch.
        """
        return Watch(self, ids, journal)

    def wait(self, ids: Iterable[int], timeout: float | None = None) -> dict[int, JobStatus]:
        """Wait until all these jobs have ended, at most `timeout` seconds. Return their final statuses by id.

        Raises WaitTimeout (with the status of one that goes on), NotFound, Expired, BrokerChanged, and
        BrokerUnreachable if the broker is lost for longer than the client's patience; WouldDeadlock inside a task of
        the same service.
        """
        return self._run(Ends(self, ids, None, timeout).all())
