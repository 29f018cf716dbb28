"""The pauses of a queue, as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zjobs.client.wording.text import near, printable
from zjobs.messages.records import Paused, QueuePause
from zjobs.messages.requests.changes import PauseReply, ResumeReply


def paused_lines(paused: Paused | None, pauses: Sequence[QueuePause], now_s: float) -> list[str]:
    """Return a line for each pause in force: `paused by ann until 15:00: aligning`.

    paused: the oldest, all that is known where `pauses` is empty. now_s: the time by the clock.
    """
    return [f"paused{_details(pause, now_s)}" for pause in _all(paused, pauses)]


def since_when(paused: Paused | None, pauses: Sequence[QueuePause], now_s: float) -> str:
    """Return all pauses with the times at which they began, in one line."""
    told = [f"since {_clock(pause.since_at, now_s)}{_details(pause, now_s)}" for pause in _all(paused, pauses)]
    return "; ".join(told)


def resumed_lines(reply: ResumeReply, now_s: float) -> list[str]:
    """Return what became of the pauses: that the queue runs, or who else has paused it."""
    if not reply.pauses:
        return ["resumed" if reply.was else "it was not paused"]
    lifted = [f"lifted {len(reply.lifted)} of your pauses"] if reply.lifted else []
    still = [f"still {line}" for line in paused_lines(None, reply.pauses, now_s)]
    return [*lifted, *still]


def going_on_lines(reply: PauseReply) -> list[str]:
    """Return the jobs that run or may start although the queue is paused."""
    lines = [] if reply.running is None else [f"job {reply.running} is running and goes on"]
    if len(reply.may_start) == 1:
        lines.append(f"job {reply.may_start[0]} may still start: the worker has it")
    elif reply.may_start:
        first, last = min(reply.may_start), max(reply.may_start)
        lines.append(f"{len(reply.may_start)} jobs ({first} to {last}) may still start: the worker has them")
    return lines


def _all(paused: Paused | None, pauses: Sequence[QueuePause]) -> Sequence[QueuePause]:
    return pauses if pauses or paused is None else [QueuePause("", paused.reason, paused.at)]


def _details(pause: QueuePause, now_s: float) -> str:
    """Return by whom a pause is, until when, and why."""
    name = printable(pause.owner) or (f"{printable(pause.submitter)}?" if pause.submitter else "")
    who = f" by {name}" if name else ""
    until = "" if pause.until_at is None else f" until {_clock(pause.until_at, now_s)}"
    return f"{who}{until}" + (f": {printable(pause.reason)}" if pause.reason else "")


def _clock(at_ms: int, now_s: float) -> str:
    """Return the time of day, with seconds unless it is a full minute; rounded up, so that no end is given too
    early."""
    at_s = -(-at_ms // 1000)
    return near(at_s, now_s, "%H:%M:%S" if at_s % 60 else "%H:%M")
