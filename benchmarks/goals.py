"""The goals: each is the ratio of a figure to a reference that was measured in the same repetition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

Values = Mapping[str, float]
PYTHON_QUEUES = ("peer.huey_sqlite.drain", "peer.celery_redis.drain")

LIBRARY = "latency.disk.library.p50"
DURABLE_SUBMIT = "peer.beanstalk_durable.submit"
HTTP = "http.one_line"
HTTP_CPU = "http.one_line.cpu_us"


class Goal(NamedTuple):
    """`measure(values)` shall be `limit` at most, or at least; it raises KeyError for what was not measured."""

    title: str
    measure: Callable[[Values], float]
    at_most: bool
    limit: float

    def reached(self, value: float) -> bool:
        """Return whether the value meets the goal."""
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"


def over(figure: str, reference: str) -> Callable[[Values], float]:
    """Return the ratio of two figures."""
    return lambda values: values[figure] / values[reference]


def trips(figure: str, floor: str) -> Callable[[Values], float]:
    """Return a time in microseconds as a number of round trips of the floor."""
    return lambda values: values[figure] * values[floor] / 1e6


def _over_python_queues(values: Values) -> float:
    measured = [values[name] for name in PYTHON_QUEUES if name in values]
    if not measured:
        raise KeyError(PYTHON_QUEUES[0])
    return values["drain.disk"] / max(measured)


def _flushes(values: Values) -> float:
    """Return what the journal adds to a job's latency, in disk flushes."""
    return (values["latency.disk.two.p50"] - values["latency.memory.two.p50"]) / values["floor.flush_us"]


def _growth(prefix: str) -> Callable[[Values], float]:
    """Return, of the figures named `prefix` and a number, that of the largest number divided by that of the
    smallest."""

    def measure(values: Values) -> float:
        numbers = sorted(int(name.removeprefix(prefix)) for name in values if name.startswith(prefix))
        if len(numbers) < 2:
            raise KeyError(prefix)
        return values[f"{prefix}{numbers[-1]}"] / values[f"{prefix}{numbers[0]}"]

    return measure


# A figure, its title, whether it shall be at most; its limits over SQLite, here and 0.5 ms away; over Procrastinate.
POSTGRESQL: tuple[tuple[str, str, bool, float, float, float | None], ...] = (
    ("submit", "submits, one client", False, 0.5, 0.3, 1.5),
    ("in_flight", "submits, 100 in flight", False, 0.6, 0.5, None),
    ("bulk", "submits, submit_many", False, 0.7, 0.6, 3),
    ("drain", "jobs drained", False, 0.8, 0.5, 40),
    ("p50", "latency p50", True, 1.7, 2, None),
)


def _of_postgresql() -> Iterator[Goal]:
    for name, title, at_most, here, away, peer in POSTGRESQL:
        for place, figure, limit in (("here", "local", here), ("0.5 ms away", "away", away)):
            ratio = over(f"postgres.{figure}.{name}", f"postgres.sqlite.{name}")
            yield Goal(f"PostgreSQL {place} ÷ SQLite: {title}", ratio, at_most, limit)
        if peer is not None:
            ratio = over(f"postgres.local.{name}", f"peer.procrastinate.{name}")
            yield Goal(f"PostgreSQL here ÷ Procrastinate: {title}", ratio, False, peer)
    start = over("postgres.local.start_s", "postgres.sqlite.start_s")
    yield Goal("PostgreSQL here ÷ SQLite: start at the deepest", start, True, 2)
    yield Goal("PostgreSQL: cost of a job, last ÷ first decade", _growth("postgres.local.us_per_job."), True, 1.15)


# All on two cores: with everything on one, what is measured is mostly how that one is shared out.
GOALS = [
    Goal("submits, one client: journal ÷ REQ floor", over("submit.disk.one_client.two", "floor.req.two"), False, 0.28),
    Goal("the same: memory ÷ REQ floor", over("submit.memory.one_client.two", "floor.req.two"), False, 0.75),
    Goal("latency p50: memory, in REQ round trips", trips("latency.memory.two.p50", "floor.req.two"), True, 4),
    Goal("the same: what the journal adds, in disk flushes", _flushes, True, 2),
    Goal("library, submit to result ÷ beanstalkd -f 0", over(LIBRARY, "peer.beanstalk_durable.latency_us"), True, 2.2),
    Goal("the same in REQ round trips", trips(LIBRARY, "floor.req.two"), True, 12),
    Goal("the same: processor time of all programs, µs", lambda values: values["cpu.library.all_us"], True, 3_300),
    Goal("library, one submit ÷ beanstalkd -f 0", over("submit.disk.library.two", DURABLE_SUBMIT), False, 0.5),
    Goal("1,000 asyncio waits: late by, p99, ms", lambda values: values["waits.asyncio.late_p99_ms"], True, 50),
    Goal("submits, 100 in flight ÷ DEALER floor", over("submit.disk.in_flight", "floor.dealer"), False, 0.35),
    Goal("submits, submit_many ÷ DEALER floor", over("submit.disk.many", "floor.dealer"), False, 1.0),
    Goal("jobs drained ÷ DEALER floor", over("drain.disk", "floor.dealer"), False, 0.30),
    Goal("jobs drained ÷ fastest Python task queue", _over_python_queues, False, 12),
    Goal("jobs drained ÷ beanstalkd", over("drain.disk", "peer.beanstalk.drain"), False, 5),
    Goal("zclient submit ÷ bare script", over("cold.submit_ms", "floor.bare_ms"), True, 1.2),
    Goal("over HTTP, processor time: FastAPI's one line ÷ a submit", over(HTTP_CPU, "http.submit.cpu_us"), False, 0.35),
    Goal("the same: ÷ a status", over(HTTP_CPU, "http.status.cpu_us"), False, 0.5),
    Goal("the same with 500 event streams: ÷ a submit", over(HTTP_CPU, "http.submit.streams.cpu_us"), False, 0.35),
    Goal("the same with 500 event streams: ÷ a status", over(HTTP_CPU, "http.status.streams.cpu_us"), False, 0.5),
    Goal("over HTTP, 50 connections: submits ÷ FastAPI's one line", over("http.submit", HTTP), False, 0.35),
    Goal("the same: status ÷ FastAPI's one line", over("http.status", HTTP), False, 0.5),
    Goal("the same with 500 event streams: submits", over("http.submit.streams", HTTP), False, 0.35),
    Goal("the same with 500 event streams: status", over("http.status.streams", HTTP), False, 0.5),
    Goal("broker memory at the deepest, MB", lambda values: values["depth.broker_mb"], True, 150),
    Goal("start to first reply at the deepest, s", lambda values: values["depth.start_s"], True, 1),
    Goal("submits at the deepest ÷ at depth 0", _growth("depth.submit."), False, 0.85),
    Goal("cost of a job, last ÷ first decade of a long drain", _growth("growth.us_per_job."), True, 1.15),
    *_of_postgresql(),
]
