"""System calls of one job alone, through the library: of the client, the broker, the worker and the task process."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.bench import Bench, Measured
from benchmarks.service import Service

ATTACHED = "attached"
TOTAL = re.compile(r"^\s*(\d+)\s+(?:\d+\s+)?total$", re.MULTILINE)


def measure(bench: Bench) -> Measured:
    """Counted by strace, which makes each of them many times slower, so no time is measured here."""
    count = bench.size.latencies
    with Service(bench, bench.two_cores) as service:
        service.await_worker()
        with (
            service.alone(count) as client,
            _counted({"client": client.pid, **service.pids()}, bench.directory) as calls,
        ):
            client.tell("go")
            client.ready_line()
    for name, made in calls.items():
        yield f"calls.{name}", made / count
    yield "calls.all", sum(calls.values()) / count


@contextlib.contextmanager
def _counted(pids: Mapping[str, int], directory: Path) -> Iterator[dict[str, int]]:
    """Count the system calls that each program makes meanwhile; the counts are there at the end."""
    tracers, calls = {}, dict[str, int]()
    for name, pid in pids.items():
        report = directory / f"calls.{name}"
        argv = ["strace", "-f", "-c", "-U", "calls,name", "-o", str(report), "-p", str(pid)]
        tracer = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        tracers[name] = tracer, report
        assert tracer.stderr is not None
        while ATTACHED not in (line := tracer.stderr.readline()):
            if not line:
                raise RuntimeError(f"strace does not attach to {name}")
    yield calls
    for name, (tracer, report) in tracers.items():
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
        total = TOTAL.search(report.read_text())
        calls[name] = int(total[1]) if total else 0
        report.unlink()
