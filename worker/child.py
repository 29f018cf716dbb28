"""The program inside the task process: reads a job, runs it, reports how it ended, one after the other.

Reading a packet means that its job has begun; what is still in the socket, the worker may take back.
Started by `runner` as `python -m zjobs.worker.child SOCKET LOCK PARENT TIME_SCALE [MODULE]...`; never imports zmq.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

from zjobs.messages import wire
from zjobs.messages.types import Ended, FailReason, Outcome
from zjobs.worker import host, packets, predefined, tasks

MAX_TEXT_CHARS = 10_000
EXIT_BROKEN = 70


class BadResult(Exception):
    """What the task returned is no result; the text is a sentence for people."""


def main() -> NoReturn:
    sock_fd, lock_fd, parent_pid = map(int, sys.argv[1:4])
    host.die_with_parent(parent_pid)
    for descriptor in (sock_fd, lock_fd):  # a program that a task starts shall not hold them
        os.set_inheritable(descriptor, False)
    # Not SIG_IGN: that would be inherited by programs that a task starts.
    signal.signal(signal.SIGINT, lambda *_: None)
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sock = socket.socket(fileno=sock_fd)
    try:
        load(float(sys.argv[4]), sys.argv[5:])
    except tasks.TaskError as error:
        packets.send(sock, ("error", str(error)))
        sys.exit(EXIT_BROKEN)
    packets.send(sock, ("types", [task.type for task in tasks.REGISTRY.values()]))
    serve(sock)


def load(time_scale: float, modules: list[str]) -> None:
    """Registers the predefined tasks and those of `modules`. Raises TaskError with a sentence."""
    predefined.register_all(time_scale)
    sys.path.insert(0, os.getcwd())
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # a module may do anything, SystemExit included
            what = str(error) if isinstance(error, tasks.TaskError) else _import_headline(error)
            raise tasks.TaskError(f"--tasks {module}: {what}{_place(error)}") from None


def serve(sock: socket.socket) -> NoReturn:
    """Runs jobs until the worker is gone."""
    callers = {name: tasks.Caller(task) for name, task in tasks.REGISTRY.items()}
    own_pid = os.getpid()
    while True:
        try:
            packet = packets.receive(sock)
            if packet is None:
                os._exit(0)
            ended = run(callers, *packet)
            if os.getpid() != own_pid:  # a task has forked and come back twice; only one of us goes on
                os._exit(0)
            packets.send(sock, ended)
        except (OSError, packets.Garbled):  # a task has closed or used our socket: start afresh
            os._exit(EXIT_BROKEN)


def run(callers: dict[str, tasks.Caller], n: int, name: str, data: bytes | None, result_bytes: int) -> Ended:
    """Runs one job, whatever it does, and says how it ended."""
    begun_ns = time.perf_counter_ns()
    try:
        caller = callers.get(name)
        if caller is None:
            raise tasks.BadData(f"this worker has no task {name!r}")
        arguments = caller.bound(data)
        begun_ns = time.perf_counter_ns()
        value = caller.run(arguments)
        elapsed_us = (time.perf_counter_ns() - begun_ns) // 1000
        return Ended(n, Outcome.COMPLETED, elapsed_us, _packed(value, result_bytes))
    except tasks.BadData as error:
        reason, message, detail = FailReason.BAD_DATA, str(error), ""
    except BadResult as error:
        reason, message, detail = FailReason.BAD_RESULT, str(error), ""
    except BaseException as error:
        reason, message, detail = FailReason.RAISED, _headline(error), _traceback(error)
    elapsed_us = (time.perf_counter_ns() - begun_ns) // 1000
    return Ended(n, Outcome.FAILED, elapsed_us, None, reason, _bounded(message), detail)


def _packed(value: Any, result_bytes: int) -> bytes:
    try:
        body = wire.pack_value(value)
        wire.unpack_value(body)  # some of what can be packed cannot be read again: a list as a map's key
    except Exception as error:
        raise BadResult(f"the result ({type(value).__name__}) cannot be packed: {error}") from None
    if len(body) > result_bytes:
        raise BadResult(f"the packed result has {len(body):,} bytes, more than the limit of {result_bytes:,}")
    return body


def _headline(error: BaseException) -> str:
    """Type and text of an exception, even of one that cannot say its text."""
    try:
        text = str(error)
    except BaseException:
        text = "(its text cannot be shown)"
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _import_headline(error: BaseException) -> str:
    # str() of a SyntaxError has the short name of the file; `_place` tells it in full
    return f"{type(error).__name__}: {error.msg}" if isinstance(error, SyntaxError) else _headline(error)


def _traceback(error: BaseException) -> str:
    """The traceback from the task's function on; of a long one the end, which tells more."""
    frames = error.__traceback__
    for _ in range(2):  # ours: run() and Caller.run()
        frames = frames.tb_next if frames is not None and frames.tb_next is not None else frames
    try:
        lines = traceback.format_exception(type(error), error, frames)
    except BaseException:  # it runs the exception's own code
        lines = [_headline(error)]
    return _bounded("".join(lines)[-MAX_TEXT_CHARS:])


def _bounded(text: str) -> str:
    """At most MAX_TEXT_CHARS, and packable: a lone surrogate has no UTF-8."""
    return text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode()


def _place(error: BaseException) -> str:
    """Where a module's import failed: ' (file, line n)', as far as it is the user's own code."""
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
