"""A PostgreSQL server for the benchmarks, as installed, and a link to it that takes time."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.program import Program, free_port, python, wait_until

# With what the relay itself takes, a statement takes half a millisecond longer; `round_trip_us` says how long.
HELD_S = 0.07e-3


def programs() -> Path | None:
    """Return the folder of initdb and postgres, Debian's or that on the path; None without them."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if (found := shutil.which("initdb")) is not None:
        folders.append(Path(found).resolve().parent)
    return folders[-1] if folders else None


@contextlib.contextmanager
def server(bench: Bench) -> Iterator[int]:
    """Run a server that flushes each commit, and yield its port. It refuses root, so root makes it run as postgres."""
    here = programs()
    assert here is not None
    folder, port = bench.directory / "postgresql", free_port()
    folder.mkdir()
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        bench.directory.chmod(0o755)
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    made = [*as_user, str(here / "initdb"), "-D", f"{folder}/data", "-U", "zjobs", "-A", "trust", "-E", "UTF8"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd="/")
    run = [*as_user, str(here / "postgres"), "-D", f"{folder}/data", "-k", str(folder), "-p", str(port)]
    try:
        with Program(run, bench.two_cores.server, bench.directory / "postgresql.log"):
            wait_until(lambda: _answers(port), 60, "PostgreSQL answers")
            yield port
    finally:
        shutil.rmtree(folder)
        (bench.directory / "postgresql.log").unlink()


def _answers(port: int) -> bool:
    """Return whether it is ready; it listens before."""
    import psycopg  # with the extra `postgres`, which other figures do without

    try:
        psycopg.connect(url(port)).close()
    except psycopg.OperationalError:
        return False
    return True


def url(port: int) -> str:
    """Return the address of its database."""
    return f"postgresql://zjobs@127.0.0.1:{port}/postgres"


def round_trip_us(port: int) -> float:
    """Return how long a statement takes that does nothing."""
    import psycopg

    with psycopg.connect(url(port), autocommit=True, prepare_threshold=1) as connection:
        return load.percentiles([load.timed_us(lambda: connection.execute("SELECT 1")) for _ in range(200)])[0]


def empty(port: int) -> None:
    """Drop everything in the database."""
    import psycopg

    with psycopg.connect(url(port), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("CHECKPOINT")


@contextlib.contextmanager
def away(bench: Bench, port: int) -> Iterator[int]:
    """Run a relay to the server and yield its port: what passes arrives later."""
    near = free_port()
    with Program(
        python("-m", "benchmarks.postgresql", str(near), str(port)), bench.one_core.client, bench.directory / "away.log"
    ) as relay:
        relay.ready_line()
        yield near
    (bench.directory / "away.log").unlink()


def relay(near: int, far: int) -> None:
    """Pass on each connection, both ways, with the delay. It spins while something is on its way: no timer is as
    exact."""
    waiting: deque[tuple[float, socket.socket, bytes]] = deque()
    with socket.create_server(("127.0.0.1", near)) as listener, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select(0 if waiting else None):
                if key.fileobj is listener:
                    _join(listener, far, selector)
                    continue
                source: socket.socket = key.fileobj  # type: ignore[assignment]
                content = _received(source)
                waiting.append((time.perf_counter() + HELD_S, key.data, content))
                if not content:
                    selector.unregister(source)
            while waiting and waiting[0][0] <= time.perf_counter():
                _, sink, content = waiting.popleft()
                with contextlib.suppress(OSError):
                    sink.sendall(content) if content else sink.shutdown(socket.SHUT_WR)


def _join(listener: socket.socket, far: int, selector: selectors.BaseSelector) -> None:
    ends = listener.accept()[0], socket.create_connection(("127.0.0.1", far))
    for source, sink in (ends, ends[::-1]):
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(source, selectors.EVENT_READ, sink)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""


if __name__ == "__main__":
    relay(int(sys.argv[1]), int(sys.argv[2]))
