"""A command from its start to its exit: `zclient submit`, and a bare script with one request. Milliseconds."""

from __future__ import annotations

import os
import statistics
import subprocess
import time

from benchmarks import floor
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT, TYPE
from benchmarks.program import pinned, python
from benchmarks.service import Service

BARE = """
import sys
import zmq
socket = zmq.Context().socket(zmq.REQ)
socket.linger = 0
socket.rcvtimeo = 30_000
socket.connect(sys.argv[1])
socket.send(b"\\x80")
socket.recv()
"""
# What the installed `zclient` does; without the file, so that a tree that is not installed can be measured too.
ZCLIENT = "from zjobs.client.__main__ import run; run()"


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    with (
        floor.echo(bench, bench.two_cores) as echo,
        Service(bench, bench.two_cores) as service,
        pinned(bench.two_cores.client),
    ):
        service.learn_types()
        bare = python("-c", BARE, echo)
        zclient = python("-c", ZCLIENT, "--broker", service.endpoint, "submit", TYPE, TEXT)
        for argv in (bare, zclient):
            _run_ms(argv)  # which compiles what was not yet
        # In turns, so that both see the same disturbances.
        times = [(_run_ms(bare), _run_ms(zclient)) for _ in range(bench.size.cold_starts)]
    yield "floor.bare_ms", statistics.median(bare_ms for bare_ms, _ in times)
    yield "cold.submit_ms", statistics.median(zclient_ms for _, zclient_ms in times)


def _run_ms(argv: list[str]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # Without a timeout, which would have the end looked for in steps of up to 50 ms; both give up by themselves.
    begun = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=environment)
    return (time.perf_counter() - begun) * 1e3
