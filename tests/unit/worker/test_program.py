"""zworker as a program, with a test in the broker's place."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from zjobs.messages import codec, values
from zjobs.messages.dispatch import (
    REPORTS,
    Ack,
    CancelRun,
    DispatchedJob,
    Ended,
    Heartbeat,
    Jobs,
    Output,
    Progress,
    Reports,
    Returned,
    StartSession,
    TakeOver,
)
from zjobs.messages.records import BrokerName
from zjobs.messages.states import FailReason, Outcome
from zjobs.worker import cli, service
from zjobs.worker.files import worker_lock

LIMIT_MS = 20_000
TASKS = """
from zjobs.worker.tasks import Context, task
@task
def wait(fifo: str):
    with open(fifo) as file:
        return file.read()
@task
def pid():
    import os
    return os.getpid()
@task(grace=0)
def graceless(fifo: str):
    wait(fifo)
@task
def talk(job: Context, fifo: str):
    print("before")
    job.progress(0.5, "half")
    wait(fifo)
    print("after")
"""


class Broker:
    """The broker's two sockets, and the numbers of one session."""

    def __init__(self, context: zmq.Context[Any], pipe: str, reports: str) -> None:
        self.push, self.sub = context.socket(zmq.PUSH), context.socket(zmq.SUB)
        self.printed = b""
        self.push.immediate = 1
        self.push.sndtimeo = self.sub.rcvtimeo = LIMIT_MS
        self.sub.subscribe(b"")
        self.push.connect(pipe)
        self.sub.connect(reports)

    def send(self, message: Any) -> None:
        self.push.send(codec.encode(message))

    def hear(self, kind: type, condition: Callable[[Any], Any] = lambda message: True) -> Any:
        """The next message of a kind for which the condition holds."""
        while True:
            message = codec.decode(self.sub.recv(), REPORTS)
            if isinstance(message, kind) and condition(message):
                return message

    def session(self, name: str) -> Heartbeat:
        heartbeat = self.hear(Heartbeat, lambda heartbeat: heartbeat.session is None)
        self.send(StartSession(heartbeat.incarnation, name, BrokerName("h", "f", "j"), 1 << 20, 1 << 20))
        heard: Heartbeat = self.hear(Heartbeat, lambda heartbeat: heartbeat.session == name)
        return heard

    def job(self, session: str, delivery: int, name: str, *data: Any, limit_ms: int | None = None) -> None:
        body = values.pack_value(data[0]) if data else None
        self.send(Jobs(session, delivery, (DispatchedJob(100 + delivery, name, body, 1, limit_ms),)))

    def ended(self, delivery: int) -> Any:
        """The end of job number n."""
        ends: list[Any] = []

        def told(message: Reports) -> bool:
            of_n = [report for report in message.reports if report.delivery == delivery]
            ends.extend(report for report in of_n if isinstance(report, Ended))
            self.printed += b"".join(report.body for report in of_n if isinstance(report, Output))
            return bool(ends)

        self.hear(Reports, told)
        return ends[0]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """An address of its own, and a directory with a FIFO and tasks."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(TASKS)
    os.mkfifo(tmp_path / "fifo")
    return f"ipc://{tmp_path}/w.pipe", f"ipc://{tmp_path}/w.reports"


@pytest.fixture
def start(place: tuple[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts zworker and waits for its ready line."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        program = [sys.executable, "-m", "zjobs.worker", "--pipe", place[0], "--time-scale", "0", "--tasks", "mine"]
        process = subprocess.Popen([*program, *options], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == f"zworker ready {place[0]} {place[1]}\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def broker(place: tuple[str, str]) -> Iterator[Broker]:
    context: zmq.Context[Any] = zmq.Context()
    it = Broker(context, *place)
    yield it
    context.destroy(linger=0)


def test_jobs_to_the_end(start: Callable[..., subprocess.Popen[str]], broker: Broker) -> None:
    """A session, a job, its report, the acknowledgement, and an exit in order; junk in between is dropped."""
    worker = start()
    broker.session("s")
    broker.push.send(b"junk")
    broker.job("s", 1, "reverse", "example")
    ended = broker.hear(Reports).reports[0]
    assert values.unpack_value(ended.result) == "elpmaxe"
    broker.send(Ack("s", 1, 2))
    worker.terminate()
    assert broker.hear(Reports).reports == (Returned(2, True),)
    broker.send(Ack("s", 2, 2))
    assert worker.wait(20) == 0
    assert worker.stdout is not None and worker.stdout.read() == ""


def test_stop_without_broker(start: Callable[..., subprocess.Popen[str]]) -> None:
    """Ctrl+C on a worker that nobody serves ends it at once, in order."""
    worker = start()
    worker.send_signal(signal.SIGINT)
    assert worker.wait(20) == 0


def test_second_signal_interrupts(
    start: Callable[..., subprocess.Popen[str]], broker: Broker, place: tuple[str, str]
) -> None:
    """The first signal lets the running job go on, the second kills it; it is reported as interrupted."""
    worker = start()
    broker.session("s")
    broker.job("s", 1, "wait", "fifo")
    with open("fifo", "w"):
        worker.terminate()
        assert broker.hear(Reports).reports == (Returned(2, True),)
        worker.terminate()
        reports = broker.hear(Reports, lambda message: len(message.reports) + message.first > 2).reports
        assert reports[-1].outcome is Outcome.INTERRUPTED
        broker.send(Ack("s", 2, 2))
        assert worker.wait(20) == 0


def test_killed_worker_is_replaced(start: Callable[..., subprocess.Popen[str]], broker: Broker) -> None:
    """After kill -9 the next worker starts at the same address, and the task of the first is gone by then."""
    worker = start()
    first = broker.session("s")
    broker.job("s", 1, "wait", "fifo")
    fifo = os.open("fifo", os.O_WRONLY)
    worker.kill()
    start()
    with pytest.raises(BrokenPipeError):  # nobody reads: the task that did is dead
        os.write(fifo, b"x")
    os.close(fifo)
    assert broker.session("t").incarnation != first.incarnation


def test_task_dies_with_its_worker(start: Callable[..., subprocess.Popen[str]], broker: Broker) -> None:
    """After kill -9 of the worker its task ends by itself, be there a next worker or not."""
    worker = start()
    broker.session("s")
    broker.job("s", 1, "wait", "fifo")
    fifo = os.open("fifo", os.O_WRONLY)
    worker.kill()
    watch = select.poll()
    watch.register(fifo, 0)  # an error is all that can come: the only reader is gone
    assert watch.poll(LIMIT_MS) == [(fifo, select.POLLERR)]
    os.close(fifo)


def test_every_subscription_is_heard(place: tuple[str, str]) -> None:
    """A broker that comes back is heard although its old connection still has the same subscription."""
    with zmq.Context() as context, service._bound(context, zmq.XPUB, place[1]) as reports:
        reports.rcvtimeo = LIMIT_MS
        with context.socket(zmq.SUB) as first, context.socket(zmq.SUB) as second:
            for subscriber in (first, second):
                subscriber.subscribe(b"")
                subscriber.connect(place[1])
                assert reports.recv() == b"\x01"


def test_cancel(start: Callable[..., subprocess.Popen[str]], broker: Broker) -> None:
    """A cancelled task ends, the task process stays the same, and the next job runs in it."""
    start()
    broker.session("s")
    broker.job("s", 1, "pid")
    before = broker.ended(1)
    broker.job("s", 2, "wait", "fifo")
    with open("fifo", "w"):
        broker.send(CancelRun("s", 2))
        broker.send(CancelRun("s", 2))
        assert broker.ended(2).outcome is Outcome.CANCELLED
    broker.job("s", 3, "pid")
    after = broker.ended(3)
    assert after.outcome is Outcome.COMPLETED and after.result == before.result


def test_time_limit_without_grace(start: Callable[..., subprocess.Popen[str]], broker: Broker) -> None:
    """With a grace time of 0 the process is killed, the job has failed as timed_out, and a new process goes on."""
    start()
    broker.session("s")
    broker.job("s", 1, "pid")
    before = broker.ended(1)
    broker.job("s", 2, "graceless", "fifo", limit_ms=50)
    end = broker.ended(2)
    assert (end.reason, end.message) == (FailReason.TIMED_OUT, "it ran longer than its time limit of 0.05 s")
    broker.job("s", 3, "pid")
    after = broker.ended(3)
    assert after.outcome is Outcome.COMPLETED and after.result != before.result


def test_news_of_a_job(start: Callable[..., subprocess.Popen[str]], broker: Broker) -> None:
    """While a job runs the broker hears what it reports and prints; its end has the rest of the output."""
    start()
    broker.session("s")
    broker.job("s", 1, "talk", "fifo")
    with open("fifo", "w"):
        news = broker.hear(Progress)
    assert news._replace(round=0) == Progress("s", 1, 101, 2, 0.5, "half")
    end = broker.ended(1)
    assert (end.outcome, end.output_bytes, end.output_file) == (Outcome.COMPLETED, 13, None)
    assert broker.printed + end.output == b"before\nafter\n"


def test_complete_logs(start: Callable[..., subprocess.Popen[str]], broker: Broker, tmp_path: Path) -> None:
    """Each run has a file with all that it printed, which its end names, also when it was cancelled."""
    start("--logs", "logs")
    broker.session("s")
    for delivery in (1, 2):
        broker.job("s", delivery, "talk", "fifo")
        with open("fifo", "w"):
            broker.hear(Progress)
        end = broker.ended(delivery)
        assert end.output_file == str(tmp_path / f"logs/j/job-{100 + delivery}-run-1.log")
        assert Path(end.output_file).read_bytes() == b"before\nafter\n"
    broker.job("s", 3, "pid")
    assert broker.ended(3).output_file is None
    broker.job("s", 4, "talk", "fifo")
    with open("fifo", "w"):
        broker.hear(Progress)
        broker.send(CancelRun("s", 4))
        end = broker.ended(4)
    assert end.outcome is Outcome.CANCELLED and Path(end.output_file).read_bytes() == b"before\n"


def test_logs_that_cannot_be_written(start: Callable[..., subprocess.Popen[str]], broker: Broker) -> None:
    """The job goes on, and the broker has its output."""
    start("--logs", "logs")
    Path("logs/j").write_text("in the way")
    broker.session("s")
    broker.job("s", 1, "talk", "fifo")
    with open("fifo", "w"):
        broker.hear(Progress)
    end = broker.ended(1)
    assert (end.outcome, end.output_file, end.output_bytes) == (Outcome.COMPLETED, None, 13)
    assert broker.printed + end.output == b"before\nafter\n"


def test_slow_import_is_said(
    place: tuple[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that takes long to import is waited for, and people are told what is being waited for."""
    monkeypatch.setattr(service, "SLOW_START_MS", 0)
    Path("slow.py").write_text("import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\nsignal.pause()\n")
    assert cli.main(["--pipe", place[0], "--tasks", "slow"]) == 0
    assert caplog.text.count("the task process is still importing slow") == 1


@pytest.mark.parametrize("what", ["x", "word\\n", "\\n"], ids=["one line", "lines", "empty lines"])
def test_output_outside_of_jobs_does_not_grow_the_log(place: tuple[str, str], what: str) -> None:
    """Of a mebibyte the log has the beginning, about 16 KiB with all that it adds to each line, and says so."""
    prints = f"import os, signal, sys\nsys.stdout.write('{what}' * ((1 << 20) // len('{what}')))\nsys.stdout.flush()\n"
    Path("loud.py").write_text(prints + "os.kill(os.getppid(), signal.SIGTERM)\nsignal.pause()\n")
    argv = [sys.executable, "-m", "zjobs.worker", "--pipe", place[0], "--tasks", "loud"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and len(ended.stderr) < 20 << 10
    told = ended.stderr.splitlines()
    assert len([line for line in told if line.endswith("… and more, which is not shown for a minute")]) == 1


def test_take_over(start: Callable[..., subprocess.Popen[str]], broker: Broker) -> None:
    """The running job is killed, and the worker goes on as a new incarnation, with a task process of another mark."""
    start()
    first = broker.session("s")
    lock_file = next(Path().glob("zjobs/worker-*.lock"))
    line = lock_file.read_text()
    broker.job("s", 1, "wait", "fifo")
    with open("fifo", "w"):
        broker.send(TakeOver(first.incarnation))
        second = broker.session("t")
    assert second.incarnation != first.incarnation
    broker.job("t", 1, "reverse", "ab")
    assert values.unpack_value(broker.hear(Reports).reports[0].result) == "ba"
    assert lock_file.read_text() != line


def test_second_worker_is_refused(
    start: Callable[..., subprocess.Popen[str]], place: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Another worker at the same address exits with 75 and names the first."""
    worker = start()
    assert cli.main(["--pipe", place[0]]) == 75
    assert f"a worker (pid {worker.pid}) already serves {place[0]}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        (["--pip", "x"], 64, "did you mean --pipe?"),
        (["--pipe", "nonsense"], 64, "is not an endpoint"),
        (["--pipe", "tcp://127.0.0.1:*"], 64, "the port must be a number"),
        (["--pipe", "tcp://127.0.0.1:65535"], 64, "a port is a number"),
        (["--pipe", "ipc:///x", "--reports", "ipc:///x"], 64, "must differ"),
        (["--time-scale", "-1"], 64, "must be a number, 0 or more"),
        (["--time-scale", "nan"], 64, "must be a number, 0 or more"),
        (["--log-level", "loud"], 64, "--log-level: 'loud' is not one of debug, info, warning, error"),
        (["--pipe", "ipc:///nonexistent/folder/w"], 73, "cannot listen at ipc:///nonexistent/folder/w: No such file"),
    ],
)
@pytest.mark.usefixtures("place")
def test_refusals(argv: list[str], code: int, sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong ends with its exit code and one sentence on stderr, nothing on stdout."""
    if argv[0] in ("--time-scale", "--log-level"):
        argv = [f"{argv[0]}={argv[1]}"]
    assert cli.main(argv) == code
    captured = capfd.readouterr()
    assert captured.out == "" and sentence in captured.err and "Traceback" not in captured.err


def test_unloadable_tasks(place: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    """Tasks that cannot be loaded end the worker with 78 and a sentence that names the module."""
    assert cli.main(["--pipe", place[0], "--tasks", "nonexistent"]) == 78
    assert "zworker: --tasks nonexistent: ModuleNotFoundError" in capfd.readouterr().err
    worker_lock.acquire(place[0]).lock.release()  # it is free again


def test_address_in_use(place: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    """An address that another program has is named, with exit code 69."""
    with zmq.Context() as context, context.socket(zmq.PULL) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        assert cli.main(["--pipe", place[0], "--reports", f"tcp://127.0.0.1:{port}"]) == 69
    assert f"cannot listen at tcp://127.0.0.1:{port}: it is in use by another program" in capfd.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Both go to stdout and exit with 0; the help has the exit codes and what may run twice."""
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as exit_info:
            cli.main([option])
        assert not exit_info.value.code
    out = capsys.readouterr().out
    assert "max_reruns" in out and "75   another worker" in out and "zworker 0." in out
