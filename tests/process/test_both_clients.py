"""What both clients promise: one suite, run against the blocking one and against the one for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zjobs import AsyncClient, Client
from zjobs.client import errors
from zjobs.client.protocol.job import JobHandle
from zjobs.program import keyfiles

if TYPE_CHECKING:
    from tests.conftest import Service

CLOSED = "tcp://127.0.0.1:1"  # nothing listens there


class Facade:
    """A client of either kind, with blocking methods."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._loop = asyncio.new_event_loop()
        self._clients: list[Any] = []

    def client(self, *arguments: Any, **options: Any) -> Any:
        """The client, or what stands for the one of asyncio."""
        if self.kind == "blocking":
            client: Any = Client(*arguments, **options)
        else:
            client = Blocking(AsyncClient(*arguments, **options), self._loop)
        self._clients.append(client)
        return client

    def end(self) -> None:
        for client in self._clients:
            client.close()
        self._loop.close()


class Blocking:
    """An object of the asyncio client whose coroutines are run until they end."""

    def __init__(self, real: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._real = real
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._blocking(found) if callable(found) else found

    def __enter__(self) -> Any:
        self._run(self._real.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._real.__aexit__(None, None, None))

    def __iter__(self) -> Iterator[Any]:
        news = self._real.__aiter__()
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._run(news.__anext__())

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = self._run(method(*arguments, **options))
            return [self._wrapped(one) for one in result] if isinstance(result, list) else self._wrapped(result)

        return call

    def _wrapped(self, result: Any) -> Any:
        awaits = isinstance(result, JobHandle) or hasattr(result, "__aiter__")
        return Blocking(result, self._loop) if awaits else result

    def _run(self, result: Any) -> Any:
        return self._loop.run_until_complete(result) if asyncio.iscoroutine(result) else result


@pytest.fixture(params=["blocking", "asyncio"])
def facade(request: pytest.FixtureRequest) -> Iterator[Facade]:
    facade = Facade(request.param)
    yield facade
    facade.end()


# --- both ------------------------------------------------------------------------------------------------------


def test_submit_wait_and_ask(service: Service, facade: Facade) -> None:
    """Submit, wait, result, list, cancel, retry, log, pause: the same answers from both."""
    client = facade.client(service.endpoint)
    job = client.submit("reverse", "example")
    assert job.wait(timeout=20).state == "completed" == job.status().state
    assert job.result(timeout=20) == client.job(job.id).result() == client.result(job.id) == "elpmaxe"
    many = client.submit_many("safe", ["a", "b"])
    assert [one.id for one in many] == [2, 3] and set(client.wait([2, 3], timeout=20)) == {2, 3}
    assert [one.id for one in client.list(limit=2)] == [3, 2]
    assert client.retry([1])[0].result(timeout=20) == "elpmaxe"
    assert client.info().completed == 4 and client.hello().journal == job.journal
    assert client.pause("lens cap", wait=True, timeout=20).paused.reason == "lens cap"
    held = client.submit("reverse", "x")
    assert client.cancel([held.id, 99]).missing[0].id == 99 and held.status().state == "cancelled"
    assert client.resume().was.reason == "lens cap" and job.log() == b""
    assert client.forget([held.id]).forgotten == (held.id,)


def test_errors(service: Service, facade: Facade) -> None:
    """The same exceptions, with what they carry."""
    service.until_worker("ready")
    client = facade.client(service.endpoint)
    with pytest.raises(errors.UnknownType, match="reverse"):
        client.submit("fly", 1)
    with pytest.raises(errors.TooLarge):
        client.submit("echo", b"x" * (2 << 20))
    with pytest.raises(errors.NotFound):
        client.job(77).wait(timeout=5)
    client.submit("echo", 1, request_key="k")
    with pytest.raises(errors.KeyConflict):
        client.submit("echo", 2, request_key="k")
    with pytest.raises(errors.BadRequest):
        client.submit("echo", 2, priority=1001)
    with pytest.raises(errors.BadAddress):
        facade.client("tcp://")


def test_a_wait_ends_in_time_and_the_job_goes_on(service: Service, facade: Facade) -> None:
    """WaitTimeout, and the same job can be waited for again."""
    job = facade.client(service.endpoint).submit("once_gate", "a")
    with pytest.raises(errors.WaitTimeout) as caught:
        job.result(timeout=0.1)
    assert caught.value.status.id == job.id and not caught.value.status.state.final
    service.open_gate("a")
    assert job.result(timeout=20) == "a"


def test_nobody_there(facade: Facade) -> None:
    """Unreachable in time, with the reason and the request key."""
    client = facade.client(CLOSED, timeout=0.3)
    with pytest.raises(errors.BrokerUnreachable, match="nothing listens") as caught:
        client.submit("echo", 1, request_key="mine")
    assert caught.value.request_key == "mine"


def test_a_broker_killed_in_mid_wait(service: Service, facade: Facade) -> None:
    """The watch tells that it is lost and that it is back, and the wait goes on to the end."""
    client = facade.client(service.endpoint)
    job = client.submit("once_gate", "a")
    with client.watch([job.id]) as watch:
        service.until(lambda: service.runs("start"), "the job runs")
        service.broker.kill()
        links = []
        while not links:
            links += [news.link for news in [watch.next(60)] if news is not None and news.link is not None]
        service.start_broker()
        while len(links) < 2:
            links += [news.link for news in [watch.next(60)] if news is not None and news.link is not None]
        assert links == [False, True]
        service.open_gate("a")
        assert watch.wait(timeout=30)[job.id].state == "completed"
    assert job.result(timeout=20) == "a"


def test_a_broker_restarted_between_requests(service: Service, facade: Facade) -> None:
    """A request made while it is away is answered when it is back."""
    client = facade.client(service.endpoint, timeout=30)
    before = client.submit("echo", "before")
    service.broker.kill()
    service.start_broker()
    assert client.submit("echo", "after").result(timeout=30) == "after"
    assert before.result(timeout=30) == "before"


def test_another_journal(service: Service, facade: Facade) -> None:
    """A job of another journal is not taken for ours."""
    job = facade.client(service.endpoint).submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    service.broker.kill()
    service.start_broker(journal=":memory:")
    for ask in (job.status, job.cancel, job.wait):
        with pytest.raises(errors.BrokerChanged):
            ask()


def test_all_jobs(service: Service, facade: Facade) -> None:
    """A watch of all jobs tells every change after it is entered; two at once tell both."""
    client = facade.client(service.endpoint)
    with client.watch() as one, client.watch() as other:
        job = client.submit("echo", 1)
        for watch in (one, other):
            while True:
                news = watch.next(20)
                if news is not None and news.job is not None and news.job.state.final:
                    break
            assert news.job.id == job.id


def test_a_watch_as_an_iterator(service: Service, facade: Facade) -> None:
    """It ends with the last job."""
    client = facade.client(service.endpoint)
    ids = [client.submit("echo", delivery).id for delivery in range(3)]
    ended = [news.job.id for news in client.watch(ids) if news.job is not None and news.job.state.final]
    assert sorted(ended) == ids


def connections_to(endpoint: str) -> set[str]:
    """The connections that stand to this socket file, as the kernel numbers them."""
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {row[6] for row in rows if row[5] == "03" and row[7:] == [endpoint.removeprefix("ipc://")]}


def test_watches_share_one_connection(service: Service, facade: Facade) -> None:
    """It lives as long as the client. Later watches hear by it, and nothing of what earlier ones watched."""
    client = facade.client(service.endpoint)
    events = client.hello().events
    first = client.submit("once_gate", "a")
    with client.watch([first.id]) as watch:
        watch.next(5)
    (connection,) = connections_to(events)
    second = client.submit("once", "b")
    with client.watch([second.id]) as watch:
        service.open_gate("a")
        assert set(watch.wait(20)) == {second.id}
        assert first.status().state == "completed" and set(watch.jobs) == {second.id}
    assert connections_to(events) == {connection}
    client.close()
    service.until(lambda: not connections_to(events), "the broker has closed its end, too")


def test_keys(new_service: Callable[..., Service], facade: Facade, tmp_path: Path) -> None:
    """CURVE: with the right key all works; without one, and with wrong ones, it is said at once."""
    service = new_service("tcp://127.0.0.1:*")
    keys, alice = service.place / "keys", tmp_path / "alice.key"
    for words in (["init"], ["add", "alice", "--role", "submitter", "--out", str(alice)]):
        assert service.run("broker", "keys", *words, "--keys", str(keys)).returncode == 0
    service.start_broker("--keys", str(keys))
    service.start_worker("--key", str(keys / "worker.key"))
    admitted = facade.client(service.endpoint, key=alice)
    assert admitted.submit("echo", "with a key").result(timeout=20) == "with a key"
    with pytest.raises(errors.NotPermitted), admitted.watch():
        pass
    with pytest.raises(errors.KeyNeeded):
        facade.client(service.endpoint, 600, key="").info()
    public, secret = (half.decode() for half in zmq.curve_keypair())
    for wrong, error in (
        ({"public": public, "secret": secret}, errors.KeyRefused),
        ({"server": public}, errors.UntrustedBroker),
    ):
        file = tmp_path / f"{error.__name__}.key"
        keyfiles.save(file, keyfiles.load(alice)._replace(**wrong), "forged")
        client = facade.client(service.endpoint, 600, key=file)
        for _ in range(2):
            with pytest.raises(error):
                client.info()
    service.run("broker", "keys", "revoke", "alice", "--keys", str(keys))
    service.until(lambda: _refused(admitted), "alice is not admitted any more")


def _refused(client: Any) -> bool:
    try:
        client.submit("echo", 1)
    except errors.NotPermitted:
        return True
    return False


# --- asyncio alone -----------------------------------------------------------------------------------------------


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def test_hundreds_of_jobs_are_waited_for(service: Service) -> None:
    """In one program, at once, over one connection, in few requests."""

    async def work() -> None:
        most = 0
        async with AsyncClient(service.endpoint, timeout=30) as client:
            jobs = await client.submit_many("echo", range(300))
            waits = asyncio.gather(*(job.result(timeout=60) for job in jobs))
            while not waits.done():
                most = max(most, len(client._link._in_flight))
                await asyncio.sleep(0)
            assert await waits == list(range(300))
        assert most < 10

    run(work())


def test_many_requests_on_one_connection(service: Service) -> None:
    """Each gets its own answer, whatever is cancelled beside it."""

    async def work() -> None:
        async with AsyncClient(service.endpoint, timeout=30) as client:
            jobs = await client.submit_many("echo", range(20))
            await client.wait([job.id for job in jobs], timeout=30)
            asked = [asyncio.create_task(client.result(jobs[delivery % 20].id)) for delivery in range(2000)]
            await asyncio.sleep(0)
            for task in asked[::3]:
                task.cancel()
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [answer for delivery, answer in enumerate(answers) if delivery % 3] == [
                delivery % 20 for delivery in range(2000) if delivery % 3
            ]
            assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::3])
            assert await client.submit("echo", "x")

    run(work())


def test_a_cancelled_wait_ends_alone(service: Service) -> None:
    """The job goes on, others that wait for it hear of its end, and a cancelled `next` loses no news."""

    async def work() -> None:
        async with AsyncClient(service.endpoint) as client:
            job = await client.submit("once_gate", "a")
            waits = [asyncio.create_task(job.result()) for _ in range(3)]
            async with client.watch([job.id]) as watch:
                while watch.jobs[job.id].state.value != "in_progress" or await watch.next(0.05) is not None:
                    await watch.next(0.05)
                for _ in range(20):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(watch.next(), 0.001)
                waits[0].cancel()
                service.open_gate("a")
                states = [news.job.state.value async for news in _rest(watch) if news.job is not None]
                assert states[-1] == "completed"
            assert await waits[1] == await waits[2] == "a"
            assert waits[0].cancelled()

    run(work())


async def _rest(watch: Any) -> Any:
    while watch.unfinished:
        yield await watch.next()


def test_a_closed_client(service: Service) -> None:
    """What waits ends with an error, and so does what comes later."""

    async def work() -> None:
        client = AsyncClient(service.endpoint)
        job = await client.submit("once_gate", "a")
        wait = asyncio.create_task(job.wait())
        while not client._link._in_flight:
            await asyncio.sleep(0.01)
        client.close()
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await wait
        with pytest.raises(RuntimeError, match="closed"):
            await job.status()
        service.open_gate("a")

    run(work())
