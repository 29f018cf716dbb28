"""Many watchers: each with a connection of its own to the broker's events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgpack
import zmq

from benchmarks.bench import Bench, Measured
from benchmarks.service import FINAL, Service


def measure(bench: Bench) -> Measured:
    """Measure watchers of one job each: from subscribing to the last snapshot, and jobs ended a second with all
    watched. Measure watchers of the same job: from the first that receives its end to the last."""
    count = bench.size.watchers
    with Service(bench, bench.two_cores) as service:
        ids = service.fill(count)
        with _Watchers(service, ids, bench.size.patience_s) as watchers:
            yield "watchers.subscribed_per_s", count / watchers.subscribed_s
            first_at, last_at = _all_ended(service, watchers)
            yield "watchers.drain", (count - 1) / (last_at - first_at)
    with Service(bench, bench.two_cores) as service:
        ids = service.fill(1)
        with _Watchers(service, [ids[0]] * count, bench.size.patience_s) as watchers:
            first_at, last_at = _all_ended(service, watchers)
            yield "watchers.same_job_ms", (last_at - first_at) * 1e3


def _all_ended(service: Service, watchers: _Watchers) -> tuple[float, float]:
    service.start_worker()
    times = watchers.ended()
    service.stop_worker()
    return times


class _Watchers:
    """A SUB socket for each of `ids`, each with its snapshot received. For `with`."""

    def __init__(self, service: Service, ids: Sequence[int], patience_s: float) -> None:
        with service.client() as client:
            endpoint = client.hello().events
        self._patience_s = patience_s
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, len(ids) + 16)
        self._poller = zmq.Poller()
        begun = time.monotonic()
        for job_id in ids:
            socket = self._context.socket(zmq.SUB)
            socket.linger = 0
            socket.connect(endpoint)
            socket.subscribe(b"job.%d." % job_id)
            self._poller.register(socket, zmq.POLLIN)
        self._count(lambda state: True)
        self.subscribed_s = time.monotonic() - begun

    def __enter__(self) -> _Watchers:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy()

    def ended(self) -> tuple[float, float]:
        """Return when the first and when the last watcher received the end of its job."""
        return self._count(lambda state: state in FINAL)

    def _count(self, counts: Callable[[str], bool]) -> tuple[float, float]:
        """Read until each watcher has received a state that counts. Return when the first and when the last did."""
        waiting = {socket for socket, _ in self._poller.sockets}
        first_at = last_at = 0.0
        deadline = time.monotonic() + self._patience_s
        while waiting:
            for socket, _ in self._poller.poll(1000):
                state = msgpack.unpackb(socket.recv_multipart()[-1])["job"]["state"]
                if counts(state) and socket in waiting:
                    waiting.discard(socket)
                    last_at = time.monotonic()
                    first_at = first_at or last_at
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(waiting)} watchers have not heard of their job")
        return first_at, last_at
