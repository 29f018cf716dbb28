"""The beginning of packed data as a short text."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjobs.client.protocol.preview import preview_of, preview_text
from zjobs.messages import values
from zjobs.messages.records import DataPreview, JobStatus
from zjobs.messages.states import JobState

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def shown(value: Any, size: int = 128, most: int = 60) -> str:
    packed = values.pack_value(value)
    return preview_text(DataPreview(packed[:size], len(packed)), most)


@pytest.mark.parametrize(
    ("value", "size", "text"),
    [
        ({"count": 3, "path": "/data/2026/scan"}, 22, '{"count": 3, "path": "/data/20\u2026'),
        ({"count": 3}, 128, '{"count": 3}'),
        ("x" * 200, 128, '"' + "x" * 58 + "\u2026"),
        ("\u00fcber", 2, '"\u2026'),
        ([1.5, None, True, -7, 300], 128, "[1.5, null, true, -7, 300]"),
        (b"bytes", 128, "<5 bytes>"),
        ({"image": b"x" * 1000}, 128, '{"image": <1000 bytes>\u2026'),
        ("line\nline", 128, '"line\\nline"'),
    ],
)
def test_what_is_shown(value: Any, size: int, text: str) -> None:
    """Like JSON; where the value goes on, an ellipsis."""
    assert shown(value, size) == text


@given(PLAIN)
def test_a_whole_value_is_shown_as_json(value: Any) -> None:
    """What fits is shown as `result` would."""
    assert shown(value, 1 << 20, 1 << 20) == json.dumps(value, ensure_ascii=False)


@given(PLAIN, st.integers(0, 60), st.integers(2, 40))
def test_a_cut_value_is_the_beginning(value: Any, size: int, most: int) -> None:
    """However it is cut."""
    text, whole = shown(value, size, most), json.dumps(value, ensure_ascii=False)
    assert len(text) <= most
    assert text == whole or (text.endswith("\u2026") and whole.startswith(text[:-1]))


@given(st.binary(max_size=130), st.integers(0, 300))
def test_whatever_the_bytes_are(body: bytes, more: int) -> None:
    """Nobody checked that data is msgpack."""
    text = preview_text(DataPreview(body, len(body) + more))
    assert len(text) <= 60


@pytest.mark.parametrize("body", [b"\xc1", b"\x01\x02", b"", b"\xa5ab", b"\xd4\x01x"])
def test_what_is_no_value_is_not_shown_as_one(body: bytes) -> None:
    """Its size is."""
    assert preview_text(DataPreview(body, len(body))) == f"{len(body)} bytes, not msgpack"


@pytest.mark.parametrize(
    ("data", "size", "line"),
    [
        ({"argv": ["make", "-j4", "a b"], "cwd": "/"}, 128, "make -j4 'a b'"),
        ({"argv": ["sh", "-c", "make && make test"]}, 25, "sh -c 'make && mak\u2026"),
        ({"argv": ["reduce", "frame-0001.fits"]}, 21, "reduce frame-\u2026"),
        ({"argv": ["a", "b", "c"]}, 11, "a b \u2026"),
        ({"argv": ["a"] * 100}, 1000, "a " * 29 + "a\u2026"),
        ({"argv": ["x" * 300]}, 1000, "x" * 59 + "\u2026"),
        ({"argv": []}, 128, ""),
        ({"cwd": "/", "argv": ["make"]}, 128, '{"cwd": "/", "argv": ["make"]}'),
        ({"argv": ["make", 3]}, 128, '{"argv": ["make", 3]}'),
        ({"argv": "make"}, 128, '{"argv": "make"}'),
        (["make"], 128, '["make"]'),
        (3, 128, "3"),
    ],
)
def test_a_command_is_shown_as_a_shell_reads_it(data: Any, size: int, line: str) -> None:
    """Where it goes on, with an ellipsis; what is no command, as other data."""
    packed = values.pack_value(data)
    job = JobStatus(1, "command", JobState.QUEUED, 0, 0, 0, 0, 0)
    assert preview_of(job._replace(data_preview=DataPreview(packed[:size], len(packed)))) == line
    other = job._replace(type="other", data_preview=DataPreview(packed, len(packed)))
    assert preview_of(other) == preview_text(DataPreview(packed, len(packed))) and preview_of(job) == ""


@given(st.lists(st.text(max_size=9), max_size=5), st.integers(1, 60), st.integers(2, 40))
def test_a_cut_command_is_the_beginning(argv: list[str], size: int, most: int) -> None:
    """However it is cut."""
    packed = values.pack_value({"argv": argv})
    job = JobStatus(1, "command", JobState.QUEUED, 0, 0, 0, 0, 0, data_preview=DataPreview(packed[:size], len(packed)))
    line, whole = preview_of(job, most), shlex.join(argv)
    assert len(line) <= most and (line == whole or line.endswith("\u2026") or size < 7)
