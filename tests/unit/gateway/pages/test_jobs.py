"""Jobs, times and lives as pages tell them."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from markupsafe import Markup

from zjobs.gateway.pages.elements import jobs, times
from zjobs.gateway.pages.elements.timeline import steps
from zjobs.gateway.pages.shared.rendering import TEMPLATES, harmless
from zjobs.messages.records import Attempt, DataPreview, Estimate, JobStatus
from zjobs.messages.requests.queries import ShowReply
from zjobs.messages.states import Awaited, FailReason, JobState, Origin, Outcome, WorkerState
from zjobs.messages.units import JobId, Ms
from zjobs.messages.values import pack_value

NOW = 1_800_000_000_000


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The gateway's zone is an hour east."""
    monkeypatch.setenv("TZ", "XYZ-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def job(state: JobState = JobState.QUEUED, **fields: Any) -> JobStatus:
    return JobStatus(JobId(7), "measure", state, 3, 0, Ms(NOW - 60_000), 0, 0, **fields)


def estimate(likely_ms: int | None, upper_ms: int | None, **fields: Any) -> Estimate:
    return Estimate(likely_ms, upper_ms, Origin.HISTORY, **fields)  # type: ignore[arg-type]


def read(markup: Markup) -> str:
    return re.sub("<[^>]*>", "", markup)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (None, ""),
        (estimate(None, None), ""),
        (estimate(None, None, after=Awaited.WORKER), "once a worker is ready"),
        (estimate(0, 0), "next"),
        (estimate(20_000, 60_000), "in 20–60 s"),
        (estimate(300_000, 600_000), "09:05–09:10"),
        (estimate(300_000, None, at_least=True), "09:05 or later"),
        (estimate(300_000, 600_000, at_least=True), "09:05 or later, by 09:10"),
        (estimate(None, 600_000), "by 09:10"),
        (estimate(180_000, 360_000, after=Awaited.RESUME), "3–6 min after resume"),
        (estimate(0, 20 * 3_600_000), "09:00–2027-01-16 05:00"),
    ],
)
def test_starts_are_told_in_the_words_of_zclient(start: Estimate | None, told: str) -> None:
    """With the day, when it is another one; moments can be told in another zone by a script."""
    markup = times.start(start, NOW)
    assert read(markup) == told
    assert ("<time" in markup) == (":" in told)


def test_a_moment_is_told_to_people_and_to_programs() -> None:
    """In the gateway's zone, and in UTC; a clock that runs ahead makes no negative age."""
    assert times.moment(NOW + 1) == (
        '<time datetime="2027-01-15T08:00:00.001Z" data-show="moment">2027-01-15 09:00:00</time>'
    )
    assert times.zone(NOW) == "XYZ (UTC+01:00)" and read(times.ago(NOW + 5000, NOW)) == "0 s ago"


def test_what_is_wrong_with_the_running_job_is_said() -> None:
    """Each thing, in words."""
    over = estimate(0, 0, overdue_ms=120_000)
    ill = job(JobState.IN_PROGRESS, cancelling=True, stuck_ms=9_000, estimate=over, fraction=0.619)
    now = jobs.running(ill, 600_000, WorkerState.ABSENT)
    assert (now.percent, now.left, now.limit) == (61, "", "10 min") and len(now.alarms) == 4
    assert "stuck? It has shown no liveness for 9 s" in now.alarms and "overdue by 2 min 0 s" in now.alarms
    well = jobs.running(job(JobState.IN_PROGRESS, estimate=estimate(60_000, 180_000, runs=14)), None, WorkerState.READY)
    assert (well.left, well.alarms) == ("1–3 min left (from 14 runs)", ())
    told = estimate(90_000, 90_000)._replace(origin=Origin.PROGRESS)
    now = jobs.running(job(JobState.IN_PROGRESS, estimate=told, fraction=0.5), None, WorkerState.READY)
    assert now.left == "90 s left (from its progress)"


def test_places_and_what_a_job_waits_for() -> None:
    """The running job is not in line; who waits for their time has no place."""
    assert [jobs.row(job(ahead=2), runs, NOW).place for runs in (True, False)] == [2, 3]
    late = jobs.row(job(ready_at=NOW + 3_600_000), False, NOW)
    assert (late.place, read(late.start)) == (0, "not before 10:00")
    again = jobs.row(job(ahead=0)._replace(attempts=1, max_attempts=3, message="lamp"), False, NOW)
    assert again.why == "attempt 2 of 3, after lamp"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"count": 3, "path": "a"}, 'measure(count=3, path="a")'),
        ("text", 'measure("text")'),
        ({"x": "y" * 200}, 'measure({"x": "yyy'),
    ],
)
def test_a_job_is_told_like_a_call(data: Any, said: str) -> None:
    """As far as the beginning of its data tells it."""
    body = pack_value(data)
    assert jobs.call(job(data_preview=DataPreview(body[:128], len(body)))).startswith(said)


def test_the_life_of_a_job_is_told_in_steps() -> None:
    """Submitted, tried, tried again, ended: each run once."""
    failed = Attempt(
        1, Outcome.FAILED, Ms(NOW), Ms(NOW + 2000), FailReason.RAISED, "ValueError: x", "Traceback\nValueError: x"
    )
    ended = job(JobState.COMPLETED, owner="ada", started_at=NOW + 9000, ended_at=NOW + 9500, run=2, elapsed_ms=500)
    shown = ShowReply("j", ended, "k", None, 3, None, JobId(5), (), (failed,))
    told = steps(shown)
    assert [step.what for step in told] == [
        "submitted by ada, a copy of #5",
        "run 1 started",
        "run 1 failed after 2.0 s: its task raised an exception",
        "run 2 started",
        "completed in 0.5 s",
    ]
    assert told[2].detail == "Traceback\nValueError: x"
    again = shown._replace(job=job(ready_at=NOW + 60_000, run=1))
    assert steps(again)[-1].what == "will be ready"
    last = shown._replace(job=ended._replace(state=JobState.FAILED, run=1))
    assert [step.state for step in steps(last)] == ["queued", "in_progress", "failed"]


def test_whatever_a_template_shows_is_harmless() -> None:
    """Without a word in the template: markup, control characters, marks that turn the direction of writing."""
    shown = TEMPLATES.from_string("<p title='{{ a }}'>{{ a }}</p>").render(a="<b>'\x1b[1m\u202e\n\tü")
    assert shown == "<p title='&lt;b&gt;&#39;\\x1b[1m\\u202e\n\tü'>&lt;b&gt;&#39;\\x1b[1m\\u202e\n\tü</p>"
    assert harmless(Markup("<b>\x1b")) == Markup("<b>\x1b")
