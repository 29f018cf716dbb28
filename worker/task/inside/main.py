"""The program of the task process: reads a job, runs it, reports how it ended, and reads the next.

A job has begun when its packet is read; the worker may remove those still in the socket. If it has removed the packet
before, this packet counts as removed, too.

`process` starts it as `python -m zjobs.worker.task.inside.main SOCKET LOCK MEMORY PARENT MARK TIME_SCALE [MODULE]...`.
It never imports zmq. Everything that a task starts carries the mark (see `platform`), and is killed before the job's
end is reported (see `leftovers`).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from functools import partial
from typing import NoReturn

from zjobs.messages.dispatch import Ended
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, JobId, Us
from zjobs.program import inside
from zjobs.worker import predefined, tasks
from zjobs.worker.caller import Caller
from zjobs.worker.task import output, packets, platform
from zjobs.worker.task.inside import orphans, results
from zjobs.worker.task.inside.state import NOTHING, Left, State
from zjobs.worker.task.leftovers import Leftovers
from zjobs.worker.task.shared_memory import SharedMemory

MAX_TEXT_CHARS = 10_000
EXIT_BROKEN = 70
SIGN_S = 0.5


def main() -> NoReturn:
    """Load the tasks, then run jobs until the worker closes the socket."""
    sock_fd, lock_fd, shared_fd, parent_pid, mark = map(int, sys.argv[1:6])
    platform.die_with_parent(parent_pid)
    if tasks.COMMANDS in sys.argv[7:]:
        orphans.end_with(parent_pid, mark)
    platform.carry(mark)
    leftovers = Leftovers()
    for descriptor in (sock_fd, lock_fd, shared_fd):  # a program that a task starts must not hold them
        os.set_inheritable(descriptor, False)
    # Not SIG_IGN: that would be inherited by programs that a task starts.
    signal.signal(signal.SIGINT, lambda *_: None)
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sock = socket.socket(fileno=sock_fd)
    shared = SharedMemory(shared_fd)
    os.close(shared_fd)
    threading.Thread(target=give_signs, args=(shared,), daemon=True).start()
    try:
        callers = load(float(sys.argv[6]), sys.argv[7:])
    except tasks.TaskError as error:
        packets.send(sock, ("error", str(error)))
        sys.exit(EXIT_BROKEN)
    output.flush()
    marker = output.Marker(shared)
    bench = Bench(callers, shared, leftovers)
    leftovers.keep()
    types, schemas = [caller.type for caller in callers.values()], [caller.schema for caller in callers.values()]
    packets.send(sock, ("types", types, marker.token, schemas))
    serve(sock, bench, marker)


def give_signs(shared: SharedMemory) -> NoReturn:
    """Record liveness timestamps, again and again, for as long as the interpreter runs."""
    # signals are for the main thread, which they must interrupt
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    sleep = time.sleep  # now: a task may replace it, as it may replace the clocks
    while True:
        shared.give_sign()
        sleep(SIGN_S)


def load(time_scale: float, modules: list[str]) -> dict[str, Caller]:
    """Return the predefined tasks and those of `modules`, by name. Raises TaskError with a sentence."""
    predefined.register_all(time_scale)
    sys.path.insert(0, os.getcwd())
    for module in modules:
        before = len(tasks.REGISTRY)
        try:
            importlib.import_module(module)
        except BaseException as error:  # a module may do anything, SystemExit included
            what = str(error) if isinstance(error, tasks.TaskError) else _import_headline(error)
            raise tasks.TaskError(f"--tasks {module}: {what}{_location(error)}") from None
        here = (task.function.__module__ for task in tasks.REGISTRY.values())
        if len(tasks.REGISTRY) == before and module not in here:  # another module may have imported it already
            raise tasks.TaskError(
                f"--tasks {module}: the module has no tasks; put @task above its functions "
                "(from zjobs.worker.tasks import task)"
            )
    for task in tasks.REGISTRY.values():
        tasks.check_type(task.type)
    return {name: Caller(task) for name, task in tasks.REGISTRY.items()}


def serve(sock: socket.socket, bench: Bench, marker: output.Marker) -> NoReturn:
    """Run jobs until the worker is gone."""
    own_pid = os.getpid()
    last = 0
    while True:
        try:
            packet = packets.receive(sock)
            if packet is None:
                os._exit(0)
            number, after, *job = packet
            if after not in (0, last):
                packets.send(sock, ("skipped", number))
                continue
            last = number
            ended = bench.run(*job)
            if os.getpid() != own_pid:  # a task has forked and returned twice; only one process goes on
                os._exit(0)
            killed, clear, left = bench.clear(job[1])
            packets.send(sock, (marker.mark(ended.delivery), *ended[:7], killed, left.sentence, ended.exit_code))
            if not clear:  # the worker ends them; no other job may run beside them
                os._exit(packets.EXIT_LEFTOVERS)
            if left.replace:
                os._exit(packets.EXIT_REPLACED)
        except (OSError, packets.Garbled):  # a task has closed or used our socket: start afresh
            os._exit(EXIT_BROKEN)


class Bench:
    """The place where jobs run. Raises `Cancelled` in the task of a job that is to end, and nowhere else."""

    def __init__(self, callers: dict[str, Caller], shared: SharedMemory, leftovers: Leftovers) -> None:
        self._callers = callers
        self._leftovers = leftovers
        self._shared = shared
        self._inside = 0  # the number of the job whose task is being called
        self._told = 0  # the number of the last job that was told to end
        self._clock_ns = time.perf_counter_ns  # see SharedMemory
        self._service = (b"", b"")
        signal.signal(signal.SIGTERM, lambda *_: self._end_if_meant())
        os.register_at_fork(before=_hold_term, after_in_child=_default_term, after_in_parent=_let_term)
        self._state = State()

    def run(
        self, delivery: DeliveryNumber, name: str, data: bytes | None, result_bytes: int, id: JobId, attempt: int
    ) -> Ended:
        """Run one job, whatever it does, and say how it ended."""
        begun_ns = self._clock_ns()
        if self._shared.service != self._service:
            self._enter_service()
        try:
            caller = self._callers.get(name)
            if caller is None:
                raise tasks.BadData(f"this worker has no task {name!r}")
            context = tasks.Context(id, attempt, partial(self._shared.tell, delivery)) if caller.context else None
            call = caller.bound(data, context)
            begun_ns = self._clock_ns()
            self._inside = delivery
            try:
                self._end_if_meant()  # the signal may have come before
                value = caller.run(call)
            finally:
                self._inside = 0
            elapsed_us = Us((self._clock_ns() - begun_ns) // 1000)
            return Ended(delivery, Outcome.COMPLETED, elapsed_us, results.packed(value, result_bytes))
        except BaseException as error:
            elapsed_us = Us((self._clock_ns() - begun_ns) // 1000)
            return _failed(delivery, elapsed_us, error, self._told == delivery)

    def _enter_service(self) -> None:
        _, before = self._service
        self._service = self._shared.service
        inside.enter(*(word.decode() for word in (*self._service, before)))
        self._state.keep()  # otherwise this would count as a change by the job, and be undone after it

    def clear(self, name: str) -> tuple[int, bool, Left]:
        """End what a job of type `name` has left running, and undo what it has changed in this process.

        Return how many processes were killed, whether all are gone, and what else it has left behind.
        """
        caller = self._callers.get(name)
        if caller is not None and caller.keeps_processes:
            self._leftovers.keep()
            killed, clear = 0, True
        else:
            killed, clear = self._leftovers.end()
        if caller is not None and caller.keeps_state:
            self._state.keep()
            return killed, clear, NOTHING
        return killed, clear, self._state.restore()

    def _end_if_meant(self) -> None:
        delivery = self._inside
        if delivery and self._shared.to_end == delivery:
            self._inside, self._told = 0, delivery  # once: what the task does in its grace time is not interrupted
            raise tasks.Cancelled


# A process that a task forks, such as one of multiprocessing, ends on SIGTERM as usual. The signal is held back until
# the process has the usual disposition: in between, Python would note the signal and forget it at once.


def _hold_term() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))


def _let_term() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def _default_term() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_term()


def _failed(delivery: DeliveryNumber, elapsed_us: Us, error: BaseException, told_to_end: bool) -> Ended:
    """Return the end of a job without a result, because of `error`."""
    if isinstance(error, results.BadResult):
        sentence, shown = _bounded(_text(error)), f"It was:\n{error.value_text}"
        return Ended(delivery, Outcome.FAILED, elapsed_us, None, FailReason.BAD_RESULT, sentence, shown)
    if told_to_end:
        if isinstance(error, tasks.Cancelled):
            return Ended(delivery, Outcome.CANCELLED, elapsed_us)
        return Ended(delivery, Outcome.CANCELLED, elapsed_us, None, None, _bounded(_headline(error)), _traceback(error))
    if isinstance(error, tasks.BadData):
        return Ended(delivery, Outcome.FAILED, elapsed_us, None, FailReason.BAD_DATA, _bounded(_text(error)))
    if isinstance(error, tasks.CommandFailed):
        how, why = _bounded(_text(error)), FailReason.COMMAND_FAILED
        return Ended(delivery, Outcome.FAILED, elapsed_us, None, why, how, exit_code=error.exit_code)
    return Ended(
        delivery, Outcome.FAILED, elapsed_us, None, FailReason.RAISED, _bounded(_headline(error)), _traceback(error)
    )


def _headline(error: BaseException) -> str:
    """Return type and text of an exception."""
    name, text = type(error).__name__, _text(error)
    return f"{name}: {text}" if text else name


def _text(error: BaseException) -> str:
    """Return the text of an exception, even of one that fails to give it: this runs the exception's own code."""
    try:
        return "".join([str(error)])  # a plain text, whatever class of its own `str` was given
    except BaseException:
        return "(its text cannot be shown)"


def _import_headline(error: BaseException) -> str:
    # str() of a SyntaxError has the short name of the file; `_location` gives it in full
    return f"{type(error).__name__}: {error.msg}" if isinstance(error, SyntaxError) else _headline(error)


def _traceback(error: BaseException) -> str:
    """Return the traceback from the task's function on; of a long one the end, which tells more."""
    frames = error.__traceback__
    for _ in range(2):  # ours: run() and Caller.run()
        frames = frames.tb_next if frames is not None and frames.tb_next is not None else frames
    try:
        lines = traceback.format_exception(type(error), error, frames)
    except BaseException:  # it runs the exception's own code
        lines = [_headline(error)]
    return _bounded("".join(lines)[-MAX_TEXT_CHARS:])


def _bounded(text: str) -> str:
    """Return at most MAX_TEXT_CHARS of a text, and packable: a lone surrogate has no UTF-8."""
    return text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode()


def _location(error: BaseException) -> str:
    """Return where a module's import failed, as ' (file, line n)', if that is in the user's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    ours = (__file__, tasks.__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<frozen") and "importlib" not in frame.filename
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


if __name__ == "__main__":
    main()
