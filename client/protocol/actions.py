"""Actions of the clients on their sockets, without the sockets: requests, when to repeat them, and how flows run.

A flow is a generator: it yields an action, is sent the action's outcome (or thrown its exception), and returns a value.
`Client` and `AsyncClient` perform the same flows, one by waiting and one in an event loop. There is neither clock nor
I/O here.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar, Union

from zjobs.client import errors
from zjobs.messages import codec
from zjobs.messages.fields import MAX_WAIT_MS, RECALL_MS
from zjobs.messages.named import NamedTuple
from zjobs.messages.requests import ops
from zjobs.messages.requests.changes import Cancel, Edit
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import Data, List, Log, Result, Status, Wait

PIECE_BYTES = 256 << 10  # of a result
STATUS_BYTES = 400

# A request is lost only with its connection: a broker that was restarted has forgotten it. It is sent again when the
# connection broke, and after a time without a reply, in case something in between fails silently. That time doubles,
# because a broker that is merely slow must not get more work. While the connection stands, the bytes of a request and
# of its reply are given time to travel: a large one that is begun anew each time would never arrive.
RETRY_S = 1.0
SLOWEST_BYTES_PER_S = 64 << 10
# The broker could wait for longer, but a broker that hangs would be noticed later.
WAIT_S = 10.0
PAUSE_S = 0.1  # after a connection broke: a broker that ends every connection must not be asked without pause

T = TypeVar("T")


# --- actions -----------------------------------------------------------------------------------------------


class Ask(NamedTuple):
    """Send `request`; the outcome is its reply, a `kind`. `timeout` None: the client's."""

    request: Any
    kind: type
    timeout: float | None = None


class Await(NamedTuple):
    """Send `request`, which waits for jobs: the broker may keep it for that time, or less. The outcome is its reply, a
    `kind`, which may come before a job has ended. `timeout`: for the reply once that time is over."""

    request: Any
    kind: type
    seconds: float
    timeout: float


class Sleep(NamedTuple):
    """Wait for some seconds; the outcome is the time afterwards."""

    seconds: float


class Follow(NamedTuple):
    """Receive events from `endpoint` from now on, without any topic. `shared`: other watches may use the connection,
    too."""

    endpoint: str
    shared: bool


class Topics(NamedTuple):
    """Subscribe to `added`, unsubscribe from `dropped`."""

    added: tuple[bytes, ...] = ()
    dropped: tuple[bytes, ...] = ()


class Listen(NamedTuple):
    """Wait for events, at most until the deadline `until`. The outcome is `Heard`."""

    until: float


class Heard(NamedTuple):
    """The bodies of the events that came, whether their connection was lost meanwhile, and the time."""

    bodies: list[bytes]
    lost: bool
    now: float


Action = Union[Ask, Await, Sleep, Follow, Topics, Listen]
Flow = Generator[Action, Any, T]


# --- requests ------------------------------------------------------------------------------------------------


class Attempt(NamedTuple):
    """Wait for the reply until `until`, and for another `more` seconds if the connection stands then."""

    until: float
    more: float


class Attempts:
    """The attempts at one request, by deadlines.

    timeout: seconds for the reply, not counting the time that `travel_bytes` need while the connection stands, nor the
    time for which the broker is asked to wait.
    """

    def __init__(self, timeout: float, travel_bytes: int, now: float, waits: float = 0.0) -> None:
        self._timeout = timeout
        self._travel = travel_bytes / SLOWEST_BYTES_PER_S + waits
        self._deadline = now + timeout
        self._latest = self._deadline + self._travel
        self._patience, self._pause = RETRY_S, PAUSE_S
        self._begun = now

    def begin(self, now: float) -> Attempt:
        """Return the next attempt."""
        self._begun = now
        return Attempt(min(self._deadline, now + self._patience), min(self._travel, self._latest - now))

    def failed(self, now: float, stood: bool) -> float | None:
        """Return the seconds before the next attempt, None if the time is over.

        stood: True if the connection stood at the end, or just before it broke.
        """
        if stood:  # it was on its way; another attempt gets the rest of its time
            self._deadline = max(self._deadline, min(self._latest, now + self._timeout))
        if now >= self._deadline:
            return None
        if now - self._begun >= self._patience:
            self._patience *= 2
            return 0.0
        pause = min(self._pause, self._deadline - now)
        self._pause = min(2 * self._pause, RETRY_S)
        return pause


def poll_ms(seconds: float) -> int:
    """Return the milliseconds to poll. Rounded up: a wait that ends early would be repeated until its time is over."""
    return int(min(seconds, 86_400.0) * 1000) + 1 if seconds > 0 else 0


def waiting_request(action: Await, seconds: float) -> Any:
    """Return the request of `action`, for the broker to keep for at most `seconds`."""
    return action.request._replace(wait_ms=min(int(seconds * 1000) + 1, MAX_WAIT_MS))


def reply_bytes(request: Any) -> int:
    """Return roughly how large the reply may be."""
    if isinstance(request, (Result, Data, Log)):
        return PIECE_BYTES
    if isinstance(request, List):
        return request.limit * STATUS_BYTES
    return len(request.ids) * STATUS_BYTES if isinstance(request, (Status, Cancel, Wait)) else 0


def kept_s(request: Any) -> float:
    """Return how long the broker may keep the request before it replies, in seconds."""
    kept_ms: int = RECALL_MS if isinstance(request, Edit) else getattr(request, "wait_ms", 0)
    return kept_ms / 1000


def body_of(frames: list[bytes], address: str) -> bytes:
    """Return the only frame of a reply. Raises BadReply."""
    if len(frames) != 1:
        raise errors.BadReply(f"{address} answered with {len(frames)} frames; it is not a zjobs broker")
    return frames[0]


def read_reply(body: bytes, kind: type[T], address: str) -> T:
    """Return the reply, which must be a `kind`. Raises BadReply, and the error that the broker replies with."""
    try:
        reply = codec.decode(body, ops.REPLIES)
    except codec.DecodeError as error:
        raise errors.BadReply(f"{address} does not answer like a zjobs broker: {error}") from error
    if isinstance(reply, Error):
        raise errors.BY_CODE[reply.code.value](reply.message)
    if not isinstance(reply, kind):
        raise errors.BadReply(
            f"{address} answered with {type(reply).__name__}, not {kind.__name__}; is it of another version?"
        )
    return reply
