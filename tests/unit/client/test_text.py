"""How things are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zjobs.client import text
from zjobs.messages.types import JobState, JobStatus, WorkerState

BASE = JobStatus(17, "reverse", JobState.QUEUED, 0, 0, 1, 0, 0)
READY, ABSENT = WorkerState.READY, WorkerState.ABSENT


@pytest.mark.parametrize(
    ("fields", "worker", "line"),
    [
        ({"ahead": 3}, READY, "17 queued, 3 ahead"),
        ({"ahead": 0}, ABSENT, "17 queued, 0 ahead (no worker)"),
        ({}, WorkerState.FOREIGN, "17 queued (the worker serves another broker)"),
        ({"state": JobState.IN_PROGRESS, "elapsed_ms": 1234}, READY, "17 in progress for 1.2 s"),
        ({"state": JobState.IN_PROGRESS}, WorkerState.SILENT, "17 in progress (the worker is silent)"),
        ({"state": JobState.COMPLETED, "elapsed_ms": 9}, ABSENT, "17 completed"),
        ({"state": JobState.CANCELLED}, READY, "17 cancelled"),
        ({"state": JobState.FAILED, "message": "E: a\nb\x1b[2J"}, READY, "17 failed: E: a\\nb\\x1b[2J"),
    ],
)
def test_status_line(fields: dict[str, Any], worker: WorkerState, line: str) -> None:
    """A status is one line without control characters, whatever a task wrote into its message."""
    assert text.status_line(BASE._replace(**fields), worker) == line


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
