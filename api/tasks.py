"""The decorator `task` of this package: a job type that can also be submitted by its function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from zjobs.worker import tasks

if TYPE_CHECKING:
    from zjobs.client.client import Client
    from zjobs.client.job import Job

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Submittable(Protocol[P, R]):
    """A function that is a task: calling it runs it here and now, `submit` queues a job."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function, as before."""
        ...

    def submit(self, *data: Any, **named: Any) -> Job:
        """Queue a job of this type with the default client; see `Client.submit` for the data and the options."""
        ...


@overload
def task(function: Callable[P, R]) -> Submittable[P, R]: ...


@overload
def task(**options: Any) -> Callable[[Callable[P, R]], Submittable[P, R]]: ...


def task(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Mark a function as a task, and give it `submit`."""

    def mark(function: Callable[..., Any]) -> Any:
        marked: Any = tasks.task(**options)(function)
        with suppress(AttributeError, TypeError):  # anything but a plain function may accept no attributes
            marked.task_type = options.get("name") or function.__name__  # for code that is given the function
            marked.submit = partial(_submit, function)
        return marked

    return mark if function is None else mark(function)


task.__doc__ = f"{tasks.task.__doc__}    The function's `submit` queues a job with the default client."


@lru_cache(maxsize=1)
def default_client() -> Client:
    """Return the client that `submit` of a task uses: one for the program, for the broker that the environment
    names."""
    from zjobs.client.client import Client  # a worker loads tasks, and needs no client

    return Client()


def _submit(function: Callable[..., Any], *data: Any, **named: Any) -> Job:
    return default_client().submit(function, *data, **named)
