"""The client library: submit jobs, ask about them, wait for them.

`Client` blocks and may be shared by threads; `AsyncClient` is for asyncio. `NO_DATA` stands for the data of a job
without any, and every exception here is a `ZjobsError`. Names are imported when they are first used.
"""

from __future__ import annotations

# Importing this package must be quick and silent: `zclient` can silence Ctrl+C only after it.
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zjobs.client.aio import AsyncClient as AsyncClient
    from zjobs.client.aio_job import AsyncJob as AsyncJob
    from zjobs.client.aio_job import AsyncWatch as AsyncWatch
    from zjobs.client.client import Client as Client
    from zjobs.client.errors import BadAddress as BadAddress
    from zjobs.client.errors import BadConfig as BadConfig
    from zjobs.client.errors import BadData as BadData
    from zjobs.client.errors import BadKeyFile as BadKeyFile
    from zjobs.client.errors import BadReply as BadReply
    from zjobs.client.errors import BadRequest as BadRequest
    from zjobs.client.errors import BrokerChanged as BrokerChanged
    from zjobs.client.errors import BrokerUnreachable as BrokerUnreachable
    from zjobs.client.errors import Busy as Busy
    from zjobs.client.errors import Expired as Expired
    from zjobs.client.errors import InternalError as InternalError
    from zjobs.client.errors import JobCancelled as JobCancelled
    from zjobs.client.errors import JobEndedWithoutResult as JobEndedWithoutResult
    from zjobs.client.errors import JobFailed as JobFailed
    from zjobs.client.errors import KeyConflict as KeyConflict
    from zjobs.client.errors import KeyNeeded as KeyNeeded
    from zjobs.client.errors import KeyRefused as KeyRefused
    from zjobs.client.errors import NotFinished as NotFinished
    from zjobs.client.errors import NotFound as NotFound
    from zjobs.client.errors import NotPermitted as NotPermitted
    from zjobs.client.errors import QueueFull as QueueFull
    from zjobs.client.errors import ReadOnly as ReadOnly
    from zjobs.client.errors import RemoteTraceback as RemoteTraceback
    from zjobs.client.errors import Resumed as Resumed
    from zjobs.client.errors import SchemaChanged as SchemaChanged
    from zjobs.client.errors import StillRunning as StillRunning
    from zjobs.client.errors import StorageFailed as StorageFailed
    from zjobs.client.errors import TooLarge as TooLarge
    from zjobs.client.errors import UnknownOp as UnknownOp
    from zjobs.client.errors import UnknownType as UnknownType
    from zjobs.client.errors import UnsupportedVersion as UnsupportedVersion
    from zjobs.client.errors import UntrustedBroker as UntrustedBroker
    from zjobs.client.errors import WaitTimeout as WaitTimeout
    from zjobs.client.errors import WouldDeadlock as WouldDeadlock
    from zjobs.client.errors import ZjobsError as ZjobsError
    from zjobs.client.futures import Executor as Executor
    from zjobs.client.futures import JobFuture as JobFuture
    from zjobs.client.job import Job as Job
    from zjobs.client.job import Watch as Watch
    from zjobs.client.protocol.events.watch import WatchEvent as WatchEvent
    from zjobs.client.protocol.job import NO_DATA as NO_DATA

# The modules of names that are not errors.
_HOMES = {
    "AsyncClient": "aio",
    "AsyncJob": "aio_job",
    "AsyncWatch": "aio_job",
    "Client": "client",
    "Executor": "futures",
    "Job": "job",
    "JobFuture": "futures",
    "NO_DATA": "protocol.job",
    "RemoteTraceback": "errors",
    "WatchEvent": "protocol.events.watch",
    "Watch": "job",
}


def __getattr__(name: str) -> Any:
    if name[:1].isupper():  # the modules of this package are looked up here too
        module = import_module(f"zjobs.client.{_HOMES.get(name, 'errors')}")
        if name in _HOMES or name in _error_names():
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_HOMES, *_error_names()])


def _error_names() -> list[str]:
    from zjobs.client import errors

    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    return [name for name, kind in kinds.items() if issubclass(kind, errors.ZjobsError)]
