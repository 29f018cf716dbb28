"""The clients of the soak, each a process of its own:  python actors.py ROLE NAME ENDPOINT RECORDS SEED

ROLE is submitter, watcher or waiter. They go on until they are killed; what they were told is in RECORDS.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgpack
import zmq

from soaking.asker import Asker
from soaking.recorder import Recorder
from soaking.soak_tasks import TYPES

MOST_QUEUED = 60  # above that a submitter waits, so that the drain is short
IDS_REMEMBERED = 400
TOPICS_A_WATCHER = 40
WAIT_S = 20.0  # longer than an end may take to be heard of: one that is missed is not made good by asking again


def submitter(name: str, endpoint: str, recorder: Recorder, draw: random.Random) -> None:
    """Submits, and asks again and again for what it submitted."""
    asker = Asker(endpoint, recorder, patience_s=3600.0)
    ids: list[int] = []
    for number in range(sys.maxsize):
        kind = draw.choices(list(TYPES), (4, 6, 3, 3, 1 if number % 10 == 0 else 0, 2, 1))[0]
        tokens = [f"{name}-{number}-{place}" for place in range(draw.choice((1, 1, 1, 2, 5)))]
        place = draw.choices(({}, {"priority": draw.choice((-1, 1, 5))}, {"ready_after_s": 0.25}), (8, 1, 1))[0]
        reply = asker.submit(f"{name}-{number}", kind, tokens, **TYPES[kind], **place)
        if reply["op"] == "submit":
            ids = [*ids, *range(reply["first_id"], reply["first_id"] + reply["count"])][-IDS_REMEMBERED:]
        if ids and number % 10 == 5:
            asker.cancel(draw.sample(ids[-8:], 1))
        asked = draw.sample(ids, min(len(ids), 8))
        for job_id, state in asker.status(asked).items():
            if state == "completed":
                asker.result(job_id)
        while asker.ask("queue", limit=1).get("queued", 0) > MOST_QUEUED:
            time.sleep(0.02)


def watcher(name: str, endpoint: str, recorder: Recorder, draw: random.Random) -> None:
    """Watches the newest jobs, a socket for some dozens of them, until each has ended; by events alone."""
    asker = Asker(endpoint, recorder, patience_s=3600.0)
    # the harness puts the events beside the frontend, so that nothing has to be asked through a cut link
    host, _, port = endpoint.rpartition(":")
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.heartbeat_ivl, socket.heartbeat_timeout, socket.tcp_maxrt = 1000, 0, 4000
    socket.connect(f"{host}:{int(port) + 1}")
    unfinished: set[int] = set()
    next_look = 0.0
    seen = 0
    while True:
        if time.monotonic() >= next_look and len(unfinished) < TOPICS_A_WATCHER:
            next_look = time.monotonic() + 0.2 + draw.random() / 5
            fresh = [job["id"] for job in asker.ask("queue").get("jobs", ()) if job["id"] > seen]
            for job_id in draw.sample(fresh, min(len(fresh), 10)):
                unfinished.add(job_id)
                recorder.note("watch", watcher=name, id=job_id)
                socket.subscribe(b"job.%d." % job_id)
            seen = max([seen, *fresh])
        while socket.poll(50):
            _heard(name, recorder, msgpack.unpackb(socket.recv_multipart()[1]), socket, unfinished)


def waiter(name: str, endpoint: str, recorder: Recorder, draw: random.Random) -> None:
    """Waits for some of the newest jobs by requests that the broker keeps, until each has ended."""
    asker = Asker(endpoint, recorder, patience_s=3600.0)
    waited: set[int] = set()
    seen = 0
    while True:
        if len(waited) < TOPICS_A_WATCHER:
            fresh = [job["id"] for job in asker.ask("queue").get("jobs", ()) if job["id"] > seen]
            for job_id in draw.sample(fresh, min(len(fresh), 10)):
                waited.add(job_id)
                recorder.note("watch", watcher=name, id=job_id)
            seen = max([seen, *fresh])
        if not waited:
            time.sleep(0.05)
            continue
        reply = asker.ask("wait", waits_s=WAIT_S, ids=sorted(waited), wait_ms=int(WAIT_S * 1000))
        for job in reply.get("jobs", ()):
            recorder.note("event", watcher=name, **{field: job[field] for field in ("id", "state", "version")})
        waited.difference_update(job["id"] for job in (*reply.get("jobs", ()), *reply.get("missing", ())))


def _heard(
    name: str, recorder: Recorder, event: dict[str, Any], socket: zmq.Socket[bytes], unfinished: set[int]
) -> None:
    job = event["job"]
    recorder.note("event", watcher=name, **{field: job[field] for field in ("id", "state", "version")})
    if job["state"] in ("completed", "failed", "cancelled") and job["id"] in unfinished:
        unfinished.discard(job["id"])
        socket.unsubscribe(b"job.%d." % job["id"])


def main() -> None:
    role, name, endpoint, records, seed = sys.argv[1:]
    act = {"submitter": submitter, "watcher": watcher, "waiter": waiter}[role]
    act(name, endpoint, Recorder(records), random.Random(f"{seed} {name}"))


if __name__ == "__main__":
    main()
