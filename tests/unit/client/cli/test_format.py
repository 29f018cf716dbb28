"""How things are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zjobs.client.cli.show import format
from zjobs.client.wording import text
from zjobs.messages.events import ServiceEvent
from zjobs.messages.records import Estimate, JobStatus, Limits, TaskType, WorkerInfo
from zjobs.messages.requests.queries import InfoReply, ShowReply
from zjobs.messages.states import FailReason, JobState, Origin, WorkerState

BASE = JobStatus(17, "reverse", JobState.QUEUED, 0, 0, 1, 0, 0)
NEXT = Estimate(0, 0, Origin.NOTHING_AHEAD)
IN_50_S = "17 queued, 0 ahead, starts in 50 s"  # when a pause ends
READY, ABSENT = WorkerState.READY, WorkerState.ABSENT


@pytest.mark.parametrize(
    ("fields", "worker", "line"),
    [
        ({"ahead": 3}, READY, "17 queued, 3 ahead"),
        ({"ahead": 0}, ABSENT, "17 queued, 0 ahead (no worker)"),
        ({"ahead": 0, "estimate": NEXT}, READY, "17 queued, 0 ahead"),
        ({"ahead": 0, "estimate": NEXT._replace(likely_ms=50_000, upper_ms=50_000)}, READY, IN_50_S),
        ({}, WorkerState.FOREIGN, "17 queued (the worker serves another broker)"),
        ({"state": JobState.IN_PROGRESS, "elapsed_ms": 1234}, READY, "17 in progress for 1.2 s"),
        ({"state": JobState.IN_PROGRESS, "elapsed_ms": 1234}, ABSENT, "17 in progress for 1.2 s (worker lost)"),
        (
            {"state": JobState.IN_PROGRESS, "elapsed_ms": 1234, "fraction": 0.42, "note": "aligning"},
            READY,
            "17 in progress for 1.2 s, 42 % (aligning)",
        ),
        (
            {"state": JobState.IN_PROGRESS, "elapsed_ms": 9000, "stuck_ms": 6100},
            READY,
            "17 in progress for 9.0 s (no liveness for 6 s)",
        ),
        ({"state": JobState.IN_PROGRESS, "note": "a\x1b[2J"}, READY, "17 in progress (a\\x1b[2J)"),
        ({"state": JobState.IN_PROGRESS, "cancelling": True, "elapsed_ms": 9}, READY, "17 cancelling"),
        ({"state": JobState.CANCELLED, "cancelling": True}, READY, "17 cancelled"),
        ({"cancelling": True}, READY, "17 cancelling"),
        ({"state": JobState.IN_PROGRESS}, WorkerState.SILENT, "17 in progress (the worker is silent)"),
        ({"state": JobState.COMPLETED, "elapsed_ms": 9}, ABSENT, "17 completed"),
        ({"state": JobState.CANCELLED}, READY, "17 cancelled"),
        ({"state": JobState.FAILED, "message": "E: a\nb\x1b[2J"}, READY, "17 failed: E: a\\nb\\x1b[2J"),
        (
            {"state": JobState.FAILED, "reason": FailReason.RAISED, "message": "KeyError: 'nope'"},
            READY,
            "17 failed: KeyError: 'nope' (traceback: zclient show 17)",
        ),
    ],
)
def test_status_line(fields: dict[str, Any], worker: WorkerState, line: str) -> None:
    """A status is one line without control characters, whatever a task wrote into its message."""
    assert format.status_line(BASE._replace(**fields), worker) == line


@pytest.mark.parametrize("worker", WorkerState)
@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.IN_PROGRESS])
def test_each_state_of_the_worker_can_be_shown(worker: WorkerState, state: JobState) -> None:
    """Beside a job that goes on; only of a worker that is ready there is nothing to say."""
    line = format.status_line(BASE._replace(state=state, cancelling=True), worker)
    assert line.startswith("17 cancelling") and ("(" in line) == (worker is not READY)


@pytest.mark.parametrize("worker", list(WorkerState))
def test_each_change_of_the_worker_can_be_shown(worker: WorkerState) -> None:
    """A watch of all jobs has a line for every state that the worker can be in."""
    assert format.service_lines(ServiceEvent("j", worker, None), None)[0].startswith("service: the worker ")


def test_queued_until_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is not ready says when it will be; a paused queue is said of queued jobs alone."""
    monkeypatch.setattr(format.time, "time", lambda: 1_000.0)
    later = BASE._replace(ready_at=1_028_400)
    assert format.status_line(later, READY) == "17 queued, ready in 28 s"
    assert format.status_line(later, READY, paused=True) == "17 queued, ready in 28 s (paused)"
    assert format.status_line(BASE._replace(ready_at=999_000), READY) == "17 queued, ready in 0 s"
    retry = later._replace(ready_at=1_001_000, attempts=1, max_attempts=3, reason=FailReason.RAISED, message="E: no")
    assert format.status_line(retry, READY) == "17 queued, attempt 2 of 3 in 1 s, after E: no"
    assert format.status_line(BASE._replace(ready_at=4_600_000), READY) == "17 queued, ready in 1 h 0 min"
    running = BASE._replace(state=JobState.IN_PROGRESS)
    assert format.status_line(running, READY, paused=True) == "17 in progress"


def test_output_in_a_watch() -> None:
    """Whoever watches a job is told how much it has printed, until it has ended."""
    printed = BASE._replace(state=JobState.IN_PROGRESS, output_bytes=2048)
    assert format.watch_line(printed, READY) == "17 in progress, 2.0 KiB printed"
    assert format.watch_line(printed._replace(state=JobState.COMPLETED), READY) == "17 completed"


@pytest.mark.parametrize(
    ("fraction", "bar", "percent"),
    [
        (0.0, "[--------]", "0 %"),
        (0.5, "[####----]", "50 %"),
        (0.999, "[#######-]", "99 %"),
        (1, "[########]", "100 %"),
    ],
)
def test_progress(fraction: float, bar: str, percent: str) -> None:
    """The bar is full, and 100 % are said, when all is done and not before."""
    assert text.bar(fraction, 10) == bar
    assert text.percent(fraction) == percent


@pytest.mark.parametrize(("shown", "columns"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("", 0)])
def test_width(shown: str, columns: int) -> None:
    """Wide characters take two columns, combining marks none, and nothing is cut in the middle of one."""
    assert text.width(shown) == columns
    assert text.cut("漢字x", 3) == "漢"


@pytest.mark.parametrize(
    ("value_s", "shown"),
    [(0, "0.0 s"), (1.26, "1.3 s"), (75, "1 min 15 s"), (7260, "2 h 1 min"), (90000, "1 d 1 h")],
)
def test_seconds(value_s: float, shown: str) -> None:
    """Durations have the two units that matter."""
    assert text.seconds(value_s) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("tëxt", "tëxt"),
        ("", ""),
        (None, "null"),
        ([1, "é", True], '[1, "é", true]'),
        ({1: b"\x00\xff"}, '{"1": {"base64": "AP8="}}'),
        ({b"k": 1, None: 2}, json.dumps({'{"base64": "aw=="}': 1, "null": 2})),
        ([float("nan"), float("-inf")], '["nan", "-inf"]'),
    ],
)
def test_result_text(value: Any, shown: str) -> None:
    """Text is shown as it is; whatever else msgpack can hold is JSON that parses."""
    assert text.result_text(value) == shown
    if not isinstance(value, str):
        json.loads(shown)


def test_escaped_lines_can_be_read_back() -> None:
    """What stands in a line stays in a line, and nothing is lost by it."""
    value = "a\tb\nc\\n\r"
    shown = text.escaped(value)
    assert shown == "a\\tb\\nc\\\\n\\r"
    assert shown.encode().decode("unicode_escape") == value


KIND = TaskType("measure", time_limit_ms=600_000)


@pytest.mark.parametrize(
    ("own_ms", "kind", "said"),
    [
        (90_000, KIND, "1 min 30 s, set for this job"),
        (500, None, "0.5 s, set for this job"),
        (None, KIND, "10 min, set by measure"),
        (None, KIND._replace(time_limit_ms=3_600_000), "1 h, set by measure"),
        (None, KIND._replace(time_limit_ms=None), "none (measure sets none)"),
        (None, None, "that of the type, which no worker has announced"),
    ],
)
def test_show_names_the_time_limit(own_ms: int | None, kind: TaskType | None, said: str) -> None:
    """How long, and who has set it."""
    reply = ShowReply("j", BASE, "key", None, None, own_ms, None, (), ())
    assert f"time limit:  {said}" in format.show_lines(reply, READY, kind=kind)


def test_an_absent_worker_runs_nothing() -> None:
    """info says what it ran when it was lost."""
    worker = WorkerInfo(ABSENT, 3_000, None, None, 1, None)
    info = InfoReply("j", "s", "4", "3", "3.11", 1, 1, "/j", 1, None, None, worker, 0, 0, 1, 0, 0, 0, Limits())
    (line,) = [line for line in format.info_lines(info, "tcp://h:1") if line.startswith("worker:")]
    assert line.endswith("absent for 3.0 s; job 1 ran when it was lost")
    ready = info._replace(worker=worker._replace(state=READY))
    assert any(line.endswith("ready for 3.0 s, running job 1") for line in format.info_lines(ready, "tcp://h:1"))
