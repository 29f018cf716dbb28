"""The time an honest client waits while another one sends as many requests as it can."""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import zmq

from benchmarks import table
from benchmarks.bench import QUICK, Bench, placements
from benchmarks.load import TYPE
from benchmarks.program import ROOT, pinned
from benchmarks.run import circumstances
from benchmarks.service import CLIENTS, Service
from zjobs.messages.records import Limits
from zjobs.program import keyfiles, zap
from zjobs.program.cli.options import Command, Option, Program, integer
from zjobs.program.cli.parse import UsageError, parse
from zjobs.program.version import VERSION

JOBS = 20_000  # in the queue before a flood begins
RESULT_LETTERS = 5_700  # `repeat` makes about 16 MB of these
HONEST_EVERY_S = 0.02  # as often as somebody asks who is impatient
MANY_IDS = list(range(2, 10_002))  # of jobs that have ended
MOST_JOBS = Limits().request_jobs
ANSWER_MS = 60_000
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- fairness: begin -->", "<!-- fairness: end -->"

_numbers = itertools.count(time.time_ns())


class Flood(NamedTuple):
    """`body` returns the next request; `in_flight` of them are on their way over `connections`.

    Each connection waits `pause_s` after an answer. With `watches`, `body` returns the topic of the next subscription.
    """

    body: Callable[[], bytes]
    in_flight: int = 100
    connections: int = 1
    with_keys: bool = False
    pause_s: float = 0
    watches: bool = False


class Waited(NamedTuple):
    """The measurements of an honest client: milliseconds for each `status`, and how many replies the flood got
    meanwhile."""

    flood: str
    waited_ms: list[float]
    answers: int

    @property
    def between(self) -> float:
        """Answers to the flood for each to the honest client."""
        return self.answers / len(self.waited_ms)


def _body(op: str, **fields: Any) -> bytes:
    return msgpack.packb({"v": 1, "op": op, **fields})  # type: ignore[no-any-return]


def _always(op: str, **fields: Any) -> Callable[[], bytes]:
    return functools.cache(lambda: _body(op, **fields))


def _new(op: str, **fields: Any) -> Callable[[], bytes]:
    return lambda: _body(op, request_key=f"{next(_numbers):032x}", **fields)


def _job(size: int) -> dict[str, Any]:
    return {"type": TYPE, "data": bytes(size)}


def _topic() -> bytes:
    return b"job.%d." % (1 + next(_numbers) % JOBS)


FLOODS: dict[str, Flood] = {
    "nobody else": Flood(_always("hello"), 0, 0),
    "list": Flood(_always("list", limit=1_000)),
    "list of a type that no job has": Flood(_always("list", type="none")),
    "show": Flood(_always("show", id=1)),
    "status of 10,000 ids": Flood(_always("status", ids=MANY_IDS)),
    "result of 16 MB": Flood(_always("result", id=1, offset=16_000_000)),
    "submit of one job": Flood(_new("submit", jobs=[_job(10)])),
    "submit of 2,000 jobs": Flood(_new("submit", jobs=[_job(10)] * MOST_JOBS), 4),
    "submit of 3 MiB": Flood(_new("submit", jobs=[_job(1 << 20)] * 3), 4),
    "cancel of 10,000 ids": Flood(_always("cancel", ids=MANY_IDS)),
    "forget of 10,000 ids": Flood(_always("forget", ids=MANY_IDS)),
    "retry of 2,000 ids": Flood(_new("retry", ids=MANY_IDS[:MOST_JOBS]), 4),
    "a map of 400,000 entries": Flood(_always("hello", x={str(number): [] for number in range(400_000)}), 4),
    "20,000 lists in each other": Flood(_always("hello", x=[[[]] * 19] * 1_000)),
    "what is no request": Flood(_always("nothing")),
    "list, over 50 connections of one key": Flood(_always("list", limit=1_000), 500, 50, with_keys=True),
    "subscriptions": Flood(_topic, watches=True),
    "status, over 3,000 connections of one key": Flood(_always("status", ids=[1]), 3_000, 3_000, with_keys=True),
    "3,000 clients, each once in 10 s": Flood(_always("status", ids=[1]), 3_000, 3_000, pause_s=10),
}


FAIRNESS = Program(
    "fairness",
    f"benchmarks of zjobs {VERSION}",
    """\
How long an honest client waits while another one asks for all it can. Run it as
`python -m benchmarks.fairness` in the root of the repository, where zjobs is installed.""",
    (Command("", "", ""),),
    (
        Option(
            "--seconds", "NUMBER", "how long each flood goes on", read=partial(integer, low=1, high=600), default="5"
        ),
        Option("--only", "NAMES", "the floods, with semicolons between", default="all"),
        Option("--folder", "FOLDER", "where journals are written; if omitted, the system's temporary folder"),
        Option("--write-docs", "", "put the table into docs/performance.md"),
    ),
    {0: "measured", 64: "wrong usage"},
    f"Floods: {'; '.join(FLOODS)}.",
)


def main(argv: list[str]) -> int:
    """Measure. Return 0, or 64 for wrong usage."""
    try:
        _, values = parse(FAIRNESS, argv)
        seconds = values["--seconds"]
        names = list(FLOODS) if values["--only"] == "all" else values["--only"].split(";")
        if unknown := [name for name in names if name not in FLOODS]:
            raise UsageError(f"--only: there is no {unknown[0]!r}")
    except UsageError as error:
        print(f"fairness: {error}", file=sys.stderr)
        return 64
    with tempfile.TemporaryDirectory(prefix="zjobs-fairness.", dir=values["--folder"]) as folder:
        bench = Bench(QUICK, Path(folder), *placements())
        rows = []
        for name in names:
            print(name, file=sys.stderr, flush=True)
            rows.append(measure(bench, name, seconds))
        text = markdown(circumstances(bench, False), rows)
    if values["--write-docs"]:
        table.write_between(PAGE, BEGIN, END, text)
    print(text)
    return 0


def measure(bench: Bench, name: str, seconds: float) -> Waited:
    """Measure an honest client beside one flood, which has its own process so that they do not share an interpreter."""
    flood = FLOODS[name]
    with Service(bench, bench.two_cores, keys=flood.with_keys) as service:
        _prepare(service)
        spawn = multiprocessing.get_context("spawn")
        begun, over, answers = spawn.Event(), spawn.Event(), spawn.Value("q", 0)
        flooding = spawn.Process(
            target=_flood, args=(name, service.endpoint, service.key_file(CLIENTS[1]), begun, over, answers)
        )
        with zmq.Context() as context, _dealer(context, service.endpoint, service.key_file(CLIENTS[0])) as honest:
            _status_ms(honest)  # it is connected by then
            with pinned(bench.two_cores.client):
                flooding.start()
            try:
                begun.wait()
                with answers.get_lock():
                    before = answers.value
                waited = list(_honest(honest, seconds))
                with answers.get_lock():
                    after = answers.value
            finally:
                over.set()
                flooding.join()
    return Waited(name, waited, after - before)


def _prepare(service: Service) -> None:
    """Job 1 has a large result; some thousands have ended, and as many are queued."""
    with service.client() as client:
        first = client.submit("repeat", "x" * RESULT_LETTERS)
        service.await_worker()
        first.wait()
        service.stop_worker()
    ids = service.fill(JOBS)
    with service.client() as client:
        client.cancel(list(ids[: JOBS // 2]))


@contextlib.contextmanager
def _dealer(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, key: Path | None) -> Iterator[zmq.Socket[bytes]]:
    with context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.rcvtimeo = ANSWER_MS
        if key is not None:
            identity = keyfiles.load(key)
            zap.call_with(socket, identity.public, identity.secret, identity.server)
        socket.connect(endpoint)
        yield socket


def _honest(socket: zmq.Socket[bytes], seconds: float) -> Iterator[float]:
    """Return how long each `status` took, in milliseconds."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        yield _status_ms(socket)
        time.sleep(HONEST_EVERY_S)


def _status_ms(socket: zmq.Socket[bytes]) -> float:
    begun = time.perf_counter()
    socket.send_multipart((b"", _body("status", ids=[JOBS])))
    socket.recv_multipart()
    return (time.perf_counter() - begun) * 1000


def _flood(name: str, endpoint: str, key: Path | None, begun: Event, over: Event, answers: Any) -> None:
    flood = FLOODS[name]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if flood.watches:
        _flood_of_subscriptions(flood, endpoint, begun, over, answers)
        return
    with zmq.Context() as context, contextlib.ExitStack() as stack:
        context.set(zmq.MAX_SOCKETS, 2 * flood.connections + 100)
        poller = zmq.Poller()
        for _ in range(flood.connections):
            socket = stack.enter_context(_dealer(context, endpoint, key))
            poller.register(socket, zmq.POLLIN)
            for _ in range(flood.in_flight // flood.connections):
                socket.send_multipart((b"", flood.body()))
        begun.set()
        later: deque[tuple[float, zmq.Socket[bytes]]] = deque()
        while not over.is_set():
            for socket, _ in poller.poll(20):
                socket.recv_multipart()
                with answers.get_lock():
                    answers.value += 1
                later.append((time.perf_counter() + flood.pause_s * random.uniform(0.5, 1.5), socket))
            while later and later[0][0] <= time.perf_counter():
                later.popleft()[1].send_multipart((b"", flood.body()))


def _flood_of_subscriptions(flood: Flood, endpoint: str, begun: Event, over: Event, answers: Any) -> None:
    """Subscribe and unsubscribe as fast as possible; each subscription is answered with the status of a job."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        with _dealer(context, endpoint, None) as asking:
            asking.send_multipart((b"", _body("hello")))
            events = msgpack.unpackb(asking.recv_multipart()[-1])["events"]
        socket.connect(events)
        begun.set()
        while not over.is_set():
            topics = [flood.body() for _ in range(flood.in_flight)]
            for topic in topics:
                socket.subscribe(topic)
            while socket.poll(0):
                socket.recv_multipart()
                with answers.get_lock():
                    answers.value += 1
            for topic in topics:
                socket.unsubscribe(topic)


def markdown(circumstances: dict[str, Any], rows: list[Waited]) -> str:
    """Return the table, with the machine it was measured on."""
    head = f"Measured on {circumstances['date']} at commit `{circumstances['commit']}`: {circumstances['machine']}; "
    lines = [head + f"{circumstances['versions']}.", ""]
    lines += ["| flood of one client | median, ms | 99 of 100, ms | longest, ms | answers to the flood between two |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for row in rows:
        ordered = sorted(row.waited_ms)
        high = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        times = " | ".join(f"{value:.1f}" for value in (statistics.median(ordered), high, ordered[-1]))
        lines.append(f"| {row.flood} | {times} | {row.between:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
