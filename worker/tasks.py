"""What a user writes tasks with: the `task` decorator, and how a job's data reaches the function.

    from zjobs.worker.tasks import task

    @task(max_reruns=2)
    def resize(path: str, width: int = 640) -> str:
        "Makes a picture smaller."
        ...

No data calls the function without arguments, a map becomes keyword arguments, and anything else is the
one positional argument. The result is whatever msgpack can hold. `max_attempts` counts runs that failed,
`max_reruns` runs lost with their worker: with the default 0 a job is never run a second time because of that.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, overload

from zjobs.messages.types import TaskType
from zjobs.messages.wire import MAX_TYPE_CHARS, unpack_value

Function = TypeVar("Function", bound=Callable[..., Any])

# Annotations that are checked; what else a parameter may say is the task's own affair.
_CHECKED: dict[type, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (float, int),
    bool: (bool,),
    list: (list,),
    dict: (dict,),
    bytes: (bytes,),
}


class TaskError(Exception):
    """A task cannot be registered; the text is a sentence for people."""


class BadData(Exception):
    """The data is not what the task takes; the text is a sentence for people."""


class Task(NamedTuple):
    type: TaskType
    function: Callable[..., Any]


# One registry for the process: a decorator in a user's module has no other way to reach us.
REGISTRY: dict[str, Task] = {}


def register(
    function: Callable[..., Any],
    name: str | None = None,
    description: str | None = None,
    max_attempts: int = 1,
    max_reruns: int = 0,
) -> None:
    """Makes `function` a task type. Raises TaskError with a sentence."""
    name = function.__name__ if name is None else name
    if not 1 <= len(name) <= MAX_TYPE_CHARS:
        raise TaskError(f"the name of a task has 1 to {MAX_TYPE_CHARS} characters, not {len(name)}")
    if name in REGISTRY:
        raise TaskError(f"there is already a task named {name!r} ({_place(REGISTRY[name].function)})")
    if inspect.iscoroutinefunction(function):
        raise TaskError(f"task {name!r} is an async function; a task is a plain one")
    if type(max_attempts) is not int or max_attempts < 1:
        raise TaskError(f"task {name!r}: max_attempts must be an integer from 1, not {max_attempts!r}")
    if type(max_reruns) is not int or max_reruns < 0:
        raise TaskError(f"task {name!r}: max_reruns must be an integer from 0, not {max_reruns!r}")
    if description is None:
        description = (inspect.getdoc(function) or "").partition("\n")[0]
    REGISTRY[name] = Task(TaskType(name, description, max_attempts, max_reruns), function)


@overload
def task(function: Function) -> Function: ...
@overload
def task(
    *, name: str | None = ..., description: str | None = ..., max_attempts: int = ..., max_reruns: int = ...
) -> Callable[[Function], Function]: ...
def task(
    function: Function | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    max_attempts: int = 1,
    max_reruns: int = 0,
) -> Function | Callable[[Function], Function]:
    """Marks a plain function as a task type, as `@task` or `@task(name=..., ...)`; the function stays as it is.

    name: the type that clients submit, by default the function's name.
    description: one line for people, by default the first line of the docstring.
    max_attempts: how often a job may run and fail before it is failed for good.
    max_reruns: how often a job whose worker was lost while running it is put back.
    Raises TaskError when that cannot be.
    """

    def mark(function: Function) -> Function:
        register(function, name, description, max_attempts, max_reruns)
        return function

    return mark if function is None else mark(function)


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}, line {code.co_firstlineno}" if code else "elsewhere"


class Caller:
    """A task ready to be called: its signature is read once, not for each job."""

    def __init__(self, task: Task) -> None:
        self._name = task.type.name
        self._function = task.function
        self._signature = inspect.signature(task.function)
        self._checks = _checks(task.function, self._signature)

    def bound(self, data: bytes | None) -> inspect.BoundArguments:
        """The arguments that packed `data` means. Raises BadData."""
        try:
            arguments = self._bound(data)
        except (TypeError, ValueError) as error:
            raise BadData(f"{self._name} cannot take this data: {error}") from None
        for name, value in arguments.arguments.items():
            expected = self._checks.get(name)
            if expected is not None and not _is_a(value, expected):
                raise BadData(f"{self._name} takes {expected.__name__} for {name}, not {type(value).__name__}")
        return arguments

    def run(self, arguments: inspect.BoundArguments) -> Any:
        return self._function(*arguments.args, **arguments.kwargs)

    def _bound(self, data: bytes | None) -> inspect.BoundArguments:
        if data is None:
            return self._signature.bind()
        value = unpack_value(data)
        if type(value) is not dict:
            return self._signature.bind(value)
        if not all(type(key) is str for key in value):
            raise ValueError("a map must have text keys, the names of the parameters")
        return self._signature.bind(**value)


def _checks(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, type]:
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # hints may be any expression; one that cannot be read is not a check
        return {}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [name for name, parameter in signature.parameters.items() if parameter.kind not in variable]
    return {name: hints[name] for name in named if isinstance(hints.get(name), type) and hints[name] in _CHECKED}


def _is_a(value: Any, expected: type) -> bool:
    # True is an int to Python, but hardly what somebody meant by one.
    return type(value) in _CHECKED[expected]
