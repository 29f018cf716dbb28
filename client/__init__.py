"""The client library and `zclient`. What to import from here: `Client`, `Job`, `NO_DATA` and the errors.

The names are looked up when they are first used: importing this package must be quick and silent, because
`zclient` can make Ctrl+C quiet only after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zjobs.client.client import NO_DATA as NO_DATA
    from zjobs.client.client import Client as Client
    from zjobs.client.client import Job as Job
    from zjobs.client.errors import BadAddress as BadAddress
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
    from zjobs.client.errors import Resumed as Resumed
    from zjobs.client.errors import StillRunning as StillRunning
    from zjobs.client.errors import StorageFailed as StorageFailed
    from zjobs.client.errors import TooLarge as TooLarge
    from zjobs.client.errors import UnknownOp as UnknownOp
    from zjobs.client.errors import UnknownType as UnknownType
    from zjobs.client.errors import UnsupportedVersion as UnsupportedVersion
    from zjobs.client.errors import UntrustedBroker as UntrustedBroker
    from zjobs.client.errors import WaitTimeout as WaitTimeout
    from zjobs.client.errors import ZjobsError as ZjobsError


def __getattr__(name: str) -> Any:
    if name[:1].isupper():  # the modules of this package are looked up here too
        from zjobs.client import client, errors

        for module in (client, errors):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
