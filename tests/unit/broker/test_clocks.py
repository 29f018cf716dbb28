"""Two clocks: delays go by the one that nobody sets; the other is shown, and matters across restarts alone."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.core.people.who import ANYBODY
from zjobs.broker.requests.contents import Service
from zjobs.broker.requests.queries import Queries
from zjobs.messages import codec
from zjobs.messages.dispatch import Ended, Running
from zjobs.messages.records import Limits
from zjobs.messages.requests.queries import Status, StatusReply
from zjobs.messages.states import FailReason, Outcome

DAY_MS = 86_400_000
STEPS = [DAY_MS, -DAY_MS, 300 * 365 * DAY_MS]


def failed(delivery: int) -> Ended:
    return Ended(delivery, Outcome.FAILED, 10, None, FailReason.RAISED, "no")


def shown_ready_at(bench: Any, job_id: int) -> int | None:
    service = Service(Limits(), "", "", 0)
    steps = Queries(bench.core, bench.journal, service, ANYBODY, bench.now, None).answer(Status((job_id,)))
    reply = None
    while reply is None:
        try:
            next(steps)
        except StopIteration as end:
            reply = end.value
    assert isinstance(reply, StatusReply)
    codec.encode(reply)
    return reply.jobs[0].ready_at


@pytest.mark.parametrize("step_ms", STEPS)
def test_a_delay_is_neither_shorter_nor_longer(ready: Any, step_ms: int) -> None:
    """However the clock is set meanwhile; what is shown follows the clock."""
    ready.submit("again", delay_ms=1_000)
    ready.after(400)
    ready.wall_ms += step_ms
    assert shown_ready_at(ready, 1) == ready.now.wall_ms + 600
    assert ready.core.next_deadline_ms(ready.mono_ms) <= ready.mono_ms + 600
    ready.after(599)
    assert ready.handed == []
    ready.heartbeat()
    ready.after(1)
    assert ready.handed == [(1, 1)]


@pytest.mark.parametrize("step_ms", STEPS)
def test_a_retry_waits_as_long_as_its_type_says(ready: Any, step_ms: int) -> None:
    """Whatever the clock says."""
    ready.submit("later")
    ready.report(1, failed(1))
    ready.wall_ms += step_ms
    ready.after(999)
    assert ready.handed == [] and ready.core.waiting == 1
    ready.after(1)
    assert ready.handed == [(2, 1)]


def test_what_was_said_stands_while_the_clocks_agree(ready: Any) -> None:
    """The two are read one after the other, and the one is corrected little by little."""
    ready.submit("again", delay_ms=60_000)
    said = shown_ready_at(ready, 1)
    ready.wall_ms += 7
    assert shown_ready_at(ready, 1) == said


@pytest.mark.parametrize(("step_ms", "left_ms"), [(0, 600), (200, 400), (DAY_MS, 0), (-100, 700), (-DAY_MS, 1_000)])
def test_over_a_restart_the_wall_clock_says_what_is_left(ready: Any, step_ms: int, left_ms: int) -> None:
    """Nothing else knows how long it took; but a delay never becomes longer than it was."""
    ready.submit("again", delay_ms=1_000)
    ready.after(400)
    ready.wall_ms += step_ms
    ready.restart()
    ready.heartbeat()
    if left_ms:
        ready.after(left_ms - 1)
        assert ready.handed == []
        ready.after(1)
    assert ready.handed == [(1, 1)]


def test_the_delay_of_a_retry_is_bounded_by_itself_over_a_restart(ready: Any) -> None:
    """It began when the run ended."""
    ready.after(2_000)
    ready.submit("later")
    ready.report(1, failed(1))
    ready.wall_ms -= DAY_MS
    ready.restart()
    ready.heartbeat()
    ready.after(999)
    assert ready.handed == []
    ready.after(1)
    assert ready.handed == [(2, 1)]


def test_a_run_that_began_before_1970_is_shown(ready: Any) -> None:
    """By the clock, that is: times are never below 0."""
    ready.wall_ms = -ready.mono_ms
    ready.submit("again")
    ready.taken = 1
    ready.heartbeat(running=Running(1, 1, 10_000))
    assert ready.core.running is not None and shown_ready_at(ready, 1) is None
    ready.worker("B")
    assert ready.details(1).attempts[0].started_at == 0
