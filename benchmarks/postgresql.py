"""A PostgreSQL server for the benchmarks, as installed, and a link to it that takes time."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.program import Program, free_port, listens, python, wait_until

AWAY_S = 0.5e-3  # there and back


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
            wait_until(lambda: listens(port), 60, "PostgreSQL listens")
            yield port
    finally:
        shutil.rmtree(folder)
        (bench.directory / "postgresql.log").unlink()


def url(port: int) -> str:
    """Return the address of its database."""
    return f"postgresql://zjobs@127.0.0.1:{port}/postgres"


def empty(port: int) -> None:
    """Drop everything in the database."""
    import psycopg  # with the extra `postgres`, which other figures do without

    with psycopg.connect(url(port), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("CHECKPOINT")


@contextlib.contextmanager
def away(bench: Bench, port: int) -> Iterator[int]:
    """Run a relay to the server and yield its port: what passes arrives half of AWAY_S later."""
    near = free_port()
    with Program(
        python("-m", "benchmarks.postgresql", str(near), str(port)), bench.one_core.client, bench.directory / "away.log"
    ) as relay:
        relay.ready_line()
        yield near
    (bench.directory / "away.log").unlink()


def relay(near: int, far: int) -> None:
    """Pass on each connection, both ways, with the delay."""
    with socket.create_server(("127.0.0.1", near)) as listener:
        print("ready", flush=True)
        while True:
            one, _ = listener.accept()
            other = socket.create_connection(("127.0.0.1", far))
            for end in (one, other):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink in ((one, other), (other, one)):
                threading.Thread(target=_pass, args=(source, sink), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    """Bytes may follow before earlier ones were delivered."""
    waiting: deque[tuple[float, bytes]] = deque()
    arrived = threading.Condition()

    def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                with arrived:
                    arrived.wait_for(lambda: bool(waiting))
                    due, content = waiting.popleft()
                time.sleep(max(0.0, due - time.monotonic()))
                if not content:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(content)

    threading.Thread(target=deliver, daemon=True).start()
    while True:
        try:
            content = source.recv(1 << 16)
        except OSError:
            content = b""
        with arrived:
            waiting.append((time.monotonic() + AWAY_S / 2, content))
            arrived.notify()
        if not content:
            return


if __name__ == "__main__":
    relay(int(sys.argv[1]), int(sys.argv[2]))
