"""Actions of a worker by state and message: one table, which docs/protocol.md shows (a test compares).

Why a table, and not an `if` in each method: a question such as "what becomes of jobs that arrive while a return is on
its way?" has one answer, in one place, and a test can put every message to every state. A message that is not in the
table is dropped: nothing changes and nothing is sent. So a message that comes late, or twice, does no harm.

Only messages meant for this worker are looked up: those of its session, and for `session` and `take_over` those of its
incarnation. So a worker without a session hears these two and nothing else.

Two changes of state depend on more than the message. `RETURNED`: the worker has reported that it returns jobs.
`RESUMED`: an acknowledgement covers that report. Neither applies once the worker is told to stop: it takes no more
jobs.
"""

from __future__ import annotations

from enum import Enum
from typing import Union

from zjobs.messages import dispatch as d


class State(Enum):
    """A state of the worker. The value is its column's name in the document."""

    NO_SESSION = "no session"
    TAKING = "takes jobs"
    RETURNING = "has returned, not acknowledged"
    STOPPING = "stopping"
    KILLING = "stopping at once"
    GIVING_UP = "giving up"
    EXITED = "exited"

    @property
    def stopping(self) -> bool:
        """True if the worker was told to stop: it takes no more jobs, ever."""
        return self not in _SERVING


_SERVING = (State.NO_SESSION, State.TAKING, State.RETURNING)
_STOPPING = (State.STOPPING, State.KILLING, State.GIVING_UP)


class Signal(Enum):
    """An event that a worker hears besides messages. The value is its row's name in the document."""

    SUBSCRIPTION = "a subscription"
    STOP = "it is told to stop"


Heard = Union[type[d.PipeMessage], Signal]


class Action(Enum):
    """An action of the worker. The value is its text in the document."""

    BEGIN_SESSION = "begins it, heartbeats at once"
    TAKE_JOBS = "takes those after `taken`"
    KEEP_PIECE = "keeps it, if it joins what is there"
    COUNT = "counts it, drops it"
    ASK_AGAIN = "something is missing: asks for it"
    FORGET_REPORTS = "forgets those reports; covers the return: goes on at `resume`"
    LOG = "logs"
    CANCEL = "n runs: ends it; n has not begun, or not come: returns"
    RETURN = "something has not begun: returns"
    DESCRIBE = "tells those schemas"
    RENEW = "ends the task; new incarnation"
    INTRODUCE = "heartbeats, repeats its reports"
    STOP = "returns, even if there is nothing"
    KILL = "kills what runs: `interrupted`"
    GIVE_UP = "waits no more for acknowledgements: spools"


def _everywhere(heard: Heard, action: Action, *states: State) -> dict[tuple[State, Heard], tuple[Action, State]]:
    """Return entries for the same action in each of these states; the state stays."""
    return {(state, heard): (action, state) for state in states}


_IN_SESSION = (State.TAKING, State.RETURNING, *_STOPPING)

# The action, and the state after it.
TABLE: dict[tuple[State, Heard], tuple[Action, State]] = {
    (State.NO_SESSION, d.StartSession): (Action.BEGIN_SESSION, State.TAKING),
    **_everywhere(d.Jobs, Action.COUNT, State.RETURNING, *_STOPPING),
    (State.TAKING, d.Jobs): (Action.TAKE_JOBS, State.TAKING),
    **_everywhere(d.Piece, Action.COUNT, State.RETURNING, *_STOPPING),
    (State.TAKING, d.Piece): (Action.KEEP_PIECE, State.TAKING),
    **_everywhere(d.Sent, Action.ASK_AGAIN, *_IN_SESSION),
    **_everywhere(d.Ack, Action.FORGET_REPORTS, *_IN_SESSION),
    **_everywhere(d.Rejected, Action.LOG, *_IN_SESSION),
    **_everywhere(d.CancelRun, Action.CANCEL, State.TAKING, State.RETURNING, State.STOPPING),
    (State.TAKING, d.Recall): (Action.RETURN, State.TAKING),
    **_everywhere(d.Describe, Action.DESCRIBE, *_SERVING, *_STOPPING),
    **{(state, d.TakeOver): (Action.RENEW, State.NO_SESSION) for state in _SERVING},
    **_everywhere(d.TakeOver, Action.RENEW, *_STOPPING),
    **_everywhere(Signal.SUBSCRIPTION, Action.INTRODUCE, *_SERVING, *_STOPPING),
    **{(state, Signal.STOP): (Action.STOP, State.STOPPING) for state in _SERVING},
    (State.STOPPING, Signal.STOP): (Action.KILL, State.KILLING),
    (State.KILLING, Signal.STOP): (Action.GIVE_UP, State.GIVING_UP),
    (State.GIVING_UP, Signal.STOP): (Action.GIVE_UP, State.GIVING_UP),
}
RETURNED = {State.TAKING: State.RETURNING}
RESUMED = {State.RETURNING: State.TAKING}
