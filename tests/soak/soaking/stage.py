"""The programs of a soak: started, killed, stopped and ended by their pids, in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from soaking.proxy import Proxy
from soaking.recorder import Recorder
from tests.postgres import Postgres

HERE = Path(__file__).parent
READY_S = 30.0
END_S = 30.0
BELOW_EPHEMERAL = range(20_000, 32_000)  # a port of the system's own choice could be somebody's other end by then


class SoakError(Exception):
    """Something did not do what it must: the text says what, with the end of its log."""


def free_ports(count: int) -> list[int]:
    """Ports in a row that nobody listens at."""
    while True:
        first = random.SystemRandom().choice(BELOW_EPHEMERAL)
        ports = list(range(first, first + count))
        try:
            with contextlib.ExitStack() as stack:
                for port in ports:
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return ports
        except OSError:
            continue


class Stage:
    """A broker and a worker, both behind links that can break, and clients as they are wanted.

    All of them, the tasks and the clients write to one file of records: the history.
    """

    def __init__(self, seed: int, server: Postgres | None = None) -> None:
        """`server`: where the journal is, if not in a file."""
        self.seed = seed
        self.server = server
        self.place = Path(tempfile.mkdtemp(prefix="zjobs-soak-"))
        self.records = self.place / "records"
        self.recorder = Recorder(self.records)
        front, events, pipe, reports, far_front, far_events, far_pipe, far_reports = free_ports(8)
        self.endpoint = f"tcp://127.0.0.1:{front}"
        self.direct = f"tcp://127.0.0.1:{far_front}"
        self.client_links = [Proxy(front, far_front), Proxy(events, far_events)]
        self.worker_links = [Proxy(pipe, far_pipe), Proxy(reports, far_reports)]
        self._broker_options = ["--listen", self.direct, "--events", f"tcp://127.0.0.1:{far_events}"]
        self._broker_options += ["--pipe", f"tcp://127.0.0.1:{pipe}", "--reports", f"tcp://127.0.0.1:{reports}"]
        journal = str(self.place / "journal.db") if server is None else server.url()
        self._broker_options += ["--journal", journal, "--log-level", "warning"]
        self._worker_options = ["--pipe", f"tcp://127.0.0.1:{far_pipe}", "--reports", f"tcp://127.0.0.1:{far_reports}"]
        self._worker_options += ["--tasks", "soak_tasks", "--log-level", "warning", "--farewell", "0.5"]
        self._env = {**os.environ, "SOAK_RECORDS": str(self.records), "XDG_STATE_HOME": str(self.place / "state")}
        self._clock = self.place / "clock"
        self._clock.write_text("0")
        self.broker: subprocess.Popen[bytes]
        self.worker: subprocess.Popen[bytes]
        self.clients: dict[str, subprocess.Popen[bytes]] = {}
        self._clients_started = 0
        self.broker_peak_kib = 0

    # --- starting ------------------------------------------------------------------------------------------

    def start_broker(self) -> None:
        self.broker = self._start("broker", self._broker_options)
        self._await_ready("broker", self.broker)

    def start_worker(self) -> None:
        self.worker = self._start("worker", self._worker_options)
        self._await_ready("worker", self.worker)

    def start_client(self, role: str) -> None:
        """A client of a new name: what a dead one left unanswered is asked again at the end."""
        self._clients_started += 1
        name = f"{role}{self._clients_started}"
        argv = [sys.executable, str(HERE / "actors.py"), role, name, self.endpoint, str(self.records), str(self.seed)]
        self.clients[name] = self._popen(argv, name, subprocess.DEVNULL)

    def refused_second(self, package: str) -> bool:
        """Starts a second broker or worker beside the first; whether it refused as it should."""
        options = self._broker_options if package == "broker" else self._worker_options
        second = self._start(package, options)
        try:
            return second.wait(END_S) == 75
        except subprocess.TimeoutExpired:
            return False
        finally:
            self._end(second)

    def upkeep(self, *words: str) -> str:
        """Runs `zbroker` with such words to its end. Returns what was wrong, or nothing."""
        argv = [sys.executable, "-m", "zjobs.broker", *words]
        ended = subprocess.run(argv, capture_output=True, text=True, env=self._env, timeout=END_S, check=False)
        return "" if ended.returncode == 0 else f"exit code {ended.returncode}: {ended.stderr.strip()}"

    def _start(self, package: str, options: list[str]) -> subprocess.Popen[bytes]:
        program = [str(HERE / "clocked.py"), str(self._clock)] if package == "broker" else ["-m", "zjobs.worker"]
        return self._popen([sys.executable, *program, *options], package, subprocess.PIPE)

    def set_clock(self, by_s: float) -> None:
        """The broker's wall clock is so far from the true one from now on."""
        self.recorder.note("clock", by_s=by_s)
        new = self._clock.with_suffix(".new")
        new.write_text(str(int(by_s * 1e9)))
        new.replace(self._clock)  # the broker reads it at any moment

    def _popen(self, argv: list[str], name: str, stdout: int) -> subprocess.Popen[bytes]:
        with open(self.place / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=log, cwd=HERE, env=self._env, bufsize=0
            )

    def _await_ready(self, name: str, program: subprocess.Popen[bytes]) -> None:
        assert program.stdout is not None
        readable, _, _ = select.select([program.stdout], [], [], READY_S)
        if not readable or b" ready " not in program.stdout.readline():
            raise SoakError(f"the {name} did not come up\n{self.log(name)}")

    def log(self, name: str) -> str:
        return (self.place / f"{name}.log").read_text(errors="replace")[-4000:]

    def tracebacks(self) -> list[str]:
        """The programs whose log has one."""
        return [file.name for file in self.place.glob("*.log") if "Traceback" in file.read_text(errors="replace")]

    # --- ending ----------------------------------------------------------------------------------------------

    def kill(self, program: subprocess.Popen[bytes], who: str) -> None:
        """SIGKILL; the death is recorded when it is certain."""
        if who == "broker":
            self._note_peak()
        self._end(program)
        self.recorder.note("dead", who=who)

    def tell_to_end(self, program: subprocess.Popen[bytes], who: str) -> None:
        """SIGTERM."""
        if who == "broker":
            self._note_peak()
        program.send_signal(signal.SIGTERM)

    def terminate(self, program: subprocess.Popen[bytes], who: str) -> None:
        """SIGTERM, and its orderly end."""
        self.tell_to_end(program, who)
        self.await_end(program, who)

    def await_end(self, program: subprocess.Popen[bytes], who: str) -> None:
        """The orderly end of a program that was told. A worker that ends so is no reason to run a job again."""
        try:
            code = program.wait(END_S)
        except subprocess.TimeoutExpired:
            raise SoakError(f"the {who} does not end\n{self.log(who)}") from None
        if program.stdout is not None:
            program.stdout.close()
        if code != 0:
            raise SoakError(f"the {who} ended with code {code}\n{self.log(who)}")
        if who != "worker":
            self.recorder.note("dead", who=who)

    def spooled(self) -> int:
        """Whether the worker that ended has left something for the next one."""
        return len(list((self.place / "state/zjobs").glob("*.spool")))

    def still_lives(self) -> None:
        """Raises SoakError when a program has ended that nobody ended."""
        for who, program in (("broker", self.broker), ("worker", self.worker), *self.clients.items()):
            if program.poll() is not None:
                raise SoakError(f"the {who} ended by itself, with code {program.returncode}\n{self.log(who)}")

    def end_clients(self) -> None:
        for name in list(self.clients):
            self._end(self.clients.pop(name))

    def close(self) -> None:
        """Ends everything that was started, whatever state it is in."""
        self.end_clients()
        for program in (getattr(self, "worker", None), getattr(self, "broker", None)):
            if program is not None:
                self._end(program)
        for proxy in self.client_links + self.worker_links:
            proxy.close()
        self.recorder.close()

    def remove(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    def _end(self, program: subprocess.Popen[bytes]) -> None:
        program.kill()
        program.wait()
        if program.stdout is not None:
            program.stdout.close()

    def _note_peak(self) -> None:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            status = Path(f"/proc/{self.broker.pid}/status").read_text()
            peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            self.broker_peak_kib = max(self.broker_peak_kib, int(peak.split()[1]))

    def journal_bytes(self) -> int:
        if self.server is not None:
            return int(self.server.sql("SELECT pg_database_size(current_database())"))
        return sum(file.stat().st_size for file in self.place.glob("journal.db*"))


def pause(seconds: float) -> None:
    """A schedule's own pause: time passes while the load goes on."""
    time.sleep(seconds)
