"""The submits of the blocking client: one job, many jobs, and copies of jobs that have ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from zjobs.client.command import command_data
from zjobs.client.config.settings import PATIENCE_S
from zjobs.client.job import Job, request_key_or_new
from zjobs.client.net.connection import FlowRunner
from zjobs.client.protocol import operations, submission
from zjobs.client.protocol.job import NO_DATA, Duration, Time, ids_of, job_like, named_data
from zjobs.client.protocol.schemas import Schemas
from zjobs.messages.records import COMMAND
from zjobs.messages.requests.changes import NewJob, RetryReply, SubmitReply


class Submitting(FlowRunner):
    """A client that submits jobs; see `Client`."""

    def __init__(
        self,
        broker: str | Sequence[str] | None = None,
        timeout: float = 5.0,
        patience: float = PATIENCE_S,
        key: str | os.PathLike[str] | None = None,
        service: str | None = None,
    ) -> None:
        super().__init__(broker, timeout, patience, key, service)
        self.schemas = Schemas()

    def submit(
        self,
        type: str | Callable[..., Any],
        data: Any = NO_DATA,
        *,
        priority: int = 0,
        delay: Duration = 0,
        time_limit: Duration | None = None,
        name: str = "",
        comment: str = "",
        after: Sequence[int | Job] = (),
        after_any: Sequence[int | Job] = (),
        at: Time | None = None,
        start_by: Time | None = None,
        request_key: str | None = None,
        **named: Any,
    ) -> Job:
        """Queue one job. When this returns, it is on the broker's disk.

        type: the name of the type, or the function that has @task.
        data: a value that msgpack can hold (None, bool, int, float, str, bytes, lists and dicts of them).
        named: the parameters by name, instead of data: `submit("measure", count=3)`. A parameter named like an argument
        of this method goes into `data={...}`.
        priority: -1000 to 1000; ready jobs start by priority, greater first, then in the order of their ids.
        delay: the time before which it does not start. time_limit: how long it may run; by default the type's limit.
        Both are seconds, text such as "5m", or a timedelta.
        name, comment: for people, up to 200 and 2,000 characters; `list` and `show` return them.
        after, after_any: jobs of this broker, or their ids. It starts once all jobs in `after` have completed; if one
        fails or is cancelled, it is cancelled. It starts once all in `after_any` have ended, however.
        at: a time before which it does not start, in place of a delay. start_by: a time by which it must have started;
        else it is cancelled. Both are a datetime, text such as "02:00" or "2026-12-01 02:00 Europe/Berlin", or seconds
        since 1970.
        request_key: the same key with the same job again returns the same job; by default a new one. An exception after
        which the job may still have been queued carries it as `request_key`.
        Raises BadData (nothing was sent: the data does not match the type's schema), UnknownType, TooLarge, QueueFull,
        KeyConflict, StorageFailed, ReadOnly; TypeError, ValueError or OverflowError for data that msgpack cannot hold.
        """
        like = job_like(type, priority, delay, time_limit, name, comment, after, after_any, at, start_by)
        self._run(operations.check_waits(self, (*after, *after_any)))
        request_key = request_key_or_new(request_key)
        data = named_data(data, named)
        accepted = self._run(submission.submit(self.schemas, like, data, request_key, self.submitter))
        return Job(self, accepted.first_id, accepted.journal)

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Job:
        """Queue a program and its arguments, for a worker with `--commands`. The result is its exit code, 0; any other
        code fails the job, whose status has it as `exit_code`.

        cwd: the directory in which it runs, a path on the worker's host; by default the current one. env: variables
        that are added to the worker's environment. options: as for `submit`, such as priority, name and after.
        Raises BadData for what is not text, NotPermitted, and what `submit` raises.
        """
        return self.submit(COMMAND, command_data(argv, cwd, env), **options)

    def submit_many(
        self,
        type: str | Callable[..., Any],
        datas: Iterable[Any],
        *,
        priority: int = 0,
        delay: Duration = 0,
        time_limit: Duration | None = None,
        name: str = "",
        comment: str = "",
        after: Sequence[int | Job] = (),
        after_any: Sequence[int | Job] = (),
        at: Time | None = None,
        start_by: Time | None = None,
        request_key: str | None = None,
    ) -> list[Job]:
        """Queue a job of this type for each of `datas`, in as few requests as the limits allow; see `submit`.

        Each request is admitted whole or not at all. After an exception, repeating with the exception's `request_key`
        and the same `datas` makes no second jobs.
        """
        like = job_like(type, priority, delay, time_limit, name, comment, after, after_any, at, start_by)
        self._run(operations.check_waits(self, (*after, *after_any)))
        request_key = request_key_or_new(request_key)
        parts = self._run(submission.submit_many(self.schemas, like, datas, request_key, self.submitter))
        return [Job(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    def submit_in_parts(
        self, like: NewJob, datas: Iterable[Any], request_key: str, make: submission.Make = submission.checked
    ) -> Iterator[SubmitReply]:
        """Submit like `submit_many`, but yield the reply to each request; see `submission.Submission`."""
        parts = submission.Submission(self.schemas, like, datas, request_key, self.submitter, make)
        while (reply := self._run(parts.next())) is not None:
            yield reply

    def retry(self, ids: Sequence[int], request_key: str | None = None, *, with_dependents: bool = False) -> list[Job]:
        """Submit copies of jobs that have ended, and return them in this order.

        The old ones stay as they ended. Each request is admitted whole or not at all. The same request key with the
        same ids returns the same copies; an exception after which repeating helps carries the key as `request_key`.
        Raises NotFinished, NotFound, Expired, and what `submit` raises.
        """
        parts = self._run(submission.retry(ids, request_key_or_new(request_key), self.submitter, with_dependents))
        return [Job(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    def retry_in_parts(
        self, ids: Sequence[int], request_key: str, with_dependents: bool = False
    ) -> Iterator[RetryReply]:
        """Retry like `Client.retry`, but yield the reply to each request; see `submission.Copying`."""
        parts = submission.Copying(ids, request_key, self.submitter, with_dependents)
        while (reply := self._run(parts.next())) is not None:
            yield reply
