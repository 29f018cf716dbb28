"""Starts brokers and workers in milliseconds: a process that has imported everything forks one for each order.

`python forge.py` is that process; it reads orders, JSON lines, on its standard input. `Forge` is its other end. Before
a program runs, what shall go wrong in it is arranged here, on the test's side: the product has no hooks.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faulting.disk import KINDS, LIBRARY, Fault, arm

READY_S = 30.0
RETRY_WRITING_MS = 50  # instead of a second: a campaign has hundreds of full disks
_PR_SET_PDEATHSIG = 1


class Ended(Exception):
    """The program ended before it was ready. `code`: its exit code (negative: the signal)."""

    def __init__(self, code: int, log: str) -> None:
        super().__init__(f"ended with code {code}\n{log}")
        self.code = code
        self.log = log


class Program(NamedTuple):
    """A program that the forge started."""

    forge: Forge
    pid: int
    out: Path
    err: Path

    @property
    def log(self) -> str:
        return self.err.read_text(errors="replace")

    def code(self) -> int | None:
        """Its exit code (negative: the signal), None while it lives."""
        code: int | None = self.forge.ask({"wait": self.pid})["code"]
        return code

    def ended(self) -> int:
        deadline = time.monotonic() + READY_S
        while (code := self.code()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} does not end\n{self.log}")
            time.sleep(0.001)
        return code

    def ready(self) -> Program:
        """Waits until it said so. Raises Ended."""
        deadline = time.monotonic() + READY_S
        while b" ready " not in self.out.read_bytes():
            if (code := self.code()) is not None:
                raise Ended(code, self.log)
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} is not ready\n{self.log}")
            time.sleep(0.001)
        return self

    def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return self.ended()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.code() is None:
                os.kill(self.pid, number)


class Forge:
    """The end that gives orders. `library`: what is preloaded, for faults of the disk."""

    def __init__(self, library: Path | None = None, cwd: Path | None = None) -> None:
        env = {**os.environ}
        if library is not None:
            env |= {"LD_PRELOAD": str(library), LIBRARY: str(library)}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=cwd, text=True
        )
        self._started = 0

    def __enter__(self) -> Forge:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends everything that was started here."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(
        self,
        program: str,
        argv: list[str],
        place: Path,
        env: dict[str, str] | None = None,
        fault: Fault | None = None,
        journal: str = "",
        clock: Path | None = None,
    ) -> Program:
        """Starts `broker` or `worker`; its output goes to files in `place`. clock: a file with nanoseconds to add."""
        self._started += 1
        out, err = (place / f"{program}{self._started}.{stream}" for stream in ("out", "err"))
        out.touch()
        order = {"program": program, "argv": argv, "out": str(out), "err": str(err), "env": env or {}}
        order |= {"fault": fault, "journal": journal, "clock": clock and str(clock)}
        return Program(self, self.ask(order)["pid"], out, err)


# --- the process that forks -----------------------------------------------------------------------------------


def serve() -> None:
    import zjobs.broker.cli.main
    import zjobs.worker.cli  # noqa: F401 - imported before the forks, so that none of them has to

    codes: dict[int, int] = {}
    living: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            pid = order["wait"]
            if pid in living:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    living.discard(pid)
                    codes[pid] = os.waitstatus_to_exitcode(status)
            answer = {"code": codes.get(pid)}
        else:
            answer = {"pid": forked(order)}
            living.add(answer["pid"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in living:
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def forked(order: dict[str, Any]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    for number, (name, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), (order["out"], os.O_WRONLY), (order["err"], os.O_WRONLY | os.O_CREAT))
    ):
        os.dup2(os.open(name, flags, 0o600), number)
    os.environ.update(order["env"])
    os.environ.pop("LD_PRELOAD", None)
    sys.argv = [f"z{order['program']}", *order["argv"]]
    arrange(order)
    code = 70
    try:
        if order["program"] == "broker":
            from zjobs.broker.__main__ import main
        else:
            from zjobs.worker.__main__ import main
        code = main()
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def arrange(order: dict[str, Any]) -> None:
    """What shall go wrong in this process."""
    import zjobs.broker.service

    zjobs.broker.service.RETRY_WRITING_MS = RETRY_WRITING_MS
    if order["clock"]:
        real_ns, file = time.time_ns, order["clock"]
        time.time_ns = lambda: real_ns() + int(Path(file).read_text())
    if order["fault"]:
        fault = Fault(*order["fault"])
        if fault.kind in KINDS:
            arm(fault, order["journal"])
        else:
            wrap(fault)


def wrap(fault: Fault) -> None:
    """Kills this process before or after the nth send or commit."""
    import zmq

    from zjobs.broker.storage.sqlite.journal import SqliteJournal

    owner, name = (zmq.Socket, "send") if fault.kind == "send" else (SqliteJournal, "commit")
    real: Callable[..., Any] = getattr(owner, name)
    calls = iter(range(1, sys.maxsize))

    def dying(*arguments: Any, **named: Any) -> Any:
        # the frames of one message leave together, with the last
        part = name == "send" and any(type(flags) is int and flags & zmq.SNDMORE for flags in arguments[2:3])
        now = not part and next(calls) == fault.nth
        if now:
            Path(fault.place, "fired").touch()
        if now and fault.action == "kill before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


if __name__ == "__main__":
    serve()
