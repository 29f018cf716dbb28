"""The `task` decorator for users' own tasks, and how a job's data reaches the function.

    from zjobs.worker.tasks import task

    @task(max_reruns=2)
    def resize(path: str, width: int = 640) -> str:
        "Make a picture smaller."
        ...

Without data the function is called without arguments, a map becomes keyword arguments, and anything else is
the one positional argument. The result is whatever msgpack can hold. `max_attempts` bounds the runs that fail,
`max_reruns` the runs lost with their worker: with the default 0, a job never runs again because of that.
A parameter annotated `Context` is not data: it gets the job's context. docs/tasks.md has the whole story.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, Union, overload

from zjobs.messages.codec import refusal
from zjobs.messages.fields import MAX_DURATION_MS, MAX_TYPE_CHARS
from zjobs.messages.records import COMMAND, TaskType
from zjobs.messages.units import Ms
from zjobs.program.cli.options import duration

Function = TypeVar("Function", bound=Callable[..., Any])

# Seconds, or text such as "90s", "5m", "2h".
Duration = Union[int, float, str]


class TaskError(Exception):
    """A task that cannot be registered; the text is a sentence for people."""


class BadData(Exception):
    """Data that the task does not accept; the text is a sentence for people."""


class CommandFailed(Exception):
    """A command that failed; the text says how, for people. `exit_code`: as in `JobStatus`."""

    def __init__(self, how: str, exit_code: int) -> None:
        super().__init__(how)
        self.exit_code = exit_code


class Cancelled(BaseException):
    """Raised in a task that must end: its job was cancelled, or has exceeded its time limit. Let it through.

    It is not an Exception, so that `except Exception` in a task does not swallow it. Use `finally` to close what must
    be closed; the grace time of the task type is there for that.
    """


class Context:
    """A job's context, for a task with a parameter annotated so. In tests, pass `Context()`.

    id: the job's. attempt: 1 for its first run. fraction, note: those last reported.
    """

    def __init__(
        self, id: int = 1, attempt: int = 1, tell: Callable[[float | None, str | None], None] | None = None
    ) -> None:
        self.id = id
        self.attempt = attempt
        self.fraction: float | None = None
        self.note: str | None = None
        self._tell = tell

    def progress(self, fraction: float | None = None, note: str | None = None) -> None:
        """Report how far the job is. fraction: from 0 to 1, cut to that range. note: a short text of up to 1,000
        characters. What is omitted stays as it was. Costs microseconds: the worker looks four times a second.

        Raises ValueError or TypeError for a fraction that is not a number, TypeError for a note that is not text.
        """
        if fraction is not None:
            if math.isnan(fraction):
                raise ValueError("the fraction of a job's progress is not a number")
            self.fraction = min(1.0, max(0.0, float(fraction)))
        if note is not None:
            if not isinstance(note, str):
                raise TypeError(f"the note of a job's progress must be text, not {type(note).__name__}")
            self.note = note
        if self._tell is not None:
            self._tell(self.fraction, self.note)


def run(command: str | Sequence[str], *, check: bool = True, stop: float = 1.0, **options: Any) -> int:
    """Run a program to its end, in a process group of its own; return its exit code.

    What it prints becomes the job's output. Nothing of its group is left when this call ends, however it ends: on an
    exception, including `Cancelled`, the group gets SIGTERM and, `stop` seconds later, SIGKILL.
    check: raise subprocess.CalledProcessError if the exit code is not 0.
    options: as for subprocess.Popen, such as cwd, env, shell; the standard input is empty unless one of them says
    otherwise.
    Raises OSError if the program cannot be started.
    """
    for stream in (sys.stdout, sys.stderr):  # earlier output must come before that of the program
        with contextlib.suppress(Exception):
            stream.flush()
    process = subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, **options, "start_new_session": True})
    try:
        _await(process)
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        _await(process, stop)
        raise
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    if check and code != 0:
        raise subprocess.CalledProcessError(code, command)
    return code


def _await(process: subprocess.Popen[Any], seconds: float | None = None) -> None:
    """Wait for the end of a program without reaping it, so that its group's number stays its own, and can be killed."""
    descriptor = os.pidfd_open(process.pid)
    try:
        select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)


class Task(NamedTuple):
    """A registered function, with its type and its exemptions from the rules for tasks."""

    type: TaskType
    function: Callable[..., Any]
    keeps_processes: bool = False
    keeps_state: bool = False


DEFAULTS = TaskType("")
COMMANDS = "zjobs.worker.commands"  # the module that alone may have a task named COMMAND

# One registry for the process: a decorator in a user's module has no other way to reach it.
REGISTRY: dict[str, Task] = {}


def register(
    function: Callable[..., Any],
    name: str | None = None,
    description: str | None = None,
    max_attempts: int = 1,
    max_reruns: int = 0,
    time_limit: Duration | None = None,
    grace: Duration = DEFAULTS.grace_ms / 1000,
    retry_delay: Duration = DEFAULTS.retry_delay_ms / 1000,
    keeps_processes: bool = False,
    keeps_state: bool = False,
) -> None:
    """Make `function` a task type; see `task`. Raises TaskError with a sentence."""
    name = getattr(function, "__name__", None) if name is None else name
    if name is None:
        raise TaskError(f"{type(function).__name__} has no name of its own: give the task one with @task(name=...)")
    if not isinstance(name, str):
        raise TaskError(f"the name of a task must be text, not {_shown(name)}")
    if not 1 <= len(name) <= MAX_TYPE_CHARS:
        raise TaskError(f"the name of a task has 1 to {MAX_TYPE_CHARS} characters, not {len(name)}")
    if name in REGISTRY:
        raise TaskError(f"there is already a task named {name!r} ({_location(REGISTRY[name].function)})")
    if name == COMMAND and function.__module__ != COMMANDS:
        raise TaskError(f"the name {name!r} is that of the commands of zworker --commands: choose another")
    if inspect.iscoroutinefunction(function):
        raise TaskError(f"task {name!r} is an async function; a task is a plain one")
    if type(keeps_processes) is not bool:
        raise TaskError(f"task {name!r}: keeps_processes must be True or False, not {_shown(keeps_processes)}")
    if description is None:
        description = (inspect.getdoc(function) or "").partition("\n")[0]
    if not isinstance(description, str):
        raise TaskError(f"task {name!r}: description must be text, not {_shown(description)}")
    limit_ms = None if time_limit is None else _milliseconds(name, "time_limit", time_limit, 1)
    grace_ms = _milliseconds(name, "grace", grace)
    delay_ms = _milliseconds(name, "retry_delay", retry_delay)
    kind = TaskType(name, description, max_attempts, max_reruns, limit_ms, grace_ms, delay_ms)
    check_type(kind)
    if type(keeps_state) is not bool:
        raise TaskError(f"task {name!r}: keeps_state must be True or False, not {_shown(keeps_state)}")
    REGISTRY[name] = Task(kind, function, keeps_processes, keeps_state)


def check_type(kind: TaskType) -> None:
    """Raise TaskError if the broker would not accept this type, because it would then drop all heartbeats."""
    mistake = refusal(kind)
    if mistake is not None:
        raise TaskError(f"task {kind.name!a}: {mistake}")


def _shown(value: Any) -> str:
    """Return a value for an error message: short, and always printable."""
    try:
        shown = ascii(value)
    except Exception:
        return f"a {type(value).__name__}"
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _milliseconds(task: str, what: str, value: Duration, low_ms: int = 0) -> Ms:
    """Convert a duration given to the decorator. Raises TaskError."""
    try:
        seconds = duration(value) if isinstance(value, str) else value
    except ValueError as error:
        raise TaskError(f"task {task!r}: {what}: {error}") from None
    if type(seconds) not in (int, float) or not low_ms <= seconds * 1000 <= MAX_DURATION_MS:
        at_least = "more than 0" if low_ms else "from 0"
        most = f"{MAX_DURATION_MS // 1000:,} (100 years)"
        raise TaskError(
            f"task {task!r}: {what} must be a number of seconds, {at_least}, at most {most}, not {_shown(value)}"
        )
    return Ms(math.ceil(seconds * 1000))


@overload
def task(function: Function) -> Function: ...
@overload
def task(
    *,
    name: str | None = ...,
    description: str | None = ...,
    max_attempts: int = ...,
    max_reruns: int = ...,
    time_limit: Duration | None = ...,
    grace: Duration = ...,
    retry_delay: Duration = ...,
    keeps_processes: bool = ...,
    keeps_state: bool = ...,
) -> Callable[[Function], Function]: ...
def task(
    function: Function | None = None,
    **options: Any,
) -> Function | Callable[[Function], Function]:
    """Mark a plain function as a task type, as `@task` or `@task(name=..., ...)`; the function stays as it is.

    name: the type that clients submit, by default the function's name.
    description: one line for people, by default the first line of the docstring.
    max_attempts: how many of a job's runs may fail before the job has failed.
    max_reruns: how often a job whose worker was lost while running it is put back.
    time_limit: how long a run may take before it is ended like a cancelled one, and has failed. None: no limit.
    grace: how long a task that is told to end may take for that, before its process is killed.
    retry_delay: how long after its first failure a job waits for its next attempt; it doubles each time.
    keeps_processes: the processes that its jobs start live on; those of other types are killed.
    keeps_state: what its jobs change in their process (working directory, environment, threads, ...) stays for later
    jobs.
    Durations are seconds, or text such as "90s", "5m", "2h".
    Raises TaskError if the task cannot be registered.
    """

    def mark(function: Function) -> Function:
        register(function, **options)
        return function

    return mark if function is None else mark(function)


def _location(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}, line {code.co_firstlineno}" if code else "elsewhere"
