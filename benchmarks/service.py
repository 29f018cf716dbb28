"""zjobs itself: a broker and a worker as users start them, and what the figures ask of them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack
import zmq

from benchmarks.bench import Bench, Placement
from benchmarks.load import TEXT, TYPE, Peer, ask
from benchmarks.program import Program, free_port, python, wait_until
from zjobs.client import AsyncClient, Client

FINAL = ("completed", "failed", "cancelled")
BATCH = 10_000
CLIENTS = ("bench", "other")


class Service:
    """A broker, and a worker when asked for, in a folder of their own. For `with`, which starts the broker."""

    def __init__(
        self, bench: Bench, placement: Placement, journal: str = "disk", time_scale: float = 0, keys: bool = False
    ) -> None:
        """Prepare a service. `journal`: "disk", "memory" or a URL. `keys`: True if everything is encrypted and only
        holders of keys are admitted."""
        self._patience_s = bench.size.patience_s
        self._placement = placement
        self._time_scale = time_scale
        self._folder = Path(tempfile.mkdtemp(prefix="zjobs.", dir=bench.directory))
        self._journal = {"memory": ":memory:", "disk": str(self._folder / "journal.db")}.get(journal, journal)
        self._pipe, self._reports = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
        self._worker: Program | None = None
        self._keys = self._made_keys() if keys else None

    def _made_keys(self) -> Path:
        """Make the keys and return their directory; those of the clients are beside it."""
        keys = self._folder / "keys"
        names = (("add", name, "--role", "operator", "--out", str(self._folder / f"{name}.key")) for name in CLIENTS)
        for words in (("init",), *names):
            command = python("-m", "zjobs.broker", "keys", *words, "--keys", str(keys))
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return keys

    def __enter__(self) -> Service:
        self.start_broker()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_worker()
        self.broker.stop()
        shutil.rmtree(self._folder)

    def start_broker(self) -> None:
        """Start the broker on the journal."""
        options = ["--listen", "tcp://127.0.0.1:*", "--journal", self._journal, "--log-level", "warning"]
        options += ["--keys", str(self._keys)] if self._keys else []
        self.broker = Program(
            python("-m", "zjobs.broker", *options, "--pipe", self._pipe, "--reports", self._reports),
            self._placement.server,
            self._folder / "broker.log",
        )
        self.endpoint = self.broker.ready_line()[-1]

    def start_worker(self) -> None:
        """Start a worker. When this returns it is ready, but the broker may not have found it yet."""
        options = ["--time-scale", str(self._time_scale), "--log-level", "warning"]
        options += ["--key", str(self._keys / "worker.key")] if self._keys else []
        self._worker = Program(
            python("-m", "zjobs.worker", "--pipe", self._pipe, "--reports", self._reports, *options),
            self._placement.worker,
            self._folder / "worker.log",
        )
        self._worker.ready_line()

    def stop_worker(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def await_worker(self) -> None:
        """Start a worker and wait until the broker sends it jobs."""
        self.start_worker()
        with self.client() as client:
            wait_until(lambda: client.info().worker.state == "ready", self._patience_s, "the worker is found")

    def learn_types(self) -> None:
        """Make the broker check the types of jobs from now on, though no worker runs any."""
        self.await_worker()
        self.stop_worker()

    def pids(self) -> dict[str, int]:
        """Return the process ids of the broker, the worker and its task process."""
        assert self._worker is not None
        children = Path(f"/proc/{self._worker.pid}/task/{self._worker.pid}/children").read_text().split()
        return {"broker": self.broker.pid, "worker": self._worker.pid, "task": int(children[0])}

    @contextlib.contextmanager
    def alone(self, count: int) -> Iterator[Program]:
        """Start a program that runs `count` jobs through the library, one at a time: when told to, until its next
        line."""
        argv = python("-m", "benchmarks.alone", self.endpoint, str(count))
        with Program(argv, self._placement.client, self._folder / "alone.log") as program:
            program.ready_line()
            yield program

    def client(self) -> Client:
        """Return a client of the library."""
        return Client(self.endpoint, timeout=60, key=self.key_file(CLIENTS[0]))

    def async_client(self) -> AsyncClient:
        """Return an asyncio client of the library."""
        return AsyncClient(self.endpoint, timeout=60, key=self.key_file(CLIENTS[0]))

    def key_file(self, name: str) -> Path | None:
        """Return the key file of one of CLIENTS, None without keys."""
        return self._folder / f"{name}.key" if self._keys else None

    def fill(self, count: int, text: str = TEXT) -> range:
        """Queue `count` jobs and return their ids."""
        with self.client() as client:
            first = client.submit(TYPE, text).id
            for done in range(1, count, BATCH):
                client.submit_many(TYPE, [text] * min(BATCH, count - done))
        return range(first, first + count)

    @contextlib.contextmanager
    def events(self) -> Iterator[Events]:
        """Return an open SUB socket."""
        with self.client() as client:
            endpoint = client.hello().events
        with Peer(zmq.SUB, endpoint) as socket:
            socket.rcvtimeo = int(self._patience_s * 1000)
            yield Events(socket)

    def rate_of(self, ids: range) -> float:
        """Return the jobs a second from the end of the first of the queued `ids` to that of the last, with a new
        worker."""
        with self.events() as events:
            events.watch((ids[0], ids[-1]))
            self.start_worker()
            begun = events.ended(ids[0])
            ended = events.ended(ids[-1])
        self.stop_worker()
        return (len(ids) - 1) / (ended - begun)


class Events:
    """Events of jobs, on an open SUB socket."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket

    def watch(self, ids: Sequence[int]) -> None:
        """Subscribe to jobs, and return when the present status of each has come."""
        for job_id in ids:
            self.subscribe(job_id)
        waited = set(ids)
        while waited:
            waited.discard(self.next()["id"])

    def subscribe(self, job_id: int) -> None:
        """Subscribe to a job."""
        self._socket.subscribe(b"job.%d." % job_id)

    def unsubscribe(self, job_id: int) -> None:
        """Unsubscribe from a job."""
        self._socket.unsubscribe(b"job.%d." % job_id)

    def next(self) -> dict[str, Any]:
        """Return the next status that comes. Raises zmq.Again if none does."""
        job: dict[str, Any] = msgpack.unpackb(self._socket.recv_multipart()[-1])["job"]
        return job

    def ended(self, job_id: int) -> float:
        """Wait for the end of a job and return when it came (monotonic). Earlier statuses are dropped."""
        while True:
            job = self.next()
            if job["id"] == job_id and job["state"] in FINAL:
                if job["state"] != "completed":
                    raise RuntimeError(f"job {job_id} failed: {job['message']}")
                return time.monotonic()


def submit_and_wait(requests: zmq.Socket[bytes], events: Events) -> None:
    """Run one job from its submit over its final event to its result, on sockets that are open already."""
    job = {"type": TYPE, "data": msgpack.packb(TEXT)}
    job_id = ask(requests, op="submit", request_key=f"{time.time_ns():032x}", jobs=[job])["first_id"]
    events.subscribe(job_id)
    events.ended(job_id)
    result = ask(requests, op="result", id=job_id)
    events.unsubscribe(job_id)
    if msgpack.unpackb(result["body"]) != TEXT[::-1]:
        raise RuntimeError(f"a wrong result: {result}")
