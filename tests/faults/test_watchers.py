"""Watchers that never read cost themselves their events, and nobody else anything."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
import zmq
from faulting.scene import Scene

READING, STOPPED = 900, 100
JOBS = 300
MEMORY_KIB = 200 << 10

STUCK = """
import sys, zmq
context = zmq.Context()
kept = []
for _ in range(int(sys.argv[2])):
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = 0
    socket.connect(sys.argv[1])
    socket.subscribe(b"jobs.")
    kept.append(socket)
print("subscribed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for a thousand connections on both sides."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192
    if hard not in (resource.RLIM_INFINITY,) and hard < wanted:
        pytest.skip(f"NOT TESTED HERE: {wanted} open files are needed, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_a_hundred_that_never_read_disturb_nobody(many_files: None, scene: Scene) -> None:
    """Of 1,000 watchers 100 are stopped; each of the 900 others hears the end of its job; memory stays bounded."""
    broker = scene.start_broker().ready()
    scene.start_worker().ready()
    events = scene.asker.ask("hello")["events"]
    ids = [scene.submit(f"first {delivery}", "soak_safe")["first_id"] for delivery in range(1)]
    scene.await_ends(ids)
    stuck = subprocess.Popen(
        [sys.executable, "-c", STUCK, events, str(STOPPED)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert stuck.stdin is not None and stuck.stdout is not None
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.max_sockets = 2048
    try:
        assert stuck.stdout.readline() == b"subscribed\n"
        os.kill(stuck.pid, signal.SIGSTOP)
        first = scene.asker.ask(
            "submit", request_key="j", jobs=[{"type": "soak_safe", "data": msgpack.packb("w")}] * JOBS
        )
        watchers = []
        for number in range(READING):
            socket = context.socket(zmq.SUB)
            socket.connect(events)
            socket.subscribe(b"job.%d." % (first["first_id"] + number % JOBS))
            watchers.append(socket)
        others = [{"type": "reverse", "data": msgpack.packb("x")}] * 2_000
        for number in range(10):
            assert scene.asker.ask("submit", request_key=f"k{number}", jobs=others)["count"] == 2_000
        for socket in watchers:
            state = None
            while state != "completed":
                assert socket.poll(20_000), "an end was missed"
                state = msgpack.unpackb(socket.recv_multipart()[1])["job"]["state"]
        scene.until(lambda: scene.asker.ask("info")["queued"] == 0, "all jobs have ended")
    finally:
        context.destroy(linger=0)
        stuck.kill()
        stuck.wait()
        stuck.stdin.close()
        stuck.stdout.close()
    used = memory_kib(broker.pid)
    print(f"the broker used {used // 1024} MiB at most with {READING} watchers and {STOPPED} that were stopped")
    assert used < MEMORY_KIB
