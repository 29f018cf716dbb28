"""Requests that change something, and the replies to them."""

from typing import Annotated

from zjobs.messages.fields import (
    AfterIds,
    Comment,
    DurationMs,
    Id,
    Ids,
    Items,
    JobName,
    Milliseconds,
    Name,
    Positive,
    Priority,
    Reason,
    RequestKey,
    SchemaDigest,
    ShortText,
    SomeIds,
    Submitter,
    Time,
    TimeLimitMs,
    TimeOrNone,
)
from zjobs.messages.named import NamedTuple
from zjobs.messages.records import JobStatus, Missing, Paused, QueuePause
from zjobs.messages.units import Ms


class NewJob(NamedTuple):
    """One job to queue. `data`: one packed msgpack value, None for no data. `time_limit_ms`: None for the type's.
    `name` and `comment` are for people. It waits until the jobs in `after` have completed, and those in `after_any`
    have ended. It is ready at `start_at`, and cancelled if it has not started by `start_by`."""

    type: Name
    data: bytes | None = None
    priority: Priority = 0
    delay_ms: DurationMs = Ms(0)
    time_limit_ms: TimeLimitMs | None = None
    name: JobName = ""
    comment: Comment = ""
    after: AfterIds = ()
    after_any: AfterIds = ()
    start_at: Time | None = None
    start_by: Time | None = None


class CheckedBy(NamedTuple):
    """A statement of the client: it checked the data of the jobs of this type by the schema of this digest."""

    type: Name
    digest: SchemaDigest


class Submit(NamedTuple):
    """Queue jobs, all or none. The same request key again returns the same ids. `schemas`: those by which the
    client checked the data; if a type has a different one now, the request is refused. `submitter`: who submits,
    unverified."""

    request_key: RequestKey
    jobs: Annotated[tuple[NewJob, ...], Items(1)]
    schemas: tuple[CheckedBy, ...] = ()
    submitter: Submitter = ""


class SubmitReply(NamedTuple):
    """The ids of the jobs, first_id … first_id + count - 1. `checked`: the types were compared with a worker's."""

    journal: ShortText
    first_id: Id
    count: Positive  # type: ignore[assignment]  # a tuple method of that name is hidden; nobody calls it
    checked: bool


class Cancel(NamedTuple):
    """Cancel jobs. A running job ends soon after the reply. `submitter`: as in `Submit`."""

    ids: SomeIds
    submitter: Submitter = ""


class CancelReply(NamedTuple):
    """The jobs as they are now: cancelled, cancelling, or ended before."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    missing: tuple[Missing, ...]


class Edit(NamedTuple):
    """Change the fields that are not None of jobs that have not started. `held`: whether they wait for a release.
    `time_limit_ms`: 0 for the type's. `start_at`, `start_by`: 0 for none. `submitter`: as in `Submit`."""

    ids: SomeIds
    held: bool | None = None
    priority: Priority | None = None
    time_limit_ms: DurationMs | None = None
    name: JobName | None = None
    comment: Comment | None = None
    submitter: Submitter = ""
    start_at: TimeOrNone | None = None
    start_by: TimeOrNone | None = None


class EditReply(NamedTuple):
    """The outcome for each id. `late`: jobs that have started or ended, or were told to end. `pending`: the worker has
    these, and has not said in time whether they have started."""

    journal: ShortText
    changed: Ids
    late: Ids
    pending: Ids
    missing: tuple[Missing, ...]


class Retry(NamedTuple):
    """Submit copies of ended jobs, all or none. `submitter`: as in `Submit`. `with_dependents`: with the jobs that were
    cancelled because these did not complete."""

    request_key: RequestKey
    ids: SomeIds
    submitter: Submitter = ""
    with_dependents: bool = False


class RetryReply(NamedTuple):
    """The ids of the copies, first_id … first_id + count - 1, in the order of the request."""

    journal: ShortText
    first_id: Id
    count: Positive  # type: ignore[assignment]  # as in SubmitReply


class Pause(NamedTuple):
    """Start no more jobs; the running one goes on. The pause ends at `until_at`, after `for_ms`, or with `Resume`."""

    reason: Reason = ""
    until_at: Milliseconds | None = None
    for_ms: TimeLimitMs | None = None
    submitter: Submitter = ""


class Resume(NamedTuple):
    """Lift one's own pauses; an operator also lifts those without an owner and, with `all`, everybody's."""

    all: bool = False
    submitter: Submitter = ""


class PauseReply(NamedTuple):
    """The pause. `running`: the job that runs. `may_start`: jobs that were dispatched before the pause, in order; no
    other job starts. `pauses`: all that are in force."""

    journal: ShortText
    paused: Paused
    running: Id | None
    may_start: tuple[Id, ...]
    pauses: tuple[QueuePause, ...] = ()


class ResumeReply(NamedTuple):
    """The pauses lifted. `was`: the oldest of them, None if there was none. `lifted`: all of them. `pauses`: those
    still in force; if there are none, the queue runs."""

    journal: ShortText
    was: Paused | None
    lifted: tuple[QueuePause, ...] = ()
    pauses: tuple[QueuePause, ...] = ()


class Forget(NamedTuple):
    """Drop ended jobs with their data, results and output. `submitter`: as in `Submit`."""

    ids: SomeIds
    submitter: Submitter = ""


class ForgetReply(NamedTuple):
    """The fate of each id. `kept`: jobs that have not ended."""

    journal: ShortText
    forgotten: Ids
    kept: Ids
    missing: tuple[Missing, ...]
