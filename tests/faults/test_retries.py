"""A client that repeats what it got no answer to never makes a second job."""

from __future__ import annotations

import contextlib

import msgpack
import zmq
from faulting.lossy import Lossy
from faulting.scene import Scene

SUBMITS = 10_000
IN_FLIGHT = 400
REPEAT_MS = 200
SEED = 11


def test_ten_thousand_submits_over_a_lossy_link_make_ten_thousand_jobs(scene: Scene) -> None:
    """A tenth of all messages is lost, another tenth comes twice; each key got one id, in all its answers."""
    scene.start_broker().ready()
    middle = f"{scene.endpoint}.lossy"
    ids: dict[int, set[int]] = {}
    with (
        contextlib.closing(Lossy(middle, scene.endpoint, SEED, 0.1)) as lossy,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as socket,
    ):
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = 0
        socket.connect(middle)
        waiting: set[int] = set()
        fresh = iter(range(SUBMITS))
        while len(ids) < SUBMITS:
            sent = []
            while len(waiting) < IN_FLIGHT and (number := next(fresh, None)) is not None:
                waiting.add(number)
                sent.append(number)
            if not sent and not socket.poll(REPEAT_MS):
                sent = list(waiting)
            for number in sent:
                body = {
                    "v": 1,
                    "op": "submit",
                    "request_key": f"{number:08}",
                    "jobs": [{"type": "any", "data": b"\xc0"}],
                }
                socket.send_multipart([b"%d" % number, b"", msgpack.packb(body)])
            while socket.poll(0):
                tag, _, frame = socket.recv_multipart()
                reply = msgpack.unpackb(frame)
                if reply.get("code") == "busy":  # on a slow machine: so many waiting requests come twice
                    continue
                assert reply["op"] == "submit", reply
                ids.setdefault(int(tag), set()).add(reply["first_id"])
                waiting.discard(int(tag))
    assert min(lossy.mishaps.values()) > SUBMITS // 20
    assert all(len(given) == 1 for given in ids.values())
    assert scene.asker.ask("info")["queued"] == SUBMITS
    assert set.union(*ids.values()) == set(range(1, SUBMITS + 1))
