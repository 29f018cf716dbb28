"""Jobs in the manner of `concurrent.futures`: callbacks, `as_completed`, and an `Executor`.

    with Executor() as executor:
        for value in executor.map("measure", [532.1, 633.0]):
            print(value)

A blocking client learns of the ends of jobs through an `AsyncClient` in a thread of its own, which starts with the
first job used here: one connection, however many jobs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from time import monotonic
from typing import Any, cast, overload

from zjobs.client.aio import AsyncClient
from zjobs.client.aio_job import AsyncJob
from zjobs.client.client import Client
from zjobs.client.config.settings import Settings
from zjobs.client.errors import BadRequest, JobCancelled, ZjobsError
from zjobs.client.job import Job
from zjobs.client.protocol.job import NO_DATA, Duration, named_data, type_name
from zjobs.messages.states import JobState

_log = logging.getLogger("zjobs")


class Background:
    """An asyncio client of the same broker in a thread of its own; it ends with `close`."""

    def __init__(self, client: Settings) -> None:
        self.pid = os.getpid()
        key = "" if client.key is None else client.key.file
        self._client = AsyncClient(client.addresses.text, client.timeout, client.patience, key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="zjobs", daemon=True)
        self._thread.start()

    def begin(self, work: Callable[[AsyncJob], Coroutine[Any, Any, None]], job: Job) -> concurrent.futures.Future[None]:
        """Run `work` with the job in the thread."""
        person = job._client.person
        client = self._client if person is None else self._client.acting_for(*person)
        return asyncio.run_coroutine_threadsafe(work(client.job(job.id, job.journal)), self._loop)

    def close(self) -> None:
        """End the thread, with everything that runs in it."""
        if self.pid == os.getpid() and self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self) -> None:
        works = asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        self._client.close()


_starting = threading.Lock()


def background(client: Settings) -> Background:
    """Return the thread that this client and its views share in this process."""
    client = client.whole
    with _starting:
        present = client.background
        if present is None or present.pid != os.getpid():
            present = client.background = Background(client)
        return cast("Background", present)


def add_done_callback(job: Job, callback: Callable[[Job], object]) -> None:
    """Call back in another thread; see `Job.add_done_callback`."""

    async def call(waited: AsyncJob) -> None:
        await _end_of(waited)
        await asyncio.to_thread(_called, callback, job)

    background(job._client).begin(call, job)


def add_async_done_callback(job: AsyncJob, callback: Callable[[AsyncJob], object]) -> None:
    """Call back in the event loop; see `AsyncJob.add_done_callback`."""

    async def call() -> None:
        await _end_of(job)
        _called(callback, job)

    _keep(asyncio.get_running_loop().create_task(call()))


async def _end_of(job: AsyncJob) -> ZjobsError | None:
    """Wait for the end of the job. Return the error if it cannot be learnt."""
    try:
        await job.wait()
    except ZjobsError as error:
        return error
    return None


def _called(callback: Callable[[Any], object], job: Any) -> None:
    try:
        callback(job)
    except Exception:
        _log.exception("a callback of job %s raised", job.id)


_kept: set[asyncio.Task[None]] = set()  # an event loop holds its tasks by weak references only


def _keep(task: asyncio.Task[None]) -> None:
    _kept.add(task)
    task.add_done_callback(_kept.discard)


# --- as_completed ------------------------------------------------------------------------------------------


@overload
def as_completed(jobs: Iterable[Job], timeout: float | None = None) -> Iterator[Job]: ...


@overload
def as_completed(jobs: Iterable[AsyncJob], timeout: float | None = None) -> AsyncIterator[AsyncJob]: ...


def as_completed(jobs: Any, timeout: float | None = None) -> Any:
    """Yield the jobs in the order in which they end: with `for`, or `async for` with jobs of an AsyncClient.

    Raises TimeoutError after `timeout` seconds, and what `wait` raises for a job whose end cannot be learnt.
    """
    jobs = list(dict.fromkeys(jobs))
    if any(isinstance(job, AsyncJob) for job in jobs):
        return _as_completed_async(jobs, timeout)
    return _as_completed(jobs, timeout)


def _as_completed(jobs: list[Job], timeout: float | None) -> Iterator[Job]:
    ended: queue.SimpleQueue[tuple[Job, ZjobsError | None]] = queue.SimpleQueue()
    deadline = None if timeout is None else monotonic() + timeout

    def telling(job: Job) -> Callable[[AsyncJob], Coroutine[Any, Any, None]]:
        async def tell(waited: AsyncJob) -> None:
            ended.put((job, await _end_of(waited)))

        return tell

    works = [background(job._client).begin(telling(job), job) for job in jobs]
    try:
        for done in range(len(jobs)):
            try:
                job, error = ended.get(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
            except queue.Empty:
                raise _late(len(jobs) - done, len(jobs), timeout) from None
            if error is not None:
                raise error
            yield job
    finally:
        for work in works:
            work.cancel()


async def _as_completed_async(jobs: list[AsyncJob], timeout: float | None) -> AsyncIterator[AsyncJob]:
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    works = {loop.create_task(_end_of(job)): job for job in jobs}
    left = set(works)
    try:
        while left:
            ended, left = await asyncio.wait(
                left,
                timeout=None if deadline is None else max(0.0, deadline - loop.time()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not ended:
                raise _late(len(left), len(jobs), timeout)
            for work in ended:
                if (error := work.result()) is not None:
                    raise error
                yield works[work]
    finally:
        for work in left:
            work.cancel()


def _late(left: int, of: int, timeout: float | None) -> TimeoutError:
    return TimeoutError(f"{left} of {of} jobs are not finished after {timeout:g} s")


# --- Executor ----------------------------------------------------------------------------------------------


class JobFuture(concurrent.futures.Future[Any]):
    """The future of a job, `job`. `cancel` cancels the job: a queued one at once, a running one is told to end."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job

    def cancel(self) -> bool:
        """Cancel the job. Return True if it is cancelled, or runs and was told to end; then the future is cancelled
        once it has."""
        if self.done():
            return self.cancelled()
        status = self.job.cancel()
        return status.state is JobState.CANCELLED or status.cancelling

    def running(self) -> bool:
        """Return True if the job runs now."""
        return not self.done() and self.job.status().state is JobState.IN_PROGRESS

    async def follow(self, job: AsyncJob) -> None:
        """Settle the future when the job has ended, or its end cannot be learnt."""
        try:
            value = await job.result()
        except JobCancelled:
            super().cancel()
            self.set_running_or_notify_cancel()
        except (Exception, asyncio.CancelledError) as error:
            self.set_exception(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self.set_result(value)


class Executor(concurrent.futures.Executor):
    """Runs tasks as jobs: `submit` accepts a function with @task, or the name of its type, and returns a JobFuture.

    client: by default one of its own, which `shutdown` closes. The other arguments are those of `Client.submit`; they
    count for each job, because all that is given to `submit` and `map` here goes to the task.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        priority: int = 0,
        delay: Duration = 0,
        time_limit: Duration | None = None,
        name: str = "",
        comment: str = "",
    ) -> None:
        self._options: dict[str, Any] = {
            "priority": priority,
            "delay": delay,
            "time_limit": time_limit,
            "name": name,
            "comment": comment,
        }
        self._owned = client is None
        self._client = Client() if client is None else client
        self._futures: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def submit(self, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> JobFuture:
        """Queue a job of the type; the arguments are its data.

        For a type given by name, pass one value, or named ones; for a function, also several positional ones.
        """
        if self._ended:
            raise RuntimeError("cannot submit after shutdown")
        future = JobFuture(self._client.submit(type_name(fn), _data(fn, args, kwargs), **self._options))
        with self._lock:
            self._futures.add(future)
        future.add_done_callback(self._settled)
        background(self._client).begin(future.follow, future.job)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more jobs. wait: return when the present ones have ended; cancel_futures: cancel them first."""
        self._ended = True
        with self._lock:
            futures = list(self._futures)
        for future in futures if cancel_futures else ():
            future.cancel()
        if wait:
            concurrent.futures.wait(futures)
            if self._owned:
                self._client.close()

    def _settled(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._futures.discard(future)


def _data(task: Callable[..., Any] | str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Return the data of a job that is called like a function."""
    if not args:
        return named_data(NO_DATA, named)
    if len(args) == 1 and not named:
        return args[0]
    if isinstance(task, str):
        raise BadRequest(f"{task} takes one value or named parameters; to give them by position, pass the function")
    names = [name for name, one in inspect.signature(task).parameters.items() if not _is_context(one)]
    if len(args) > len(names):
        raise BadRequest(f"{type_name(task)} takes {len(names)} values at most, not {len(args)}")
    twice = [name for name in names[: len(args)] if name in named]
    if twice:
        raise BadRequest(f"{type_name(task)} is given {twice[0]} twice")
    return {**dict(zip(names, args)), **named}


def _is_context(parameter: inspect.Parameter) -> bool:
    kind = parameter.annotation
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", "")).rpartition(".")[2] == "Context"
