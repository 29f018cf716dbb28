"""Jobs the way of concurrent.futures: callbacks, as_completed, Executor, the remote traceback."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import traceback
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import wait_until
from zjobs import AsyncClient, Executor, as_completed, default_client, task
from zjobs.client import BadRequest, Client, Job, JobFailed, NotFound, RemoteTraceback
from zjobs.client.futures import background
from zjobs.messages import values
from zjobs.messages.requests.changes import NewJob, Submit
from zjobs.messages.states import FailReason, JobState
from zjobs.worker.tasks import REGISTRY

COMPLETED, FAILED, CANCELLED, RUNNING = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.IN_PROGRESS
SECONDS = 30


class Measured:
    """What a Context is to a task."""


Context = Measured


@pytest.fixture
def measure() -> Any:
    """A function that is a task, under another name than its own."""

    @task(name="measure")
    def measured(context: Context, count: int, exposure: float = 0.1) -> int:
        return count

    yield measured
    del REGISTRY["measure"]


# --- what submit accepts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [90, 90.0, "90", "1.5m", timedelta(minutes=1.5)])
def test_durations(broker: Any, client: Client, delay: Any) -> None:
    """Seconds, text and timedelta mean the same, in both clients."""

    async def submit() -> None:
        async with AsyncClient(broker.address) as other:
            await other.submit("t", delay=delay, time_limit=delay)
            await other.submit_many("t", [None], delay=delay)

    client.submit("t", delay=delay, time_limit=delay)
    asyncio.run(submit())
    jobs = [job for request in broker.asked(Submit) for job in request.jobs]
    assert jobs[:2] == [NewJob("t", None, 0, 90_000, 90_000)] * 2 and jobs[2].delay_ms == 90_000


def test_named_parameters(broker: Any, client: Client, measure: Any) -> None:
    """They are the map of the data; a function stands for its type."""

    async def submit() -> None:
        async with AsyncClient(broker.address) as other:
            await other.submit(measure, count=3)

    client.submit("measure", count=3, priority=1)
    client.submit(measure, {"count": 3})
    asyncio.run(submit())
    jobs = [request.jobs[0] for request in broker.asked(Submit)]
    assert [(job.type, values.unpack_value(job.data), job.priority) for job in jobs] == [
        ("measure", {"count": 3}, 1),
        ("measure", {"count": 3}, 0),
        ("measure", {"count": 3}, 0),
    ]


def test_submit_of_a_task(broker: Any, measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to the default client, with its options; the function itself stays a function."""
    monkeypatch.setenv("ZJOBS_BROKER", broker.address)
    default_client.cache_clear()
    assert measure.submit(count=3, delay="5m").id == 1 and measure.submit(4).id == 2
    default_client().close()
    default_client.cache_clear()
    jobs = [request.jobs[0] for request in broker.asked(Submit)]
    assert [(job.type, values.unpack_value(job.data), job.delay_ms) for job in jobs] == [
        ("measure", {"count": 3}, 300_000),
        ("measure", 4, 0),
    ]
    assert measure(Context(), 5) == 5


WRONG = [
    ((17,), {}, "the type must be text of 1 to 128 characters, not 17"),
    (("",), {}, "the type must be text of 1 to 128 characters, not ''"),
    ((len,), {}, "<built-in function len> is not a task: put @task above it, or name the type"),
    (
        ("t", "x"),
        {"count": 3},
        "the data is given, so there can be no count: give one value, or named parameters alone",
    ),
    (("t",), {"priority": "high"}, "priority must be an integer from -1000 to 1000, not 'high'"),
    (("t",), {"priority": True}, "priority must be an integer from -1000 to 1000, not True"),
    (("t",), {"delay": "soon"}, "delay: 'soon' is not a duration such as 90, 90s, 5m, 2h or 7d"),
    (("t",), {"delay": -1}, 'delay must be a number of seconds, from 0, text such as "5m", or a timedelta, not -1'),
    (("t",), {"delay": None}, "delay must be a number of seconds, from 0, "),
    (("t",), {"delay": float("nan")}, "delay must be a number of seconds, from 0, "),
    (("t",), {"time_limit": 0}, "time_limit must be a number of seconds, more than 0, "),
    (("t",), {"time_limit": timedelta(-1)}, "time_limit must be a number of seconds, more than 0, "),
]


@pytest.mark.parametrize(("args", "options", "sentence"), WRONG, ids=[sentence for *_, sentence in WRONG])
def test_what_submit_cannot_accept(broker: Any, client: Client, args: Any, options: Any, sentence: str) -> None:
    """A sentence names the argument and what it must be; nothing is sent."""
    with pytest.raises(BadRequest) as caught:
        client.submit(*args, **options)
    assert str(caught.value).startswith(sentence)
    assert broker.requests == []


# --- the remote traceback --------------------------------------------------------------------------------------


def test_the_remote_traceback(broker: Any, client: Client) -> None:
    """A job that raised has it as the cause, from each way to its result; one that failed otherwise has none."""
    broker.add(1, FAILED, message="ValueError: odd", reason=FailReason.RAISED)
    broker.add(2, FAILED, message="too long", reason=FailReason.BAD_DATA)

    async def result() -> Any:
        async with AsyncClient(broker.address) as other:
            return await other.job(1).result()

    for way in (lambda: client.job(1).result(), lambda: client.result(1), lambda: asyncio.run(result())):
        with pytest.raises(JobFailed) as caught:
            way()
        assert isinstance(caught.value.__cause__, RemoteTraceback)
        assert '\n"""\nTraceback\n  line\n"""' in "".join(traceback.format_exception(caught.value))
    with pytest.raises(JobFailed) as caught:
        client.result(2)
    assert caught.value.__cause__ is None


# --- callbacks -------------------------------------------------------------------------------------------------


def test_done(broker: Any, client: Client) -> None:
    """However the job ended."""
    broker.add(1)
    assert not client.job(1).done()
    broker.add(1, FAILED)
    assert client.job(1).done()
    with pytest.raises(NotFound):
        client.job(2).done()


def test_callbacks(broker: Any, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Called with the job when it has ended, at once if it has; one that raises harms no other; one for no job, too."""
    called: queue.SimpleQueue[Job] = queue.SimpleQueue()
    broker.add(1)
    broker.add(2, COMPLETED, "x")

    def raises(job: Job) -> None:
        raise ValueError(job.id)

    client.job(1).add_done_callback(called.put)
    with caplog.at_level(logging.ERROR, "zjobs"):
        client.job(2).add_done_callback(raises)
        client.job(2).add_done_callback(called.put)
        assert called.get(timeout=SECONDS) == client.job(2)
        client.job(99).add_done_callback(called.put)
        assert called.get(timeout=SECONDS) == client.job(99)
    assert called.empty()
    broker.add(1, COMPLETED, "x")
    assert called.get(timeout=SECONDS) == client.job(1)
    client.close()
    assert "a callback of job 2 raised" in caplog.text


def test_callbacks_in_the_event_loop(broker: Any) -> None:
    """Called in the loop, with the job."""
    broker.add(1, COMPLETED, "x")

    async def called() -> Any:
        async with AsyncClient(broker.address) as client:
            future = asyncio.get_running_loop().create_future()
            client.job(1).add_done_callback(future.set_result)
            assert await client.job(1).done()
            return await asyncio.wait_for(future, SECONDS)

    assert asyncio.run(called()).id == 1


def test_as_completed(broker: Any, client: Client) -> None:
    """In the order of their ends; late ones are a TimeoutError, lost ones what `wait` raises."""
    for job_id in (1, 2, 3):
        broker.add(job_id)
    ended = as_completed([client.job(job_id) for job_id in (1, 2, 3, 1)], timeout=SECONDS)
    order = []
    for job_id in (2, 3, 1):
        broker.add(job_id, COMPLETED, "x")
        order.append(next(ended).id)
    assert order == [2, 3, 1] and list(ended) == []
    broker.add(4)
    with pytest.raises(TimeoutError, match="1 of 2 jobs are not finished after 1 s"):
        for job in as_completed([client.job(1), client.job(4)], timeout=1):
            assert job.id == 1
    with pytest.raises(NotFound):
        next(as_completed([client.job(99)]))
    assert list(as_completed([])) == []


def test_as_completed_leaves_no_waits(broker: Any, client: Client) -> None:
    """However it ends: after a time-out, an exception, or when its caller has enough, nothing waits for the others."""
    broker.add(1, COMPLETED, "x")
    broker.add(4)

    def left() -> list[str]:
        loop = background(client)._loop
        return [name for task in asyncio.all_tasks(loop) if (name := task.get_coro().__name__) == "tell"]

    for jobs in ([1, 4], [99, 4]):
        with pytest.raises((TimeoutError, NotFound)):
            list(as_completed([client.job(job_id) for job_id in jobs], timeout=0.2))
    some = as_completed([client.job(1), client.job(4)])
    assert next(some).id == 1
    some.close()
    wait_until(lambda: not left(), "nothing waits")


def test_as_completed_for_asyncio(broker: Any) -> None:
    """The same, to be awaited."""
    for job_id in (1, 2):
        broker.add(job_id)

    async def completed() -> list[int]:
        order = []
        async with AsyncClient(broker.address) as client:
            broker.add(2, COMPLETED, "x")
            async for job in as_completed([client.job(1), client.job(2)], timeout=SECONDS):
                order.append(job.id)
                broker.add(1, FAILED)
            with pytest.raises(NotFound):
                async for _ in as_completed([client.job(99)]):
                    pass
            broker.add(3)
            with pytest.raises(TimeoutError):
                async for _ in as_completed([client.job(3)], timeout=0.01):
                    pass
        return order

    assert asyncio.run(completed()) == [2, 1]


# --- Executor --------------------------------------------------------------------------------------------------


def test_executor(broker: Any, client: Client, measure: Any) -> None:
    """Futures have the results; the arguments are the job's data, as the task takes them."""
    with Executor(client) as executor:
        one = executor.submit("reverse", "example")
        named = executor.submit("reverse", text="example")
        placed = executor.submit(measure, 3, exposure=0.5)
        broker.add(1, COMPLETED, "elpmaxe")
        broker.add(2, FAILED, message="ValueError: odd", reason=FailReason.RAISED)
        broker.add(3, COMPLETED, 3)
        assert (one.result(SECONDS), placed.result(SECONDS)) == ("elpmaxe", 3)
        assert isinstance(named.exception(SECONDS), JobFailed) and one.job == client.job(1, broker.journal)
        for call, sentence in (
            (
                ("reverse", 1, 2),
                "reverse takes one value or named parameters; to give them by position, pass the function",
            ),
            ((measure, 1, 2, 3), "measure takes 2 values at most, not 3"),
            ((print,), "<built-in function print> is not a task"),
        ):
            with pytest.raises(BadRequest, match=sentence):
                executor.submit(*call)
        with pytest.raises(BadRequest, match="measure is given count twice"):
            executor.submit(measure, 3, count=3)
    with pytest.raises(RuntimeError):
        executor.submit("reverse", "x")
    datas = [values.unpack_value(request.jobs[0].data) for request in broker.asked(Submit)]
    assert datas == ["example", {"text": "example"}, {"count": 3, "exposure": 0.5}]


def test_what_all_jobs_of_an_executor_have(broker: Any, client: Client) -> None:
    """It is given once; what is given to `submit` belongs to the task, whatever it is called."""
    executor = Executor(client, priority=3, delay="5m", time_limit=60, name="night scan", comment="lens 2")
    future = executor.submit("reverse", name="of the data", priority="high")
    (request,) = broker.asked(Submit)
    (job,) = request.jobs
    assert job[2:7] == (3, 300_000, 60_000, "night scan", "lens 2")
    assert values.unpack_value(job.data) == {"name": "of the data", "priority": "high"}
    future.cancel()
    with pytest.raises(BadRequest, match="priority"):
        Executor(client, priority=5_000).submit("reverse", "x")


def test_executor_map(broker: Any, client: Client) -> None:
    """In the order of the data, whichever ends first."""
    with Executor(client) as executor:
        results = executor.map("reverse", ["ab", "cd"], timeout=SECONDS)
        broker.add(2, COMPLETED, "dc")
        broker.add(1, COMPLETED, "ba")
        assert list(results) == ["ba", "dc"]


def test_cancelling_a_future(broker: Any, client: Client) -> None:
    """It cancels the job: a queued one at once, a running one when it has ended."""
    executor = Executor(client)
    queued, running = executor.submit("t"), executor.submit("t")
    broker.add(2, RUNNING)
    assert running.running() and not queued.running()
    assert queued.cancel() and broker.jobs[1].state is CANCELLED
    assert running.cancel() and broker.jobs[2].cancelling and not running.done()
    broker.add(2, CANCELLED)
    done, _ = concurrent.futures.wait([queued, running], SECONDS)
    assert done == {queued, running} and queued.cancelled() and running.cancelled() and queued.cancel()
    ended = executor.submit("t")
    executor.shutdown(cancel_futures=True)
    assert ended.cancelled()


def test_a_closed_client(broker: Any) -> None:
    """Futures whose client is closed do not hang."""
    client = Client(broker.address)
    future = Executor(client).submit("t")
    client.close()
    assert future.done() and not future.cancelled()
