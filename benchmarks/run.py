"""A whole run: the floor, zjobs and the peers in turn, repeated, and what it was measured on."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import platform
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgpack
import zmq

from benchmarks import postgresql
from benchmarks.bench import Bench, Measured
from benchmarks.program import ROOT, pinned

FIGURES = ("submit", "drain", "latency", "waits", "cold", "status", "watchers")
FIGURES += ("depth", "growth", "curve", "turn", "cpu", "calls", "http", "postgres")
PEERS = ("huey_sqlite", "celery_redis", "beanstalk", "beanstalk_durable", "procrastinate")
# What a peer or figure needs: Python modules, and programs on PATH.
NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "huey_sqlite": (("huey",), ()),
    "celery_redis": (("celery", "redis"), ("redis-server",)),
    "beanstalk": (("greenstalk",), ("beanstalkd",)),
    "beanstalk_durable": (("greenstalk",), ("beanstalkd",)),
    "calls": ((), ("strace",)),
    "http": (("fastapi", "sqlalchemy"), ()),
    "postgres": (("psycopg",), ()),
    "procrastinate": (("procrastinate",), ()),
}

Say = Callable[[str], None]


def missing(name: str) -> str | None:
    """Return what a peer or figure lacks to be measured here, as a sentence; None if nothing."""
    modules, programs = NEEDS.get(name, ((), ()))
    lacking = [f"the Python package {module}" for module in modules if importlib.util.find_spec(module) is None]
    if name in ("postgres", "procrastinate") and postgresql.programs() is None:
        lacking.append("PostgreSQL")
    lacking += [f"the program {program}" for program in programs if shutil.which(program) is None]
    return f"{' and '.join(lacking)} not found" if lacking else None


def measure(
    bench: Bench, figures: Sequence[str], peers: Sequence[str], repeat: int, say: Say
) -> dict[str, list[float]]:
    """Return the values of each figure, one for each repetition.

    A repetition measures everything once: so what is divided by each other was measured close together.
    """
    values: dict[str, list[float]] = {}
    with pinned(bench.one_core.client):
        for repetition in range(1, repeat + 1):
            for name, measured in _parts(bench, figures, peers):
                say(f"repetition {repetition} of {repeat}: {name}")
                gc.collect()
                for figure, value in measured:
                    values.setdefault(figure, []).append(value)
    return values


def _parts(bench: Bench, figures: Sequence[str], peers: Sequence[str]) -> list[tuple[str, Measured]]:
    parts = [("floor", importlib.import_module("benchmarks.floor").measure(bench))]
    parts += [(name, importlib.import_module(f"benchmarks.figures.{name}").measure(bench)) for name in figures]
    parts += [(name, _of_peer(name, bench)) for name in peers]
    return parts


def _of_peer(name: str, bench: Bench) -> Measured:
    for figure, value in importlib.import_module(f"benchmarks.peers.{name}").measure(bench):
        yield f"peer.{name}.{figure}", value


def circumstances(bench: Bench, quick: bool) -> dict[str, Any]:
    """Return when, where and on what it is measured."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "quick": quick,
        "machine": f"{_processor()}, {len(bench.two_cores.client | bench.two_cores.server)} cores used, "
        f"{platform.system()} {platform.release()}, files on {_file_system(bench.directory)}",
        "versions": f"Python {platform.python_version()}, pyzmq {zmq.pyzmq_version()} (libzmq {zmq.zmq_version()}), "
        f"msgpack {'.'.join(map(str, msgpack.version))}, SQLite {sqlite3.sqlite_version}",
        "placement": [str(bench.one_core), str(bench.two_cores)],
    }


def _commit() -> str:
    """Return the commit of this tree, with a + if it has uncommitted changes; '' outside of a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """Return the kind of the file system: on a tmpfs, a flush to disk costs nothing."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [words for words in mounts if directory.resolve().is_relative_to(words[1])]
    return max(holding, key=lambda words: len(words[1]))[2]
