"""The blocking client: submit jobs, ask for them, wait for them.

    with Client() as client:
        job = client.submit("reverse", "example")
        print(job.id, job.status().state, job.result(timeout=60))

A `Client` may be shared by threads and used on both sides of a fork.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from zjobs.client.job import Job, Watch, request_key_or_new
from zjobs.client.net.connection import FlowRunner
from zjobs.client.protocol import operations, submission
from zjobs.client.protocol.job import NO_DATA, ids_of, job_like
from zjobs.client.protocol.schemas import Schemas
from zjobs.client.protocol.waiting import Ends
from zjobs.client.settings import PATIENCE_S
from zjobs.messages.records import JobStatus, Paused
from zjobs.messages.requests import (
    CancelReply,
    ForgetReply,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    Log,
    LogReply,
    NewJob,
    Pause,
    PauseReply,
    Queue,
    QueueReply,
    Resume,
    ResumeReply,
    RetryReply,
    Show,
    ShowReply,
    StatusReply,
    SubmitReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId


class Client(FlowRunner):
    """A broker's client.

    broker: its endpoint; by default that of the service, else the environment variable ZJOBS_BROKER, else
    tcp://127.0.0.1:5570.
    timeout: seconds for one answer, repeated attempts included; it never bounds a job.
    patience: seconds for which a wait outlasts a lost broker.
    key: the key file to use; by default the one that the environment variable ZJOBS_KEY names, else
    zjobs/client.key in the user's configuration directory if there is one. Empty: none.
    service: the name of a service in zjobs/config.toml of that directory, which gives broker and key where they are not
    given; without broker and ZJOBS_BROKER it is by default the one that ZJOBS_SERVICE names, else the file's default.

    Every method raises BrokerUnreachable when no answer comes in time, and the ZjobsError that belongs to the
    code when the answer is an error; with or without a key also KeyRefused, KeyNeeded and UntrustedBroker, without
    waiting. Raises BadAddress for what is no endpoint, BadKeyFile for what is no key file, or can be read by others,
    BadConfig for an unknown service and a mistake in config.toml.
    """

    def __init__(
        self,
        broker: str | None = None,
        timeout: float = 5.0,
        patience: float = PATIENCE_S,
        key: str | os.PathLike[str] | None = None,
        service: str | None = None,
    ) -> None:
        super().__init__(broker, timeout, patience, key, service)
        self.schemas = Schemas()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; calls that other threads are in end as they would have."""
        self.connection.close()

    # --- submit ------------------------------------------------------------------------------------------

    def submit(
        self,
        type: str,
        data: Any = NO_DATA,
        *,
        priority: int = 0,
        delay: float = 0,
        time_limit: float | None = None,
        request_key: str | None = None,
    ) -> Job:
        """Queues one job; when this returns, it is on the broker's disk.

        data: what msgpack can hold (None, bool, int, float, str, bytes, lists and dicts of them).
        priority: -1000 to 1000; what is ready starts by priority, greater first, then in the order of the ids.
        delay: seconds before which it does not start. time_limit: seconds it may run; by default the type's.
        request_key: the same one with the same job again returns the same job; by default a new one. An exception
        after which the job may have been taken all the same carries it as `request_key`.
        Raises BadData (nothing was sent: the data is not what the type takes), UnknownType, TooLarge, QueueFull,
        KeyConflict, StorageFailed, ReadOnly; TypeError, ValueError or
        OverflowError for data that msgpack cannot hold.
        """
        like, request_key = job_like(type, priority, delay, time_limit), request_key_or_new(request_key)
        accepted = self._run(submission.submit(self.schemas, like, data, request_key))
        return Job(self, accepted.first_id, accepted.journal)

    def submit_many(
        self,
        type: str,
        datas: Iterable[Any],
        *,
        priority: int = 0,
        delay: float = 0,
        time_limit: float | None = None,
        request_key: str | None = None,
    ) -> list[Job]:
        """Queues a job of this type for each of `datas`, in as few requests as the limits allow; else as `submit`.

        Each request is taken all or none. After an exception, repeating with the exception's `request_key` and the
        same `datas` makes no second jobs.
        """
        like, request_key = job_like(type, priority, delay, time_limit), request_key_or_new(request_key)
        parts = self._run(submission.submit_many(self.schemas, like, datas, request_key))
        return [Job(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    def submit_in_parts(
        self, like: NewJob, datas: Iterable[Any], request_key: str, make: submission.Make = submission.checked
    ) -> Iterator[SubmitReply]:
        """As submit_many, but yields what is accepted with every request; see `submission.Submission`."""
        parts = submission.Submission(self.schemas, like, datas, request_key, make)
        while (reply := self._run(parts.next())) is not None:
            yield reply

    def retry(self, ids: Sequence[int], request_key: str | None = None) -> list[Job]:
        """Submits copies of jobs that have ended, and returns them in this order.

        The old ones stay as they ended. As many as a request may make are taken all or none. The same request key with
        the same ids again returns the same copies; an exception after which that helps has it as `request_key`. Raises
        NotFinished, NotFound, Expired, and what `submit` raises.
        """
        parts = self._run(submission.retry(ids, request_key_or_new(request_key)))
        return [Job(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    def retry_in_parts(self, ids: Sequence[int], request_key: str) -> Iterator[RetryReply]:
        """As `Client.retry`, but yields what is accepted with every request; see `submission.Copying`."""
        parts = submission.Copying(ids, request_key)
        while (reply := self._run(parts.next())) is not None:
            yield reply

    # --- ask -----------------------------------------------------------------------------------------------

    def job(self, id: int, journal: str | None = None) -> Job:
        """The job of this id, as told by `submit` earlier or elsewhere. Asks nobody."""
        return Job(self, id, journal)

    def status(self, ids: Sequence[int], *, timeout: float | None = None) -> StatusReply:
        """The status of these jobs, in this order, and which ids have none."""
        return self._run(operations.status(self, ids, timeout))

    def queue(self, limit: int = 20, *, timeout: float | None = None) -> QueueReply:
        """The status of the running job and of the next `limit` (1 to 1,000) in turn; a submitter sees only its own."""
        return self._ask(Queue(limit), QueueReply, timeout)

    def result(self, id: int, *, journal: str | None = None) -> Any:
        """The result of a completed job, as often as asked.

        journal: the journal the id belongs to, where known. Raises NotFinished, NotFound, Expired; JobFailed
        or JobCancelled when the job ended without a result.
        """
        return self._run(operations.result(self, id, journal))

    def show(self, id: int) -> ShowReply:
        """Everything that is known of a job but its data and result."""
        return self._ask(Show(JobId(id)), ShowReply)

    def types(self) -> TypesReply:
        """The task types that the worker has announced."""
        return self._ask(Types(), TypesReply)

    def schema(self, type: str, digest: str | None = None) -> dict[str, Any] | None:
        """What a type takes, as the JSON Schema of its parameters; None: the worker has announced none.

        digest: as `types` tells it; by default, what was heard earlier counts.
        """
        parameters = self._run(self.schemas.of(type, digest)).parameters
        return None if parameters is None else parameters.schema

    def check(self, type: str, data: Any = NO_DATA) -> bool:
        """Raises BadData, with the field and what it must be, when a job of this type cannot have this data.

        `submit` checks as well. False: the worker has announced no schema, and will judge alone.
        """
        return self._run(submission.check(self.schemas, type, data))

    def info(self, *, timeout: float | None = None) -> InfoReply:
        """The broker: versions, journal, worker, counts."""
        return self._ask(Info(), InfoReply, timeout)

    def hello(self) -> HelloReply:
        """The journal's identity, the limits and where the events are."""
        return self._ask(Hello(), HelloReply)

    def log(self, id: int, offset: int = 0) -> LogReply:
        """What the job's last run has printed from byte `offset` on, at most 64 KiB, also while it runs.

        The reply's own `offset` is later than asked for when that part is gone: of long output the end is kept.
        """
        return self._ask(Log(JobId(id), offset), LogReply)

    def list(
        self,
        state: JobState | str | None = None,
        type: str | None = None,
        limit: int | None = None,
        before: int | None = None,
    ) -> Iterator[JobStatus]:
        """Jobs, newest first: of this state and type, at most `limit`, with ids below `before`.

        Pages are fetched as they are needed. Raises ValueError for a state that there is none of.
        """
        pages = operations.Pages(self, state, type, limit, before)
        while pages.more:
            yield from self._run(pages.next())

    # --- control -------------------------------------------------------------------------------------------

    def cancel(self, ids: Sequence[int]) -> CancelReply:
        """Cancels these jobs; tells what each is now: cancelled, `cancelling` (it runs and was told to end), or
        how it had ended before. Ids without a job are in `missing`."""
        return self._run(operations.cancel(self, ids))

    def forget(self, ids: Sequence[int]) -> ForgetReply:
        """Drops jobs that have ended, with data, result and output. Those that have not are in `kept`."""
        return self._run(operations.forget(self, ids))

    def pause(self, reason: str = "", *, wait: bool = False, timeout: float | None = None) -> PauseReply:
        """Nothing new starts until `resume`, over restarts too; the running job goes on.

        The reply names the jobs that the worker had been given before: the one in `running`, and those in `may_start`,
        which may start in the next moments. wait: returns when none of them runs or can start any more, so that it is
        safe to touch the instrument; raises what `wait_until_idle` does. The pause stays on in each case.
        """
        reply = self._ask(Pause(reason), PauseReply)
        if wait:
            self.wait_until_idle(timeout)
        return reply

    def wait_until_idle(self, timeout: float | None = None) -> None:
        """Waits, while the queue is paused, until nothing runs and nothing can start.

        Raises StillRunning after `timeout` seconds, Resumed when somebody ended the pause, and BrokerUnreachable when
        the broker is lost for longer than the client's patience. A job whose worker was lost counts until another
        worker comes: nobody else knows that it does not run.
        """
        self._run(operations.wait_until_idle(self, timeout))

    def resume(self) -> Paused | None:
        """Ends a pause; returns it, None when there was none."""
        return self._ask(Resume(), ResumeReply).was

    # --- wait ----------------------------------------------------------------------------------------------

    def watch(self, ids: Iterable[int] | None = None, *, journal: str | None = None) -> Watch:
        """The news of these jobs as they come, until all have ended; without ids those of all jobs, without end.

        When this returns, the subscription is in force: `for news in client.watch(): …`, or `with`; see Watch.
        """
        return Watch(self, ids, journal)

    def wait(self, ids: Iterable[int], timeout: float | None = None) -> dict[int, JobStatus]:
        """Waits until all these jobs have ended, at most `timeout` seconds; their final statuses by id.

        Raises WaitTimeout (with the status of one that goes on), NotFound, Expired, BrokerChanged, and
        BrokerUnreachable when the broker is lost for longer than the client's patience; WouldDeadlock inside a task of
        the same service.
        """
        return self._run(Ends(self, ids, None, timeout).all())
