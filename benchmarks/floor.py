"""The floor: what pyzmq, msgpack, the interpreter and the disk cost by themselves, with nothing of ours."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import load
from benchmarks.bench import Bench, Measured, Placement
from benchmarks.echo import PAGE_BYTES
from benchmarks.program import Program, python


@contextmanager
def echo(bench: Bench, placement: Placement, *file: str) -> Iterator[str]:
    """Start an echo server and yield its endpoint. file: flushed to disk before each reply."""
    command = python("-m", "benchmarks.echo", *file)
    with Program(command, placement.server, bench.directory / "echo.log") as server:
        yield server.ready_line()[-1]


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    for placement in (bench.one_core, bench.two_cores):
        with echo(bench, placement) as endpoint:
            yield f"floor.req.{placement.name}", load.round_trips(endpoint, bench.size.seconds)
            if placement is bench.two_cores:
                yield "floor.dealer", load.pipelined(endpoint, bench.size.seconds)
    with tempfile.NamedTemporaryFile(dir=bench.directory) as file, echo(bench, bench.two_cores, file.name) as endpoint:
        yield "floor.durable", load.round_trips(endpoint, bench.size.seconds)
    yield "floor.flush_us", _flush_us(bench)


def _flush_us(bench: Bench) -> float:
    """Return the median time of one fdatasync after a page was appended to a file beside the journals."""
    with tempfile.TemporaryFile(dir=bench.directory, buffering=0) as file:

        def once() -> float:
            file.write(bytes(PAGE_BYTES))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            return (time.perf_counter() - begun) * 1e6

        took_us = []
        deadline = time.monotonic() + bench.size.seconds
        while time.monotonic() < deadline:
            took_us.append(once())
    return statistics.median(took_us)
