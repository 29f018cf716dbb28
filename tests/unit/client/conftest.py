"""A scripted broker on real sockets: enough of the protocol for the client's tests, and faults on request."""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pytest
import zmq

from zjobs.broker.requests.filters import text_fits
from zjobs.client import Client
from zjobs.client.__main__ import main
from zjobs.messages import codec, values
from zjobs.messages.events import ALL_JOBS_TOPIC, JobEvent, Listening, ServiceEvent, job_topic
from zjobs.messages.records import Attempt, JobStatus, Limits, Missing, Paused, QueuePause, TaskType, WorkerInfo
from zjobs.messages.requests import ops
from zjobs.messages.requests.changes import (
    Cancel,
    CancelReply,
    Edit,
    EditReply,
    Forget,
    ForgetReply,
    NewJob,
    Pause,
    PauseReply,
    Resume,
    ResumeReply,
    Retry,
    RetryReply,
    Submit,
    SubmitReply,
)
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import (
    Data,
    DataReply,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    List,
    ListReply,
    Log,
    LogReply,
    Queue,
    QueueReply,
    Result,
    ResultReply,
    Schema,
    SchemaReply,
    Show,
    ShowReply,
    Status,
    StatusReply,
    Types,
    TypesReply,
    Wait,
    WaitReply,
)
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome, WorkerState

QUEUED, COMPLETED = JobState.QUEUED, JobState.COMPLETED
TEXTS = ("name", "comment", "owner", "submitter")  # by which `list` selects


class FakeBroker:
    """Answers in a thread of its own. What it knows (`jobs`, `results`, …) may be changed by tests between requests.

    `script`: functions called with the next requests, one each, in place of the usual answer; what they return
    is the reply, None drops it. Questions for a schema, which clients ask by themselves, are not among those.
    """

    def __init__(self) -> None:
        self.journal = "journal-1"
        self.limits = Limits()
        self.worker = WorkerState.READY
        self.checked = True
        self.schemas: dict[str, Any] = {}  # by type; those of the same digest are the same
        self.jobs: dict[int, JobStatus] = {}
        self.data: dict[int, bytes] = {}
        self.results: dict[int, bytes] = {}
        self.keys: dict[str, SubmitReply] = {}
        self.logs: dict[int, bytes] = {}
        self.log_kept_bytes = 64 << 10
        self.paused: Paused | None = None
        self.dispatched: list[int] = []
        self.change = 0
        self.requests: list[Any] = []
        self.frames: list[bytes] = []
        self.script: list[Callable[[Any], Any]] = []
        self.subscribed: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.address = self.events = "tcp://127.0.0.1:*"
        self.start()

    # --- what tests do ---------------------------------------------------------------------------------------

    def add(self, job_id: int, state: JobState = QUEUED, result: Any = None, **fields: Any) -> JobStatus:
        """A job as the broker has it from now on; with its event when it was there before."""
        known = self.jobs.get(job_id)
        version = known.version + 1 if known else 0
        job = JobStatus(job_id, "reverse", state, version, 0, 1_700_000_000_000, 0, 0)._replace(**fields)
        self.jobs[job_id] = job
        if state is COMPLETED:
            self.results[job_id] = values.pack_value(result)
        if known is not None:
            self.emit(job)
        return job

    def emit(self, job: JobStatus) -> None:
        self._todo.put(lambda: self._publish(job))

    def emit_change(self, job: JobStatus, lost: bool = False) -> None:
        """A journaled change for those who listen to all jobs; lost: it never reaches them."""
        self.jobs[job.id] = job
        self.change += 1
        body = codec.encode(JobEvent(self.journal, job, self.change, self.worker, self.paused is not None))
        if not lost:
            self._todo.put(lambda: self._xpub.send_multipart([ALL_JOBS_TOPIC, body]))

    def emit_service(self, worker: WorkerState, paused: Paused | None, journal: str | None = None) -> None:
        """The worker or the pause changes, for those who listen to all jobs."""
        self.worker, self.paused = worker, paused
        body = codec.encode(ServiceEvent(journal or self.journal, worker, paused))
        self._todo.put(lambda: self._xpub.send_multipart([ALL_JOBS_TOPIC, body]))

    def asked(self, kind: type) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]

    def wait_for(self, kind: type, count: int) -> None:
        """Returns when so many requests of this kind have come, and what is changed now changes no reply to them."""
        deadline = monotonic() + 30
        while len(self.asked(kind)) < count:
            assert monotonic() < deadline, f"no {kind.__name__}"
            time.sleep(0.002)

    def start(self) -> None:
        """Binds, to the same ports as before a `stop`."""
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting: list[tuple[list[bytes], Any, float]] = []
        self._ending = threading.Event()
        bound = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(bound,))
        self._thread.start()
        assert bound.wait(10)

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    # --- the thread ------------------------------------------------------------------------------------------

    def _run(self, bound: threading.Event) -> None:
        with contextlib.ExitStack() as stack:
            context = stack.enter_context(zmq.Context())
            self._router = stack.enter_context(context.socket(zmq.ROUTER))
            self._xpub = stack.enter_context(context.socket(zmq.XPUB))
            self._xpub.setsockopt(zmq.XPUB_VERBOSE, 1)
            self._router.setsockopt(zmq.LINGER, 1000)  # the last reply arrives before the connection ends
            self._xpub.setsockopt(zmq.LINGER, 0)
            self._router.bind(self.address)
            self._xpub.bind(self.events)
            self.address = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
            self.events = self._xpub.getsockopt_string(zmq.LAST_ENDPOINT)
            bound.set()
            while not self._ending.is_set():
                self._turn()

    def _turn(self) -> None:
        while not self._todo.empty():
            self._todo.get()()
        if self._router.poll(5):
            *envelope, frame = self._router.recv_multipart()
            self.frames.append(frame)
            request = codec.decode(frame, ops.REQUESTS)
            waits = isinstance(request, (Result, Wait)) and request.wait_ms and not self._ended(request)
            if waits and not self.script:
                self._waiting.append((envelope, request, monotonic() + request.wait_ms / 1000))
            reply = None if waits and not self.script else self._scripted(request)
            self.requests.append(request)  # not before the reply is made: see wait_for
            if reply is not None:
                self._send(envelope, reply)
        still = []
        for envelope, request, until in self._waiting:
            if self._ended(request) or monotonic() >= until:
                self._send(envelope, self.answer(request))
            else:
                still.append((envelope, request, until))
        self._waiting = still
        while self._xpub.poll(0):
            message = self._xpub.recv()
            if message == b"\x01" + ALL_JOBS_TOPIC:
                listening = Listening(self.journal, self.change, self.worker, self.paused)
                self._xpub.send_multipart([message[1:], codec.encode(listening)])
            if message.startswith(b"\x01job."):
                job = self.jobs.get(int(message.split(b".")[1]))
                if job is not None:
                    self._publish(job)
            self.subscribed.put(message)

    def _send(self, envelope: list[bytes], reply: Any) -> None:
        self._router.send_multipart([*envelope, reply if isinstance(reply, bytes) else codec.encode(reply)])

    def _ended(self, request: Any) -> bool:
        """Whether a waiting request has something to be answered with."""
        ids = request.ids if isinstance(request, Wait) else (request.id,)
        return any(job_id not in self.jobs or self.jobs[job_id].state.final for job_id in ids)

    def _publish(self, job: JobStatus) -> None:
        without_note = job._replace(note=None)  # as all events
        event = JobEvent(self.journal, without_note, None, self.worker, self.paused is not None)
        self._xpub.send_multipart([job_topic(job.id), codec.encode(event)])

    def _scripted(self, request: Any) -> Any:
        scripted = self.script and not isinstance(request, Schema)
        return self.script.pop(0)(request) if scripted else self.answer(request)

    def answer(self, request: Any) -> Any:
        """The usual answer."""
        return getattr(self, "_" + type(request).__name__.lower())(request)

    def _hello(self, _: Hello) -> Any:
        return HelloReply(self.journal, "fake 1", self.events, self.limits)

    def digest(self, type: str) -> str:
        schema = self.schemas.get(type)
        return "" if schema is None else f"{zlib.crc32(json.dumps(schema).encode()):016x}"

    def _schema(self, request: Schema) -> Any:
        schema = self.schemas.get(request.type)
        packed = None if schema is None else json.dumps(schema).encode()
        return SchemaReply(self.journal, self.digest(request.type), packed)

    def _submit(self, request: Submit) -> Any:
        if any(each.digest != self.digest(each.type) for each in request.schemas):
            return Error(ErrorCode.SCHEMA_CHANGED, "the parameters have changed")
        if request.request_key not in self.keys:
            first = max(self.jobs, default=0) + 1
            for job_id, job in enumerate(request.jobs, start=first):
                new = JobStatus(job_id, job.type, QUEUED, 0, 0, 1, 0, 0, ahead=0, priority=job.priority)
                self.jobs[job_id] = new._replace(name=job.name, submitter=request.submitter)
            self.keys[request.request_key] = SubmitReply(self.journal, first, len(request.jobs), self.checked)
        return self.keys[request.request_key]

    def _status(self, request: Status) -> Any:
        jobs = tuple(self.jobs[job_id] for job_id in request.ids if job_id in self.jobs)
        missing = tuple(Missing(job_id, ErrorCode.NOT_FOUND) for job_id in request.ids if job_id not in self.jobs)
        return StatusReply(self.journal, jobs, missing, len(self.jobs), self.worker, self.paused is not None)

    def _queue(self, request: Queue) -> Any:
        going_on = [job for job in self.jobs.values() if not job.state.final]
        jobs = [job for job in going_on if job.ready_at is None]
        delayed = tuple(job for job in going_on if job.ready_at is not None)[: request.delayed_limit]
        around = (len(jobs), len(self.dispatched), self.worker, self.paused is not None, self.change)
        return QueueReply(self.journal, tuple(jobs[: request.limit]), *around, delayed)

    def _result(self, request: Result) -> Any:
        job = self.jobs.get(request.id)
        if job is None:
            return Error(ErrorCode.NOT_FOUND, f"there is no job {request.id}")
        if not job.state.final and not request.wait_ms:
            return Error(ErrorCode.NOT_FINISHED, f"job {request.id} has not ended yet")
        whole = self.results.get(request.id, b"")
        piece = whole[request.offset : request.offset + (256 << 10)]
        status = None if job.state is COMPLETED else job
        return ResultReply(self.journal, job.id, job.state, len(whole), request.offset, piece, job=status)

    def _data(self, request: Data) -> Any:
        if request.id not in self.jobs:
            return Error(ErrorCode.NOT_FOUND, f"there is no job {request.id}")
        whole = self.data.get(request.id, b"")
        piece = whole[request.offset : request.offset + (256 << 10)]
        return DataReply(self.journal, request.id, len(whole), request.offset, piece)

    def _wait(self, request: Wait) -> Any:
        jobs = tuple(self.jobs[n] for n in request.ids if n in self.jobs and self.jobs[n].state.final)
        missing = tuple(Missing(n, ErrorCode.NOT_FOUND) for n in request.ids if n not in self.jobs)
        return WaitReply(self.journal, jobs, missing)

    def _show(self, request: Show) -> Any:
        attempt = Attempt(1, Outcome.FAILED, 1, 2, FailReason.RAISED, "ValueError: odd\x1b[2J", "Traceback\n  line\n")
        return ShowReply(self.journal, self.jobs[request.id], "key-1", 9, None, 90_000, 3, (18, 19), (attempt,), 2)

    def _found(self, ids: tuple[int, ...]) -> tuple[list[JobStatus], tuple[Missing, ...]]:
        found = [self.jobs[job_id] for job_id in ids if job_id in self.jobs]
        return found, tuple(Missing(job_id, ErrorCode.EXPIRED) for job_id in ids if job_id not in self.jobs)

    def _cancel(self, request: Cancel) -> Any:
        """Queued jobs are cancelled, running ones are cancelling until a test ends them."""
        found, missing = self._found(request.ids)
        for job in found:
            if job.state is QUEUED:
                self.add(job.id, JobState.CANCELLED)
            elif job.state is JobState.IN_PROGRESS:
                self.add(job.id, job.state, cancelling=True)
        return CancelReply(self.journal, tuple(self.jobs[job.id] for job in found), missing)

    def _edit(self, request: Edit) -> Any:
        jobs, missing = self._found(request.ids)
        late = tuple(job.id for job in jobs if job.state is not QUEUED)
        return EditReply(self.journal, tuple(job.id for job in jobs if job.id not in late), late, (), missing)

    def _retry(self, request: Retry) -> Any:
        if len(request.ids) > self.limits.request_jobs:
            return Error(ErrorCode.TOO_LARGE, "too many")
        jobs = tuple(NewJob(self.jobs[job_id].type) for job_id in request.ids)
        return RetryReply(*self._submit(Submit(request.request_key, jobs))[:3])

    def _pause(self, request: Pause) -> Any:
        self.paused = Paused(1_700_000_000_000, request.reason)
        running = next((n for n in self.dispatched if self.jobs[n].state is JobState.IN_PROGRESS), None)
        may_start = tuple(n for n in self.dispatched if n != running)
        pauses = (QueuePause("", request.reason, self.paused.at),)
        return PauseReply(self.journal, self.paused, running, may_start, pauses)

    def _resume(self, _: Resume) -> Any:
        was, self.paused = self.paused, None
        return ResumeReply(self.journal, was)

    def _log(self, request: Log) -> Any:
        whole, job = self.logs.get(request.id, b""), self.jobs.get(request.id)
        if job is None:
            return Error(ErrorCode.NOT_FOUND, f"there is no job {request.id}")
        offset = max(request.offset, len(whole) - self.log_kept_bytes)
        body = whole[offset : offset + (64 << 10)]
        return LogReply(self.journal, job.id, job.state, len(whole), offset, body, job.run)

    def _list(self, request: List) -> Any:
        """Pages end where ids are divisible by 10, whatever was asked for; some are empty."""
        top = min(request.before or 1 << 62, max(self.jobs, default=0) + 1)
        bottom = (top - 1) // 10 * 10
        jobs = [self.jobs[job_id] for job_id in range(top - 1, max(bottom - 1, 0), -1) if job_id in self.jobs]
        wanted = [
            job
            for job in jobs
            if request.state in (None, job.state)
            and request.type in (None, job.type)
            and all(text_fits(getattr(request, field), getattr(job, field)) for field in TEXTS)
        ]
        return ListReply(self.journal, tuple(wanted[: request.limit]), bottom if bottom > 0 else None)

    def _forget(self, request: Forget) -> Any:
        found, missing = self._found(request.ids)
        kept = tuple(job.id for job in found if not job.state.final)
        forgotten = tuple(job.id for job in found if job.state.final)
        for job_id in forgotten:
            del self.jobs[job_id]
        return ForgetReply(self.journal, forgotten, kept, missing)

    def _types(self, _: Types) -> Any:
        reverse = TaskType("reverse", "the text backwards", schema_digest=self.digest("reverse"))
        return TypesReply(self.journal, self.checked, (reverse,))

    def _info(self, _: Info) -> Any:
        worker = WorkerInfo(WorkerState.READY, 1500, "host", 12, 17, "a note")
        counts = (1, 5, 1, 2, 3, 4)
        versions = ("fake 1", "4", "3", "3.11")
        return InfoReply(
            self.journal, *versions, 11, 61000, "/j", 2048, None, self.paused, worker, *counts, self.limits
        )


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    fake = FakeBroker()
    yield fake
    fake.stop()


@pytest.fixture
def client(broker: FakeBroker) -> Iterator[Client]:
    with Client(broker.address, timeout=10) as client:
        yield client


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Ran]:
    """Runs zclient with these words; `stdin` is what it can read."""
    monkeypatch.setenv("ZJOBS_BROKER", broker.address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*argv: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(list(argv))
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def start(broker: FakeBroker) -> Iterator[Callable[..., Any]]:
    """Starts zclient with these words; what still runs at the end of the test is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*argv: str, program: tuple[str, ...] = ("-m", "zjobs.client"), **options: Any) -> Any:
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            [sys.executable, *program, *argv],
            **{**streams, **options},
            text=True,
            env={**os.environ, "ZJOBS_BROKER": broker.address},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
