"""A job queue over ZeroMQ: jobs run strictly in order, one at a time, and are never lost.

Client and AsyncClient submit jobs and wait for them; Executor and as_completed do so in the manner of
concurrent.futures; `zjobs.client` has the rest of the library. `task` makes a function a job type. A Context parameter
gives the function its job's id and lets it report progress, and Cancelled ends it; see docs/tasks.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zjobs.client.aio import AsyncClient as AsyncClient
    from zjobs.client.client import Client as Client
    from zjobs.client.futures import Executor as Executor
    from zjobs.client.futures import as_completed as as_completed
    from zjobs.program.version import VERSION as __version__
    from zjobs.tasks import default_client as default_client
    from zjobs.tasks import task as task
    from zjobs.worker.tasks import Cancelled as Cancelled
    from zjobs.worker.tasks import Context as Context

__all__ = [
    "AsyncClient",
    "Cancelled",
    "Client",
    "Context",
    "Executor",
    "__version__",
    "as_completed",
    "default_client",
    "task",
]

# The home of each name, imported at first use: no program pays for what it does not need.
_HOMES = {
    "AsyncClient": ("zjobs.client.aio", "AsyncClient"),
    "Cancelled": ("zjobs.worker.tasks", "Cancelled"),
    "Client": ("zjobs.client.client", "Client"),
    "Context": ("zjobs.worker.tasks", "Context"),
    "Executor": ("zjobs.client.futures", "Executor"),
    "as_completed": ("zjobs.client.futures", "as_completed"),
    "__version__": ("zjobs.program.version", "VERSION"),
    "default_client": ("zjobs.tasks", "default_client"),
    "task": ("zjobs.tasks", "task"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, original = _HOMES[name]
    return globals().setdefault(name, getattr(import_module(module), original))


def __dir__() -> list[str]:
    return __all__
