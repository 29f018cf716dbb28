"""Pauses that add up: whose they are, when they end, and who may lift them."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.core.people.pauses import MOST, Pauses
from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.core.records.jobs import Instant
from zjobs.messages.dispatch import Ended
from zjobs.messages.records import QueuePause
from zjobs.messages.requests.changes import Pause, PauseReply, Resume, ResumeReply
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, FailReason, Outcome, Role
from zjobs.messages.units import Ms

ANN, BOB = Who("ann", Role.MEMBER), Who("bob", Role.MEMBER)
BOSS, CHIEF = Who("boss", Role.OPERATOR), Who("chief", Role.OPERATOR)
DAY_MS = 86_400_000


def owners(bench: Any) -> list[str]:
    """Whose pauses are in force, by the core and by the journal."""
    named = [pause.owner for pause in bench.core.pauses]
    assert named == [pause.owner for pause in bench.journal.load().pauses]
    return named


def test_pauses_add_up(ready: Any) -> None:
    """The queue runs when the last of them has ended, however each of them did."""
    ready.pause("aligning", 100, ANN)
    ready.pause("by hand", 300, BOB)
    ready.submit("once")
    ready.after(100)
    assert owners(ready) == ["bob"] and ready.handed == []
    ready.pause("", None, BOSS)
    ready.after(200)
    assert owners(ready) == ["boss"] and ready.handed == []
    ready.resume(BOSS)
    assert owners(ready) == [] and ready.handed == [(1, 1)]


def test_a_pause_ends_at_its_time_and_not_before(ready: Any) -> None:
    """The core says when it wants to be woken for it; the job starts in that turn."""
    ready.pause("", 500, ANN)
    ready.submit("once")
    assert ready.core.next_deadline_ms(ready.mono_ms) <= ready.mono_ms + 500
    ready.after(499)
    assert ready.handed == [] and owners(ready) == ["ann"]
    ready.after(1)
    assert ready.handed == [(1, 1)] and owners(ready) == []


def test_nobody_lifts_anothers_pause(ready: Any) -> None:
    """Not even an operator with a plain `resume`, which says what is still in force; with `all`, everybody's."""
    for who in (ANN, BOSS, CHIEF):
        ready.pause(who.name, 1_000, who)
    reply = ready.resume(CHIEF)
    assert isinstance(reply, ResumeReply) and reply.was is not None and reply.was.reason == "chief"
    assert [pause.owner for pause in reply.lifted] == ["chief"]
    assert [pause.owner for pause in reply.pauses] == owners(ready) == ["ann", "boss"]
    reply = ready.resume(BOB)
    assert (reply.was, reply.lifted, owners(ready)) == (None, (), ["ann", "boss"])
    refused = ready.resume(ANN, everything=True)
    assert isinstance(refused, Error) and refused.code is ErrorCode.NOT_PERMITTED and len(owners(ready)) == 2
    ready.resume(CHIEF, everything=True)
    assert owners(ready) == []


def test_a_pause_of_nobody_is_lifted_by_operators(make: Any) -> None:
    """The broker's own, such as after a failure: not by members."""
    bench = make("failed")
    bench.worker()
    bench.pause("lunch", 1_000, ANN)
    bench.core._pauses.begin("", "job 1 failed", None, bench.now)
    bench.resume(ANN)
    assert [pause.owner for pause in bench.core.pauses] == [""]
    bench.resume(BOSS)
    assert not bench.core.pauses


def test_whose_a_pause_is_by_their_own_account(ready: Any) -> None:
    """It is told where no key proves whose it is, keeps apart what several people ask for, and is no permission."""
    for submitter, for_ms in (("ann@lab", 100), ("bob@lab", 300), ("ann@lab", 200)):
        ready.ask(Pause("", for_ms=for_ms, submitter=submitter))
    ready.ask(Pause("", for_ms=50, submitter="eve@lab"), who=ANN)
    assert [(pause.owner, pause.submitter) for pause in ready.core.pauses] == [
        ("", "bob@lab"),
        ("", "ann@lab"),
        ("ann", ""),
    ]
    ready.turn()
    assert [pause.submitter for pause in ready.journal.load().pauses] == ["bob@lab", "ann@lab", ""]
    ready.resume()
    assert owners(ready) == ["ann"]


def test_a_longer_pause_of_ones_own_takes_the_place_of_shorter_ones(ready: Any) -> None:
    """A shorter one shortens nothing, and one without end changes the reason of the one before."""
    ready.pause("a", 100, ANN)
    ready.pause("b", 300, ANN)
    ready.pause("c", 200, ANN)
    ready.pause("d", 250, BOB)
    assert [pause.reason for pause in ready.core.pauses] == ["b", "c", "d"]
    ready.pause("x", None, BOSS)
    ready.pause("y", None, BOSS)
    ready.pause("z", 900, BOSS)
    assert [pause.reason for pause in ready.core.pauses] == ["b", "c", "d", "y", "z"]


def test_a_member_says_how_long(ready: Any) -> None:
    """A pause without end is the operator's."""
    refused = ready.pause("", None, ANN)
    assert isinstance(refused, Error) and refused.code is ErrorCode.NOT_PERMITTED
    assert refused.message == "ann is a member and must say how long; a pause without end needs the role operator"
    assert isinstance(ready.pause("", 1, ANN), PauseReply)


@pytest.mark.parametrize(("until_at", "for_ms"), [(0, None), (1_700_000_001_000, None), (2**62, None), (10**13, 5)])
def test_ends_that_are_none(ready: Any, until_at: int, for_ms: int | None) -> None:
    """In the past, now, in ages, or said twice: nothing is paused."""
    ready.ask(Pause("", Ms(until_at), for_ms), who=BOSS)
    reply = ready.reply()
    assert isinstance(reply, Error) and reply.code is ErrorCode.BAD_REQUEST and owners(ready) == []


def test_until_a_time(ready: Any) -> None:
    """By the broker's wall clock as it is set when the request comes."""
    ready.ask(Pause("", Ms(ready.now.wall_ms + 250)), who=ANN)
    reply = ready.reply()
    assert isinstance(reply, PauseReply) and reply.pauses[0].until_at == ready.now.wall_ms + 250
    ready.wall_ms += DAY_MS
    ready.after(249)
    assert owners(ready) == ["ann"]
    ready.after(1)
    assert owners(ready) == []


def test_there_are_not_too_many(ready: Any) -> None:
    """Names may be made up, where there are no keys."""
    for number in range(MOST):
        ready.pause("", 1_000, Who(f"p{number}", Role.MEMBER))
    refused = ready.pause("", 1_000, ANN)
    assert isinstance(refused, Error) and refused.code is ErrorCode.QUEUE_FULL and len(owners(ready)) == MOST


def test_a_failure_in_a_timed_pause_pauses_on(make: Any) -> None:
    """The end of somebody's pause must not start the queue that a failure stopped."""
    bench = make("failed")
    bench.worker()
    bench.submit("once", "once")
    bench.pause("lunch", 100, ANN)
    bench.report(1, Ended(1, Outcome.FAILED, 10, None, FailReason.RAISED, "no", ""))
    assert owners(bench) == ["ann", ""]
    bench.after(100)
    assert owners(bench) == [""] and bench.handed == []


# --- the clocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_ms", [-DAY_MS, -5_000, 0, 5_000, DAY_MS])
def test_a_wall_clock_that_is_set_moves_no_end(ready: Any, step_ms: int) -> None:
    """It lasts as long as was said; what is told is the end by the clock as it is set now."""
    ready.pause("", 60_000, ANN)
    ready.wall_ms += step_ms
    ready.after(59_999)
    (pause,) = ready.core.pauses
    assert abs(pause.until_at - (ready.now.wall_ms + 1)) <= 1_000
    ready.after(1)
    assert not ready.core.pauses


@pytest.mark.parametrize(("step_ms", "left_ms"), [(0, 40_000), (10_000, 30_000), (DAY_MS, 0), (-DAY_MS, 60_000)])
def test_over_a_restart_the_wall_clock_says_what_is_left(ready: Any, step_ms: int, left_ms: int) -> None:
    """At most the whole time, whatever the clock says: a pause that nobody could end would be the worst."""
    ready.pause("", 60_000, ANN)
    ready.mono_ms += 20_000
    ready.wall_ms += step_ms
    ready.restart()
    if left_ms:
        ready.after(left_ms - 1)
        assert owners(ready) == ["ann"]
    ready.after(1)
    assert owners(ready) == []


def test_what_was_told_stands_while_it_is_right_to_a_second() -> None:
    """Events tell changes, and two clocks that are read one after the other are none."""
    now = Instant(Ms(1_000), Ms(1_700_000_000_000))
    pauses = Pauses([], now)
    pauses.begin("ann", "", 60_000, now)
    (told,) = pauses.for_clients
    pauses.look(Instant(Ms(1_010), Ms(now.wall_ms + 11)))
    assert pauses.for_clients == (told,)
    pauses.look(Instant(Ms(1_020), Ms(now.wall_ms + 5_020)))
    (later,) = pauses.for_clients
    assert later.until_at == told.until_at + 5_000
    pauses.look(Instant(Ms(1_030), Ms(now.wall_ms + 5_031)))
    assert pauses.for_clients == (later,)
    assert pauses.kept == (told,)


def test_a_pause_of_a_journal_without_owners() -> None:
    """Lasts until an operator lifts it."""
    now = Instant(Ms(1_000), Ms(1_700_000_000_000))
    pauses = Pauses([QueuePause("", "old", Ms(5))], now)
    assert pauses.endless and pauses.next_end_ms() is None and pauses.end_due(now) == ()
    assert Resume().all is False and ANYBODY.role is Role.OPERATOR
