"""Values and plots as a page shows them, and the command that says the same."""

from __future__ import annotations

import base64
import shlex
import struct
import subprocess
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjobs.client.protocol.job import NO_DATA
from zjobs.gateway.pages.elements.command import MOST_CHARS, command_of
from zjobs.gateway.pages.elements.plots import line_plot, matrix_image
from zjobs.gateway.pages.elements.values import MOST_NODES, Node, node_of
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId, Ms

NAN = float("nan")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.mark.parametrize(
    ("value", "kind", "summary"),
    [
        ("text", "text", "4 characters"),
        (None, "scalar", ""),
        (2**63, "scalar", ""),
        ({"a": 1}, "tree", "1 entry"),
        ([], "tree", "0 numbers"),
        ([1, "a"], "tree", "2 items"),
        ([1, 2], "tree", "2 numbers"),
        ([True, False, True], "tree", "3 items"),
        ([1, 2.5, NAN], "plot", "3 numbers"),
        ([NAN, NAN, NAN], "tree", "3 numbers"),
        ([10**400, 1, 2], "plot", "3 numbers"),
        ([[1, 2], [3, 4]], "matrix", "2 × 2 numbers"),
        ([[1, 2], [3]], "tree", "2 items"),
        (b"\0\1", "bytes", "2 bytes"),
        (PNG, "image", "image/png, 28 bytes"),
        (b"<svg onload='alert(1)'>", "bytes", "23 bytes"),
    ],
)
def test_a_value_is_shown_as_what_it_is(value: Any, kind: str, summary: str) -> None:
    """Numbers as a plot, a matrix and known images as an image, the rest as text that folds."""
    node = node_of(value)
    assert (node.kind, node.summary) == (kind, summary)


def test_large_integers_and_odd_numbers_are_written_in_full() -> None:
    """As JSON has them, or in words."""
    assert [node_of(each).text for each in (2**63 + 1, 0.1, True, None)] == [
        "9223372036854775809",
        "0.1",
        "true",
        "null",
    ]
    assert [node_of(each).text for each in (NAN, float("inf"))] == ["NaN", "Infinity"]


def counted(node: Node) -> int:
    return 1 + sum(map(counted, node.parts))


@pytest.mark.parametrize("value", [list(range(10**5)), {str(n): {"a": [n]} for n in range(5000)}, ["x"] * 10**5])
def test_a_page_has_a_bounded_number_of_parts(value: Any) -> None:
    """The rest is counted."""
    node = node_of(value)
    assert counted(node) <= MOST_NODES + 1 and node.rest == len(value) - len(node.parts) > 0


def test_depth_is_bounded() -> None:
    """What is nested deeper is left out, and no stack overflows."""
    value: Any = "bottom"
    for _ in range(2000):
        value = [value]
    assert counted(node_of(value)) < 20


@given(st.lists(st.one_of(st.floats(), st.integers()), min_size=3, max_size=2000))
def test_a_line_stays_in_its_frame(numbers: list[float]) -> None:
    """Whatever the numbers are; without a finite one there is nothing to draw."""
    if node_of(numbers).kind == "plot":
        plot = str(line_plot(numbers))
        assert plot.startswith("<svg") and "nan" not in plot and "inf" not in plot
        for piece in plot.split('class="line" d="M')[1:]:
            for point in piece.partition('"')[0].split("L"):
                x, y = map(float, point.split())
                assert 0 <= x <= 640 and 0 <= y <= 200


def test_gaps_and_single_numbers_are_seen() -> None:
    """NaN breaks the line; what stands alone is a dot."""
    plot = str(line_plot([1.0, 2.0, NAN, 3.0, NAN, 1.0, 2.0]))
    assert plot.count('class="line"') == 2 and plot.count('class="dot"') == 1


def test_a_matrix_is_an_image_with_a_pixel_for_each_number() -> None:
    """A PNG that is complete: its chunks are right, the smallest number is dark, no number transparent."""
    image = base64.b64decode(matrix_image([[0, 1, NAN], [2, 3, 4]]).partition(",")[2])
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, place = {}, 8
    while place < len(image):
        (length,) = struct.unpack_from(">I", image, place)
        name, body = image[place + 4 : place + 8], image[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", image, place + 8 + length)[0] == zlib.crc32(name + body)
        chunks[name], place = body, place + 12 + length
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (3, 2)
    assert zlib.decompress(chunks[b"IDAT"]) == bytes([0, 1, 64, 0, 0, 128, 191, 255])
    assert len(chunks[b"PLTE"]) == 768 and chunks[b"tRNS"] == b"\0"


def job(**fields: Any) -> JobStatus:
    return JobStatus(JobId(1), "measure", JobState.QUEUED, 0, 0, Ms(0), 0, 0, **fields)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (NO_DATA, ["measure"]),
        ("two words", ["measure", "two words"]),
        ("-x", ["--", "measure", "-x"]),
        (5, ["measure", "5"]),
        ([1, "a"], ["measure", '[1, "a"]']),
        ({"count": 3, "path": "@home"}, ["--arg", "count=3", "--arg", "path=@@home", "measure"]),
        (b"\0", ["--file", "data.bin", "measure"]),
        ({"image": b"\0"}, ["--arg", "image=@image.bin", "measure"]),
        ({1: 2}, ["measure", '{"1": 2}']),
    ],
)
def test_the_command_line_says_the_same(data: Any, words: list[str]) -> None:
    """Its words, as a shell reads them."""
    assert shlex.split(command_of(job(), data, None)) == ["zclient", "submit", *words]


def test_a_shell_reads_every_character_as_it_was() -> None:
    """Also those that it would act on, and those that cannot be seen."""
    name = "$(rm -rf ~) `id` 'quoted' \"\\ !! \x01\n\t\u202eü"
    command = command_of(job(name=name, priority=-5, comment="; ls"), NO_DATA, 90_500)
    program = 'printf "%s\\0" "$@"'
    read = subprocess.run(["bash", "-c", f"set -- {command}; {program}"], capture_output=True, check=True).stdout
    words = read.decode().split("\0")[:-1]
    assert words == [
        "zclient",
        "submit",
        "--name",
        name,
        "--comment",
        "; ls",
        "--priority=-5",
        "--time-limit=90.5s",
        "measure",
    ]


def test_a_command_that_is_too_long_is_not_shown() -> None:
    """Nobody copies it."""
    assert command_of(job(), "x" * MOST_CHARS, None) == ""
