"""The service over HTTP: requests a second beside a FastAPI application of one line, and 500 streams meanwhile.

`cpu_us` is the server's processor time for one request: on a machine that is busy otherwise it says more than a rate.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.http import programs
from benchmarks.http.programs import Gateway, Streams
from benchmarks.program import Program
from benchmarks.service import Service

CONNECTIONS = 50
STREAMS = 500


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    with programs.one_line(bench) as (program, url):
        yield from _load(program, "http.one_line", lambda: programs.load(bench, url, "status", CONNECTIONS))
        alone = programs.load(bench, url, "status", 1)
        yield "http.one_line_us.p50", alone["p50_us"]
    with Service(bench, bench.two_cores) as service:
        service.learn_types()
        with programs.gateway(bench, service) as gateway:
            yield from _requests(bench, service, gateway)
            yield from _with_streams(bench, gateway)


def _requests(bench: Bench, service: Service, gateway: Gateway) -> Measured:
    """Measure durable submits and status requests, and what each costs beyond the library."""
    for kind in ("submit", "status"):
        yield from _load(gateway.program, f"http.{kind}", _asking(bench, gateway, kind))
    with service.client() as client:
        client.status([1])
        direct_us = load.percentiles(load.one_at_a_time(lambda: client.status([1]), bench.size.seconds)[1])[0]
    alone = programs.load(bench, gateway.url, "status", 1, gateway.token, f"{gateway.jobs}/1")
    yield "http.library_us.p50", direct_us
    yield "http.status_us.p50", alone["p50_us"]


def _with_streams(bench: Bench, gateway: Gateway) -> Measured:
    """Measure the same while many watch every job. Raises RuntimeError if one of them missed something."""
    before = gateway.program.memory_bytes()
    with programs.streams(bench, gateway, STREAMS) as streams:
        yield "http.stream_kb", (gateway.program.memory_bytes() - before) / STREAMS / 1e3
        for kind in ("status", "submit"):
            asking = _asking(bench, gateway, kind)
            yield from _load(gateway.program, f"http.{kind}.streams", asking, lambda: _check(streams))


def _check(streams: Streams) -> None:
    told = streams.told()
    if told["fewest"] < told["passed"] or told["resyncs"] or told["lost"]:
        raise RuntimeError(f"a stream missed an event: {told}")


def _asking(bench: Bench, gateway: Gateway, kind: str) -> Callable[[], dict[str, float]]:
    path = gateway.jobs if kind == "submit" else f"{gateway.jobs}/1"
    return lambda: programs.load(bench, gateway.url, kind, CONNECTIONS, gateway.token, path)


def _load(
    server: Program, name: str, ask: Callable[[], dict[str, float]], then: Callable[[], None] | None = None
) -> Measured:
    """Yield the rate of requests, and what each cost the server: with what it does for them afterwards."""
    before = server.processor_us()
    told = ask()
    if then is not None:
        then()
    yield name, told["rate"]
    yield f"{name}.cpu_us", (server.processor_us() - before) / told["answers"]
