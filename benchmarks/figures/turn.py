"""The costs of the parts of a turn with one submit when the broker never sleeps, in microseconds, without sockets."""

from __future__ import annotations

import time
from itertools import pairwise

from benchmarks.bench import Bench, Measured
from benchmarks.load import submit_frame
from zjobs.broker.core.admission import Rules
from zjobs.broker.core.core import Core
from zjobs.broker.core.records.needs import TurnNeeds
from zjobs.broker.journaling import read
from zjobs.broker.journals import journal_at
from zjobs.broker.service import clock
from zjobs.broker.storage.api import Journal
from zjobs.messages import codec
from zjobs.messages.records import BrokerName
from zjobs.messages.requests import ops

PARTS = ("decode", "submit", "end", "commit", "encode")


def measure(bench: Bench) -> Measured:
    """Before any worker, on a journal in memory."""
    journal = journal_at(":memory:")
    journal.claim("a benchmark")
    core = Core(journal.load(), Rules(), BrokerName("", "", "turn"), clock())
    spent_ns = dict.fromkeys(PARTS, 0)
    deadline = time.monotonic() + bench.size.seconds
    turns = 0
    while time.monotonic() < deadline:
        turns += 1
        for part, took_ns in zip(PARTS, _turn(core, journal, submit_frame())):
            spent_ns[part] += took_ns
    for part, took_ns in spent_ns.items():
        yield f"turn.{part}_us", took_ns / turns / 1e3


def _turn(core: Core, journal: Journal, frame: bytes) -> tuple[int, ...]:
    """Run one turn as the broker does. Return how long each of PARTS took."""
    now = time.perf_counter_ns
    at = [now()]
    request = codec.decode(frame, ops.REQUESTS)
    at.append(now())
    core.read(read(journal, TurnNeeds(core.needs([("", request)], clock()))))
    core.submit(request, (b"client", b""), clock())
    at.append(now())
    effects = core.end_turn(clock())
    at.append(now())
    journal.commit(effects.changes)
    at.append(now())
    codec.encode(effects.replies[0][1])
    at.append(now())
    return tuple(after - before for before, after in pairwise(at))
