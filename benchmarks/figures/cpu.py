"""Processor time as the kernel counts it, in microseconds: of one submit, of one job alone, of one in a drain.

`io` are libzmq's threads, `loop` is the program's own work. `library.all` is one job through the library, with its
journal on disk: all threads of all programs, the client included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import zmq

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import Peer
from benchmarks.program import Program, python
from benchmarks.service import Service, submit_and_wait

WARM_UP = 100
Spent = dict[str, float]


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    count = bench.size.latencies
    echo = Program(python("-m", "benchmarks.echo"), bench.two_cores.server, bench.directory / "echo.log")
    with echo, Peer(zmq.REQ, echo.ready_line()[-1]) as socket:
        yield from _each("submit", {"echo": echo.pid}, count, lambda: load.round_trip(socket))
    with Service(bench, bench.two_cores, "memory") as service:
        service.learn_types()
        with Peer(zmq.REQ, service.endpoint) as socket:
            yield from _each("submit", {"broker": service.broker.pid}, count, lambda: load.round_trip(socket))
    with Service(bench, bench.two_cores, "memory") as service:
        service.await_worker()
        with Peer(zmq.REQ, service.endpoint) as socket, service.events() as events:
            yield from _each("alone", service.pids(), count, lambda: submit_and_wait(socket, events))
    with Service(bench, bench.two_cores) as service:
        service.await_worker()
        with service.alone(count) as client:
            pids = {"client": client.pid, **service.pids()}
            before = _spent(pids)
            client.tell("go")
            client.ready_line()
            after = _spent(pids)
            yield from _per(count, "library", before, after)
            yield "cpu.library.all_us", (sum(after.values()) - sum(before.values())) / count
    with Service(bench, bench.two_cores) as service:
        ids = service.fill(bench.size.jobs)
        with service.events() as events:
            events.watch((ids[0], ids[-1]))
            service.start_worker()
            events.ended(ids[0])
            before = _spent(service.pids())
            events.ended(ids[-1])
            yield from _per(len(ids) - 1, "drain", before, _spent(service.pids()))


def _each(name: str, pids: Mapping[str, int], count: int, once: Callable[[], object]) -> Measured:
    for _ in range(WARM_UP):
        once()
    before = _spent(pids)
    for _ in range(count):
        once()
    yield from _per(count, name, before, _spent(pids))


def _per(count: int, name: str, before: Spent, after: Spent) -> Measured:
    for thread, spent_us in after.items():
        yield f"cpu.{name}.{thread}_us", (spent_us - before[thread]) / count


def _spent(pids: Mapping[str, int]) -> Spent:
    """Return the processor time that the threads of each of these programs have had so far."""
    spent: Spent = {}
    for name, pid in pids.items():
        for thread in Path(f"/proc/{pid}/task").iterdir():
            part = f"{name}.{'io' if (thread / 'comm').read_text().startswith('ZMQ') else 'loop'}"
            spent_ns = int((thread / "schedstat").read_text().split()[0])
            spent[part] = spent.get(part, 0.0) + spent_ns / 1e3
    return spent
