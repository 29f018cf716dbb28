"""A worker written from part 2 of docs/protocol.md alone: it uses pyzmq and msgpack and nothing of this project.

It stands for a worker in another language: if it passes, the page is enough to write one.

    python plain_worker.py PIPE REPORTS LOCK [KEY_FILE]

The line `plain_worker ready PIPE` is printed when both sockets are bound. Each message goes to standard error as it is
sent or received, a line each, but for heartbeats like the one before.
SIGTERM: the running job ends, the rest goes back; the second one kills it. It keeps no spool, so it waits for its last
acknowledgement however long that takes; the third signal gives it up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgpack
import zmq
from zmq.utils import z85

Fields = dict[str, Any]

BEAT_S = 1.0
RETURN_AFTER_S = 0.05
TICK_MS = 10
TYPES: list[Fields] = [
    {"name": "reverse", "description": "the text backwards", "max_reruns": 2},
    {"name": "sleep", "time_limit_ms": 60_000, "grace_ms": 100},
    {"name": "fail"},
    {"name": "lie"},  # its end is reported so that the broker cannot read it
    {"name": "huge"},  # its result is a byte larger than may be
]
TASK = """
import sys, time, msgpack
name, data = sys.argv[1], msgpack.unpackb(sys.stdin.buffer.read())
if name == "sleep":
    time.sleep(data)
if name == "fail":
    sys.exit(f"it failed: {data}")
sys.stdout.buffer.write(msgpack.packb(data[::-1] if name == "reverse" else data))
"""


class Run(NamedTuple):
    """The job that runs, as number n. `ending`: why it was told to end, or nothing."""

    delivery: int
    job: Fields
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    begun: float
    ending: str


class Worker:
    def __init__(self, pipe: str, reports: str, lock: str, key_file: str | None) -> None:
        self.lock = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.key = None if key_file is None else read_key(key_file)
        self.zap = self.context.socket(zmq.ROUTER)
        self.zap.bind("inproc://zeromq.zap.01")
        self.pipe = self.bound(zmq.PULL, pipe)
        self.reports = self.bound(zmq.XPUB, reports)
        self.signals = 0
        self.said_beat: Fields = {}
        self.exited = False
        self.renew()

    def bound(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        sock = self.context.socket(kind)
        sock.linger, sock.sndhwm, sock.rcvhwm = 500, 0, 0
        sock.heartbeat_ivl, sock.heartbeat_timeout, sock.tcp_maxrt, sock.connect_timeout = 1_000, 0, 4_000, 5_000
        if kind == zmq.XPUB:
            sock.xpub_verbose = 1
        if self.key is not None:
            sock.curve_server = True
            sock.curve_publickey, sock.curve_secretkey = self.key["public"].encode(), self.key["secret"].encode()
            sock.zap_domain = b"worker"
        sock.bind(endpoint)
        return sock

    def renew(self) -> None:
        """A new incarnation, which has no session."""
        self.incarnation = secrets.token_hex(16)
        self.session: str | None = None
        self.broker: Fields | None = None
        self.result_bytes = self.taken = self.acked = 0
        self.kept: list[Fields] = []  # the reports after number `acked`
        self.unbegun: list[tuple[int, Fields]] = []
        self.run: Run | None = None
        self.returning: int | None = None  # the number of the last report that returned, until it is acknowledged
        self.returned_from = 0
        self.round = self.sent = 0
        self.arrived = {"round": 0, "count": 0}
        self.held = b""  # the beginning of the next job's data
        self.beat_at = 0.0

    # --- what is said ----------------------------------------------------------------------------------------

    def say(self, op: str, **fields: Any) -> None:
        if op == "reports":
            fields["round"] = self.round
            self.sent += 1
        self.reports.send(msgpack.packb({"v": 1, "op": op, **fields}))
        if op != "heartbeat" or {**fields, "running": None} != self.said_beat:
            print("→", op, fields, file=sys.stderr, flush=True)
        if op == "heartbeat":
            self.said_beat = {**fields, "running": None}

    def heartbeat(self) -> None:
        run, running = self.run, None
        if run is not None:
            elapsed_ms = int(1000 * (time.monotonic() - run.begun))
            running = {"delivery": run.delivery, "id": run.job["id"], "elapsed_ms": elapsed_ms}
        own = {"types": TYPES, "broker": self.broker, "host": socket.gethostname(), "pid": os.getpid()}
        own |= {"round": self.round, "sent": self.sent, "arrived": self.arrived}
        session = {"incarnation": self.incarnation, "session": self.session, "taken": self.taken, "acked": self.acked}
        self.say("heartbeat", **session, stopping=self.signals > 0, running=running, **own)
        self.beat_at = time.monotonic() + BEAT_S

    def report(self, **report: Any) -> None:
        self.kept.append(report)
        self.say("reports", session=self.session, first=self.acked + len(self.kept), reports=[report])

    def repeat(self) -> None:
        self.round, self.sent = self.round + 1, 0
        for number, report in enumerate(self.kept, self.acked + 1):
            self.say("reports", session=self.session, first=number, reports=[report])

    def confirm(self, lost_round: int | None = None) -> None:
        """Tells what has come of what the broker counts; in `lost_round` something did not."""
        how_far = self.arrived if lost_round is None else {"round": lost_round, "count": 0}
        lost, held_bytes = lost_round is not None, len(self.held)
        self.say("received", session=self.session, taken=self.taken, **how_far, held_bytes=held_bytes, again=lost)

    def give_back(self, coming: bool = False) -> None:
        """Returns what has not begun. Nothing to return is nothing to say, unless it stops, or something is coming."""
        if not self.unbegun and not self.signals and not coming:
            return
        if self.returning is None:
            self.returned_from = self.unbegun[0][0] if self.unbegun else self.taken + 1
        self.unbegun = []
        self.report(kind="returned", delivery=self.returned_from, stopping=self.signals > 0)
        self.returning = self.acked + len(self.kept)

    # --- what is heard ---------------------------------------------------------------------------------------

    def hear(self, message: Fields) -> None:
        op = message["op"]
        if op in ("session", "take_over"):
            if message["incarnation"] != self.incarnation:
                return
        elif message["session"] != self.session or self.session is None:
            return
        fields = {name: value for name, value in message.items() if name not in ("v", "op")}
        print("←", op, fields, file=sys.stderr, flush=True)
        getattr(self, f"hear_{op}", lambda message: None)(message)

    def hear_session(self, message: Fields) -> None:
        if self.session is None and not self.signals:
            self.session, self.broker = message["session"], message["broker"]
            self.result_bytes = message["result_bytes"]
            self.heartbeat()

    def hear_take_over(self, message: Fields) -> None:
        if self.run is not None:
            self.kill(self.run)
        self.renew()

    def count(self, message: Fields) -> None:
        round, before = message["round"], self.arrived
        self.arrived = {"round": round, "count": 1 + (before["count"] if round == before["round"] else 0)}

    def hear_piece(self, message: Fields) -> None:
        self.count(message)
        missing = message["offset"] > len(self.held)
        if message["number"] == self.taken + 1 and not missing and self.returning is None and not self.signals:
            self.held += message["body"][len(self.held) - message["offset"] :]
        self.confirm()

    def hear_jobs(self, message: Fields) -> None:
        self.count(message)
        for delivery, job in enumerate(message["jobs"], message["first"]):
            if delivery == self.taken + 1 and self.returning is None and not self.signals:
                if start := job.get("data_from") or 0:
                    if start > len(self.held):
                        self.confirm(message["round"])
                        return
                    job = {**job, "data": self.held[:start] + job["data"]}
                self.taken, self.held = delivery, b""
                self.unbegun.append((delivery, job))
        self.confirm()

    def hear_sent(self, message: Fields) -> None:
        same = message["round"] == self.arrived["round"]
        if message["count"] > (self.arrived["count"] if same else 0):
            self.confirm(message["round"])

    def hear_ack(self, message: Fields) -> None:
        reports, resume = message["reports"], message.get("resume")
        covers = self.returning is not None and reports >= self.returning
        if not self.acked <= reports <= self.acked + len(self.kept) or (covers and resume is None):
            return
        del self.kept[: reports - self.acked]
        self.acked = reports
        if covers:
            self.returning, self.taken, self.held = None, resume - 1, b""
        if message.get("again") and message["round"] == self.round:
            self.repeat()

    def hear_cancel_run(self, message: Fields) -> None:
        if self.run is not None and self.run.delivery == message["delivery"]:
            self.end(self.run, "cancelled")
        elif any(delivery == message["delivery"] for delivery, _ in self.unbegun):
            self.give_back()
        elif message["delivery"] > self.taken and self.returning is None:
            self.give_back(coming=True)

    def hear_return_jobs(self, message: Fields) -> None:
        self.give_back()

    # --- running ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        delivery, job = self.unbegun.pop(0)
        output = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the run
        argv = [sys.executable, "-c", TASK, job["type"]]
        how: Fields = {"stdout": output, "stderr": subprocess.DEVNULL, "start_new_session": True}
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=[self.lock], **how)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(job.get("data") or b"\xc0")
            process.stdin.close()
        self.run = Run(delivery, job, process, output, time.monotonic(), "")
        self.say("started", session=self.session, delivery=delivery, id=job["id"])

    def end(self, run: Run, why: str) -> None:
        """Tells the running job to end; its grace time begins, unless it had been told before."""
        if not run.ending:
            self.run = run._replace(begun=time.monotonic() if why == "cancelled" else run.begun, ending=why)
            run.process.terminate()

    def kill(self, run: Run) -> None:
        """On return nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()

    def look_at(self, run: Run) -> None:
        """Has it ended, or should it?"""
        elapsed = time.monotonic() - run.begun
        kind = next((kind for kind in TYPES if kind["name"] == run.job["type"]), {})
        limit_ms = run.job.get("time_limit_ms") or kind.get("time_limit_ms")
        if run.process.poll() is not None:
            self.kill(run)
            self.run = None
            self.report_end(run, int(1_000_000 * elapsed))
        elif run.ending and elapsed > kind.get("grace_ms", 2000) / 1000:
            self.kill(run)
        elif limit_ms and elapsed > limit_ms / 1000:
            self.end(run, "timed_out")
        elif elapsed > RETURN_AFTER_S and self.unbegun:
            self.give_back()

    def report_end(self, run: Run, elapsed_us: int) -> None:
        said: Fields = {"kind": "ended", "delivery": run.delivery, "id": run.job["id"], "elapsed_us": elapsed_us}
        run.output.seek(0)
        code, result = run.process.returncode, run.output.read()
        run.output.close()
        if run.job["type"] == "lie":
            said |= {"outcome": "splendid", "elapsed_us": -1}
        elif code == 0:
            huge = b"\xc6" + self.result_bytes.to_bytes(4, "big") + bytes(self.result_bytes - 4)
            said |= {"outcome": "completed", "result": huge if run.job["type"] == "huge" else result}
        elif run.ending == "timed_out":
            said |= {"outcome": "failed", "reason": "timed_out", "message": "it took too long"}
        elif run.ending:
            said |= {"outcome": run.ending}
        else:
            said |= {"outcome": "failed", "reason": "task_died", "message": f"it ended with code {code}"}
        self.report(**said)

    # --- the loop --------------------------------------------------------------------------------------------

    def turn(self) -> None:
        for sock in (self.zap, self.pipe, self.reports):
            for frames in waiting(sock):
                if sock is self.zap:
                    self.admit(frames)
                elif sock is self.pipe:
                    self.hear(msgpack.unpackb(frames[0]))
                elif frames[0][:1] == b"\x01":
                    self.heartbeat()
                    self.repeat()
        if self.run is not None:
            self.look_at(self.run)
        if self.run is None and self.unbegun and self.returning is None:
            self.begin()
        if time.monotonic() >= self.beat_at:
            self.heartbeat()
        self.exited = self.signals > 0 and self.run is None and (not self.kept or self.signals > 2)

    def admit(self, frames: list[bytes]) -> None:
        sender, _, version, request, _, _, _, _, public = frames
        assert self.key is not None
        admitted = z85.encode(public).decode() == self.key["server"]
        status = [b"200", b"OK", b"broker"] if admitted else [b"400", b"not the broker", b""]
        self.zap.send_multipart([sender, b"", version, request, *status, b""])

    def stop(self, *_: object) -> None:
        self.signals += 1
        if self.signals == 1 and self.session is not None:
            self.give_back()
            self.heartbeat()
        elif self.run is not None and self.signals == 2:
            self.run = self.run._replace(ending="interrupted")
            self.kill(self.run)


def waiting(sock: zmq.Socket[bytes]) -> Iterator[list[bytes]]:
    with contextlib.suppress(zmq.Again):
        while True:
            yield sock.recv_multipart(zmq.NOBLOCK)


def read_key(file: str) -> dict[str, str]:
    lines = (line.partition(":") for line in Path(file).read_text().splitlines() if not line.startswith("#"))
    return {word.strip(): value.strip() for word, _, value in lines}


def main() -> None:
    worker = Worker(*sys.argv[1:4], sys.argv[4] if len(sys.argv) > 4 else None)
    poller = zmq.Poller()
    for sock in (worker.zap, worker.pipe, worker.reports):
        poller.register(sock, zmq.POLLIN)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))  # what comes in the middle of a turn waits for the next
    print("plain_worker ready", sys.argv[1], flush=True)
    while not worker.exited:
        while told:
            told.pop()
            worker.stop()
        worker.turn()
        poller.poll(TICK_MS)
    worker.context.destroy()


if __name__ == "__main__":
    main()
