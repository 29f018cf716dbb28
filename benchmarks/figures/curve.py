"""The cost of CURVE: one client of the library with keys and without, on two cores, the journal in memory."""

from __future__ import annotations

from functools import partial

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT, TYPE
from benchmarks.service import Service


def measure(bench: Bench) -> Measured:
    """Yield submits a second, one at a time."""
    for name, keys in (("without", False), ("with", True)):
        with Service(bench, bench.two_cores, "memory", keys=keys) as service:
            service.learn_types()
            with service.client() as client:
                client.submit(TYPE, TEXT)
                rate, _ = load.one_at_a_time(partial(client.submit, TYPE, TEXT), bench.size.seconds)
            yield f"curve.submit.{name}_keys", rate
