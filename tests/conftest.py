"""Real programs for the process and contract tests: started, waited for, and ended by their pids.

Everything a test starts carries a variable of that test in its environment, so what it leaves behind is found.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

import tests.examples  # noqa: F401 - registers the profile `long`
from tests.forge import Forge, Process, forge_of
from zjobs.client import Client
from zjobs.messages.states import JobState, WorkerState

# Whoever starts the tests in the background of a shell without job control has SIGINT ignored, and so would every
# program that the tests start; a handler here means the default there.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


HARD_LIMIT_S = 120  # for one test, whatever it waits for
PATIENCE_S = 20.0  # for one condition
POLL_S = 0.005
MARK = "ZJOBS_TEST"
LONG = ("soak", "faults", "process", "hostile", "security", "contract", "gateway", "sim")
HERE = Path(__file__).parent
OWN_TASKS = HERE / "process/own_tasks.py"
FATAL = HERE / "process/fatal.py"

Condition = Callable[[], Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders whose files take long come first, so that no process has much left when the others are done."""
    last = len(LONG)
    items.sort(key=lambda item: next((n for n, name in enumerate(LONG) if f"tests/{name}/" in item.nodeid), last))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """No test hangs: one that takes too long fails, with the stack of where it was."""

    def expired(*_: object) -> None:
        pytest.fail(f"not done after {HARD_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(HARD_LIMIT_S)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def wait_until(
    condition: Condition, what: str, explain: Callable[[], str] = str, deadline_s: float = PATIENCE_S
) -> Any:
    """Waits until `condition()` is true and returns its value; fails with what `explain()` says."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {deadline_s:g} s\n{explain()}")
        time.sleep(POLL_S)
    return value


class Program:
    """A program that was started. `log` is its stderr, and what its tasks print."""

    def __init__(self, name: str, process: Process | subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log_file = log
        self.process = process
        self.pid = self.process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-20_000:]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def ready(self) -> list[str]:
        """The words of the ready line after `ready`; fails when there is none."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline().decode() if readable else ""
        if not line.startswith(f"{self.name} ready "):
            pytest.fail(f"{self.name} is not ready, it said {line!r}\n{self.log}")
        return line.split()[2:]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and its end."""
        self.process.kill()
        self.ended()

    def ended(self) -> int:
        """Waits for its end; returns the exit code (negative: the signal)."""
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} does not end\n{self.log}")
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def insist(self) -> bool:
        """Asks it to stop, again and again, until it has; kill -9 is the last resort (then False)."""
        deadline = time.monotonic() + PATIENCE_S
        while self.alive and time.monotonic() < deadline:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5)
        in_order = not self.alive
        self.process.kill()
        self.ended()
        return in_order


class Service:
    """A broker and a worker in a folder of their own; more of each can be started beside them.

    The frontend is ipc, so that a broker can be started again at the same place, unless `listen` says otherwise.
    """

    def __init__(self, place: Path, mark: str, listen: str | None = None) -> None:
        self.place = place
        self.mark = mark
        self.listen = listen or f"ipc://{place}/f"
        self.pipe, self.reports = f"ipc://{place}/f.pipe", f"ipc://{place}/f.reports"
        self.journal = str(place / "journal.db")
        self.runs_file = place / "runs"
        self.programs: list[Program] = []
        self.clients: list[Client] = []
        self.sockets: list[zmq.Socket[bytes]] = []
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.within: dict[str, list[str]] = {}  # what starts a program of this package somewhere else
        self.broker: Program
        self.worker: Program
        self.endpoint = self.listen
        for folder in ("home", "work", "tmp"):
            (place / folder).mkdir()
        shutil.copy(OWN_TASKS, place / "work")
        self.env = {
            **os.environ,
            MARK: mark,
            "HOME": str(place / "home"),
            "XDG_STATE_HOME": str(place / "home/state"),
            "TMPDIR": str(place / "tmp"),
            "RUNS_FILE": str(self.runs_file),
            "ZJOBS_BROKER": self.endpoint,
        }

    # --- programs ----------------------------------------------------------------------------------------

    def start(
        self, package: str, *options: str, fatal: tuple[object, ...] = (), through: tuple[str, ...] = ()
    ) -> Program:
        """Starts zbroker or zworker. fatal: where `fatal.py` shall end it. through: a command that starts it."""
        how = [str(FATAL), package, *map(str, fatal)] if fatal else ["-m", f"zjobs.{package}"]
        before = [*self.within.get(package, []), *through]
        return self._start(f"z{package}", before, [*how, *options], forge_of(package))

    def start_script(self, name: str, path: Path, *words: str) -> Program:
        """Starts a Python file that prints a ready line as the programs do."""
        return self._start(name, [], [str(path), *words])

    def _start(self, name: str, before: list[str], words: list[str], forge: Forge | None = None) -> Program:
        log = self.place / f"{name}{len(self.programs)}.log"
        with log.open("wb") as stderr, open(os.devnull, "rb") as nothing:
            process = self._begin(words, (nothing.fileno(), subprocess.PIPE, stderr.fileno()), forge, before)
        program = Program(name, process, log)
        self.programs.append(program)
        return program

    def _begin(
        self, words: list[str], files: tuple[int, int, int], forge: Forge | None, before: list[str]
    ) -> Process | subprocess.Popen[bytes]:
        """Starts `python WORDS`, by a fork where nothing is against it: a variable that Python reads when it starts."""
        here = self.place / "work"
        fresh = any(name.startswith("PYTHON") and os.environ.get(name) != self.env[name] for name in self.env)
        if forge is not None and not before and not fresh:
            return forge.start(words, self.env, here, *files)
        stdin, stdout, stderr = files
        argv = [*before, sys.executable, *words]
        return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr, cwd=here, env=self.env)

    def start_broker(self, *options: str, journal: str | None = None, fatal: tuple[object, ...] = ()) -> Program:
        """Starts the broker (again) and waits until it takes requests."""
        own = ("--listen", self.listen, "--pipe", self.pipe, "--reports", self.reports)
        self.broker = self.start("broker", *own, "--journal", journal or self.journal, *options, fatal=fatal)
        (self.endpoint,) = self.broker.ready()
        self.env["ZJOBS_BROKER"] = self.endpoint
        return self.broker

    def start_worker(
        self,
        *options: str,
        time_scale: float = 0,
        tasks: bool = True,
        fatal: tuple[object, ...] = (),
        through: tuple[str, ...] = (),
    ) -> Program:
        """Starts the worker (again) and waits until it is ready."""
        own = ["--pipe", self.pipe, "--reports", self.reports, "--time-scale", str(time_scale)]
        own += ["--tasks", "own_tasks"] if tasks else []
        self.worker = self.start("worker", *own, *options, fatal=fatal, through=through)
        self.worker.ready()
        return self.worker

    def run(self, package: str, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end."""
        return self._run(["-m", f"zjobs.{package}", *words], forge_of(package), **how)

    def zclient(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        return self.run("client", *words, **how)

    def script(self, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a Python file to its end. It uses the library."""
        return self._run([str(path), *words], forge_of("client"))

    def _run(
        self, words: list[str], forge: Forge, stdin: str = "", stderr: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        with contextlib.ExitStack() as stack:
            given, out, errors = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
            given.write(stdin)
            given.seek(0)
            to = out if stderr == subprocess.STDOUT else errors
            process = self._begin(words, (given.fileno(), out.fileno(), to.fileno()), forge, [])
            try:
                code = process.wait(60)
            finally:
                process.kill()
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(words, code, out.read(), errors.read())

    # --- asking --------------------------------------------------------------------------------------------

    def client(self, timeout: float = 5.0) -> Client:
        client = Client(self.endpoint, timeout)
        self.clients.append(client)
        return client

    def dealer(self, unread: int = 1000) -> zmq.Socket[bytes]:
        """A DEALER connected to the frontend. unread: how many replies it takes in before they are read."""
        return self._connected(zmq.DEALER, self.endpoint, unread)

    def subscriber(self, *topics: bytes) -> zmq.Socket[bytes]:
        """A SUB socket connected to the events."""
        socket = self._connected(zmq.SUB, self.ask("hello")["events"])
        for topic in topics:
            socket.subscribe(topic)
        return socket

    def _connected(self, kind: int, endpoint: str, unread: int = 1000) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        socket.rcvhwm = unread
        self.sockets.append(socket)  # kept, so that it lives until the context ends it
        socket.linger = 0
        socket.rcvtimeo = int(PATIENCE_S * 1000)
        socket.connect(endpoint)
        return socket

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The reply to one request, from a connection of its own."""
        with self.dealer() as socket:
            socket.send_multipart([b"", msgpack.packb({"v": 1, "op": op, **fields})])
            reply: dict[str, Any] = msgpack.unpackb(socket.recv_multipart()[-1])
        return reply

    # --- waiting -------------------------------------------------------------------------------------------

    def until(self, condition: Condition, what: str) -> Any:
        return wait_until(condition, what, self.logs)

    def until_state(self, job_id: int, state: JobState | str) -> None:
        client = self.client()
        self.until(lambda: client.job(job_id).status().state == state, f"job {job_id} is {state}")

    def until_worker(self, state: WorkerState | str) -> None:
        client = self.client()
        self.until(lambda: client.info().worker.state == state, f"the worker is {state}")

    def logs(self) -> str:
        runs = self.runs_file.read_text()[-4000:] if self.runs_file.exists() else ""
        return "\n".join([f"--- {p.name} {p.pid}\n{p.log}" for p in self.programs] + [f"--- runs\n{runs}"])

    # --- what the tasks of own_tasks.py did ------------------------------------------------------------------

    def runs(self, *events: str) -> list[str]:
        """The names that the runs noted with one of these events (start, end, overlap), in order."""
        lines = self.runs_file.read_text().splitlines() if self.runs_file.exists() else []
        return [name for event, name in (line.split(" ", 1) for line in lines) if event in events]

    def open_gate(self, name: str) -> None:
        """Lets the task that waits at the gate `name` go on."""
        (self.place / "work" / f"gate-{name}").touch()

    # --- the end -------------------------------------------------------------------------------------------

    def marked(self) -> list[int]:
        """The pids of all processes that were started by this test, directly or not."""
        mark = f"{MARK}={self.mark}".encode()
        marked = {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in _environment(pid)}
        return sorted(marked | {program.pid for program in self.programs if program.alive})  # a fork has no mark

    def end(self) -> list[str]:
        """Ends everything; returns what is wrong with how it ended."""
        for client in self.clients:
            client.close()
        self.context.destroy(linger=0)
        workers_first = sorted(self.programs, key=lambda program: program.name, reverse=True)
        wrong = [f"{p.name} {p.pid} had to be killed" for p in workers_first if not p.insist()]
        deadline = time.monotonic() + 5
        while (left := self.marked()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        for pid in left:
            wrong.append(f"process {pid} was left: {Path(f'/proc/{pid}/cmdline').read_bytes()!r}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wrong += [f"the file {path} was left" for path in (self.place / "tmp").rglob("*")]
        wrong += [f"the log has a traceback:\n{p.log}" for p in self.programs if "Traceback" in p.log]
        return wrong


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile
        return []


@contextlib.contextmanager
def making_services() -> Iterator[Callable[..., Service]]:
    """Makes services of which nothing is started yet; at the end all of them must end in order."""
    services: list[Service] = []
    with contextlib.ExitStack() as stack:

        def make(listen: str | None = None) -> Service:
            # not tmp_path: the path of a Unix socket has at most 107 bytes
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zj")))
            service = Service(place, uuid.uuid4().hex, listen)
            services.append(service)
            return service

        yield make
        wrong = list(itertools.chain.from_iterable(service.end() for service in services))
        assert not wrong, "\n".join(wrong)


@pytest.fixture
def new_service() -> Iterator[Callable[..., Service]]:
    """Makes services of which nothing is started yet."""
    with making_services() as make:
        yield make


@pytest.fixture
def service(new_service: Callable[..., Service]) -> Service:
    """A broker and a worker with the tasks of own_tasks.py, in a folder of their own, at time scale 0."""
    service = new_service()
    service.start_broker()
    service.start_worker()
    return service


@pytest.fixture(scope="module")
def shared_service() -> Iterator[Service]:
    """One for all tests of a module, on TCP ports: for those that do not stop or restart anything."""
    with making_services() as make:
        service = make("tcp://127.0.0.1:*")
        service.start_broker(journal=":memory:")
        service.start_worker()
        service.until_worker("ready")
        yield service


@pytest.fixture
def json_lines() -> Callable[[str], list[Any]]:
    """Reads output that has one JSON object a line."""
    return lambda text: [json.loads(line) for line in text.splitlines()]
