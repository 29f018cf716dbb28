"""What a client can do with jobs that exist, and with the queue: cancel, retry, forget, list, pause, wait.

A part of `Client` (in `api`), in a file of its own because submitting and asking need none of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar

from zjobs.client import errors
from zjobs.messages.records import JobStatus, Paused
from zjobs.messages.requests import (
    Cancel,
    CancelReply,
    Forget,
    ForgetReply,
    List,
    ListReply,
    Log,
    LogReply,
    Pause,
    PauseReply,
    Queue,
    QueueReply,
    Resume,
    ResumeReply,
    Retry,
    RetryReply,
)
from zjobs.messages.states import JobState

if TYPE_CHECKING:
    from zjobs.client.watch import Watch

# The protocol's bounds for one request.
IDS_A_REQUEST = 10_000
JOBS_A_PAGE = 1_000

# How often it is asked whether the worker has nothing any more: of a job that it gives back, no event tells.
FIRST_LOOK_S = 0.01
LONGEST_LOOK_S = 0.5

# After these, only the same request once more, under the same key, tells what became of it.
NOT_PROMISED = (errors.BrokerUnreachable, errors.StorageFailed, errors.ReadOnly)

ReplyT = TypeVar("ReplyT")


class Control(ABC):
    """The methods of `Client` that change or list what was submitted earlier."""

    address: str
    patience: float

    def cancel(self, ids: Sequence[int]) -> CancelReply:
        """Cancels these jobs; tells what each is now: cancelled, `cancelling` (it runs and was told to end), or
        how it had ended before. Ids without a job are in `missing`."""
        first, *more = [self._ask(Cancel(tuple(part)), CancelReply) for part in _parts(ids)]
        for reply in more:
            self._check_journal(reply.journal, first.journal)
            first = first._replace(jobs=first.jobs + reply.jobs, missing=first.missing + reply.missing)
        return first

    def retry_in_parts(self, ids: Sequence[int], request_key: str) -> Iterator[RetryReply]:
        """As `Client.retry`, but yields what is accepted with every request.

        What is too large for one request is sent in halves, whose keys are `request_key` with `.1` and `.2` behind it:
        the same ids fall into the same requests.
        """
        try:
            reply = self._copied(ids, request_key)
        except NOT_PROMISED as error:
            error.request_key = request_key
            raise
        if reply is not None:
            yield reply
            return
        middle = (len(ids) + 1) // 2
        try:
            yield from self.retry_in_parts(ids[:middle], f"{request_key}.1")
            yield from self.retry_in_parts(ids[middle:], f"{request_key}.2")
        except errors.ZjobsError as error:
            error.request_key = request_key  # that of the whole: under it everything is repeated
            raise

    def _copied(self, ids: Sequence[int], request_key: str) -> RetryReply | None:
        """What the broker says to one request; None when these are too many for one."""
        if len(ids) > IDS_A_REQUEST:
            return None
        try:
            return self._ask(Retry(request_key, tuple(ids)), RetryReply)
        except errors.TooLarge:
            if len(ids) < 2:
                raise
            return None

    def forget(self, ids: Sequence[int]) -> ForgetReply:
        """Drops jobs that have ended, with data, result and output. Those that have not are in `kept`."""
        first, *more = [self._ask(Forget(tuple(part)), ForgetReply) for part in _parts(ids)]
        for reply in more:
            self._check_journal(reply.journal, first.journal)
            first = ForgetReply(
                first.journal,
                first.forgotten + reply.forgotten,
                first.kept + reply.kept,
                first.missing + reply.missing,
            )
        return first

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
        deadline = float("inf") if timeout is None else monotonic() + timeout
        lost_at: float | None = None
        pause_s = FIRST_LOOK_S
        while True:
            try:
                reply = self._ask(Queue(1), QueueReply)
                lost_at = None
                if not reply.paused:
                    raise errors.Resumed
                if reply.dispatched == 0:
                    return
                if timeout is not None and monotonic() >= deadline:
                    raise errors.StillRunning(reply.dispatched, timeout)
            except errors.BrokerUnreachable:
                lost_at = lost_at or monotonic()
                if monotonic() - lost_at > self.patience or monotonic() >= deadline:
                    raise
            sleep(max(0.0, min(pause_s, deadline - monotonic())))
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)

    def resume(self) -> Paused | None:
        """Ends a pause; returns it, None when there was none."""
        return self._ask(Resume(), ResumeReply).was

    def log(self, id: int, offset: int = 0) -> LogReply:
        """What the job's last run has printed from byte `offset` on, at most 64 KiB, also while it runs.

        The reply's own `offset` is later than asked for when that part is gone: of long output the end is kept.
        """
        return self._ask(Log(id, offset), LogReply)

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
        wanted = List(None if state is None else JobState(state), type)
        left = float("inf") if limit is None else limit
        journal: str | None = None
        while left > 0:
            page = self._ask(wanted._replace(limit=int(min(left, JOBS_A_PAGE)), before=before), ListReply)
            journal = journal or page.journal
            self._check_journal(page.journal, journal)
            yield from page.jobs
            left -= len(page.jobs)
            before = page.before
            if before is None:
                return

    def wait(self, ids: Iterable[int], timeout: float | None = None) -> dict[int, JobStatus]:
        """Waits until all these jobs have ended, at most `timeout` seconds; their final statuses by id.

        Raises WaitTimeout (with the status of one that goes on), NotFound, Expired, BrokerChanged, and
        BrokerUnreachable when the broker is lost for longer than the client's patience; WouldDeadlock inside a task of
        the same service.
        """
        deadline = float("inf") if timeout is None else monotonic() + timeout
        with self.watch(ids) as watch:
            watch.check_can_end()
            while watch.unfinished:
                left = deadline - monotonic()
                if timeout is not None and left <= 0:
                    raise errors.WaitTimeout(watch.known[next(iter(watch.unfinished))], timeout)
                watch.next(min(left, 3600.0))
            return watch.known

    # --- what `Client` has -----------------------------------------------------------------------------------

    @abstractmethod
    def watch(self, ids: Iterable[int] | None = None) -> Watch: ...

    @abstractmethod
    def _ask(self, request: Any, kind: type[ReplyT], timeout: float | None = None) -> ReplyT: ...

    @abstractmethod
    def _check_journal(self, heard: str, expected: str) -> None: ...


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """`ids` in pieces for one request each; one empty piece for none, which the broker answers as a mistake."""
    for start in range(0, len(ids) or 1, IDS_A_REQUEST):
        yield ids[start : start + IDS_A_REQUEST]
