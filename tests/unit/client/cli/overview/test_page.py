"""The queue at a glance: the page at several widths, and the plain text, as they are to look."""

from __future__ import annotations

import pytest

from tests.unit.client.cli.overview.sample import (
    DELAYED,
    ENDED,
    INFO,
    NOW_MS,
    NOW_S,
    OVERVIEW,
    RUNNING,
    SOON,
    WORKER,
    job,
)
from zjobs.client.cli.overview.page import page
from zjobs.client.cli.overview.plain import plain_lines
from zjobs.client.cli.overview.snapshot import Overview
from zjobs.client.cli.show.styled import ASCII, UNICODE, Glyphs, Style, plain, width
from zjobs.client.wording.text import near
from zjobs.messages.records import Paused, QueuePause
from zjobs.messages.states import Awaited, JobState, WorkerState

EVIL = "\x1b[2J\x1b]0;t\x07\r\n"


def shown(overview: Overview, columns: int = 80, glyphs: Glyphs = UNICODE, later_s: float = 0.0) -> str:
    """The page as text."""
    return "\n".join(plain(row.line) for row in page(overview, columns, glyphs, NOW_S + later_s, later_s))


AT_60 = """\
tcp://127.0.0.1:5570 · worker ready · 1,204 queued
3 waiting · 128 completed · 3 failed · 1 cancelled

▶ 17  red sweep · measure · {"count": 3, "exposure": 0.1}
  ━━━━━━━━━━━━━━━━━━━━━╸──────────────────────────────  42 %
  1 min 12 s so far · 80–110 s left · limit 10 min
  aligning mirror 3

#  ID  JOB         OWNER       STARTS         WAITS FOR
1  18  blue sweep  ben         in 80–110 s
2  19  spectrum    anna        in 90–115 s
3  20  measure     charlotte?                 attempt 2 of …
… 1,201 more
·  25  flaky                   in 28 s        attempt 2 of …
·  23  measure     anna        in 1 h 20 min  its delay: 1 …
… 1 more waiting

                               ENDED          OUTCOME
✓  16  measure     anna        1 min ago      took 1 min 3 s
✗  15  measure     ben         2 min ago      ValueError: o…
–  14  measure     ben         50 min ago     cancelled"""
AT_120 = """\
tcp://127.0.0.1:5570 · worker ready · 1,204 queued · 3 waiting · 128 completed · 3 failed · 1 cancelled

▶ 17  red sweep · measure · {"count": 3, "exposure": 0.1}
  ━━━━━━━━━━━━━━━━━━━━━━━━━───────────────────────────────────  42 %
  1 min 12 s so far · 80–110 s left · limit 10 min
  aligning mirror 3

#  ID  NAME        TYPE      DATA              OWNER                     PRIO  STARTS         WAITS FOR
1  18  blue sweep  measure                     ben                          5  in 80–110 s
2  19              spectrum  [532.1, 633.0]    anna                            in 90–115 s
3  20              measure                     charlotte@basement-lab…?                       attempt 2 of 3, after Tim…
… 1,201 more
·  25              flaky                                                       in 28 s        attempt 2 of 3 in 28 s, a…
·  23              measure                     anna                            in 1 h 20 min  its delay: 1 h 20 min
… 1 more waiting

                                                                               ENDED          OUTCOME
✓  16              measure   {"recipe": "the…  anna                            1 min ago      took 1 min 3 s
✗  15              measure                     ben                             2 min ago      ValueError: odd wavelengt…
–  14              measure                     ben                             50 min ago     cancelled"""
PLAIN = """\
broker: tcp://127.0.0.1:5570
worker: ready
queued: 1204
waiting: 3
PLACE  ID  STATE        NAME        TYPE      OWNER                       PRIORITY  WHEN            DATA                                               REMARK
0      17  in_progress  red sweep   measure   -                           0         for 1 min 12 s  {"count": 3, "exposure": 0.1}                      42 % (aligning mirror 3), 80–110 s left, limit 10 min
1      18  queued       blue sweep  measure   ben                         5         in 80–110 s     -                                                  -
2      19  queued       -           spectrum  anna                        0         in 90–115 s     [532.1, 633.0]                                     -
3      20  queued       -           measure   charlotte@basement-lab-12?  0         -               -                                                  attempt 2 of 3, after TimeoutError: no lamp
-      25  waiting      -           flaky     -                           0         in 28 s         -                                                  attempt 2 of 3 in 28 s, after TimeoutError: no lamp
-      23  waiting      -           measure   anna                        0         in 1 h 20 min   -                                                  waits for its delay: 1 h 20 min
-      16  completed    -           measure   anna                        0         1 min ago       {"recipe": "the long one, with everything in it"}  took 1 min 3 s
-      15  failed       -           measure   ben                         0         2 min ago       -                                                  ValueError: odd wavelength: 531.22 nm
-      14  cancelled    -           measure   ben                         0         50 min ago      -                                                  cancelled"""  # noqa: E501


def test_at_60_columns() -> None:
    """What is too long is cut, and a column for which there is no room is left out."""
    assert shown(OVERVIEW, 60) == AT_60


def test_at_120_columns() -> None:
    """There is room for every column; the bar does not grow without end."""
    assert shown(OVERVIEW, 120) == AT_120


def test_in_ascii() -> None:
    """For a terminal that shows nothing else."""
    text = shown(OVERVIEW, 80, ASCII)
    assert text.isascii() and "\n> 17  red sweep | measure | {" in text and "\nx  15  " in text


def test_elsewhere_than_on_a_terminal() -> None:
    """Each column is there whatever it has, and nothing is cut."""
    assert plain_lines(OVERVIEW, NOW_S) == PLAIN.split("\n")
    (head,) = plain_lines(OVERVIEW._replace(running=None, next=(), delayed=(), ended=()), NOW_S)[4:]
    assert head.split() == ["PLACE", "ID", "STATE", "NAME", "TYPE", "OWNER", "PRIORITY", "WHEN", "DATA", "REMARK"]


@pytest.mark.parametrize("columns", [20, 40, 60, 61, 79, 99, 100, 200, 500])
def test_no_line_is_too_wide(columns: int) -> None:
    """Whatever is in the jobs, wide characters included."""
    wide = job(
        21,
        ahead=4,
        type="漢字" * 40,
        owner="漢字" * 40,
        name="漢" * 60,
        priority=-1000,
        message="漢字" * 100,
        attempts=1,
    )
    info = INFO._replace(read_only="the disk is full: " * 9, worker=WORKER._replace(warning="漢" * 300))
    overview = OVERVIEW._replace(next=(*OVERVIEW.next, wide), info=info, running=RUNNING._replace(note="漢" * 300))
    assert max(width(row.line) for row in page(overview, columns, UNICODE, NOW_S)) <= columns


def test_a_long_name_gives_way_to_the_others() -> None:
    """It is cut before a column is left out."""
    named = (job(18, name="the wavelengths of the blue sweep, once more", owner="ben", ahead=1),)
    (row,) = [
        row for row in shown(OVERVIEW._replace(next=named, delayed=()), 60).split("\n") if row.startswith("1  18")
    ]
    assert "the wavelengths" in row and "more" not in row and row.endswith("…  ben")


def test_nothing_acts_on_the_terminal() -> None:
    """Control characters in whatever a job or a client has written are shown as escapes, in both forms."""
    evil = {"type": EVIL, "name": EVIL, "submitter": EVIL, "message": EVIL, "note": EVIL, "attempts": 1}
    jobs = (job(1, ahead=1, **evil), job(2, ready_at=NOW_MS, **evil), job(3, JobState.FAILED, ended_at=1, **evil))
    info = INFO._replace(paused=Paused(1, EVIL), read_only=EVIL, warnings=(EVIL,))
    overview = OVERVIEW._replace(
        info=info, running=RUNNING._replace(**evil), next=jobs[:1], delayed=jobs[1:2], ended=jobs[2:]
    )
    for line in [*shown(overview, 200).split("\n"), *plain_lines(overview, NOW_S)]:
        assert line.isprintable() or not line


def test_time_passes_without_the_broker() -> None:
    """What runs grows older, what is delayed or next comes nearer, what has ended recedes."""
    text = shown(OVERVIEW, later_s=10.0)
    assert "1 min 22 s so far" in text and "in 18 s" in text and "in 80–105 s" in text
    assert "160 s ago" not in text and "2 min ago" in shown(OVERVIEW, later_s=50.0)
    assert "in 0 s" in shown(OVERVIEW, later_s=100.0)


IDLE = OVERVIEW._replace(running=None, next=(), delayed=(), ended=(), limit=None)
NOBODY = INFO._replace(worker=WORKER._replace(running=None), queued=0, waiting=0)
PAUSES = (QueuePause("anna", "lens", NOW_MS, NOW_MS + 3_600_000), QueuePause("", "job 12 failed", NOW_MS))


def clock(at_s: float) -> str:
    return near(at_s, NOW_S, "%H:%M")


STATES = [
    (IDLE._replace(info=NOBODY), "\n\nnothing runs"),
    (IDLE, "\n\njob 17 of somebody else runs"),
    (
        OVERVIEW._replace(running=RUNNING._replace(fraction=None, note=None, estimate=None)),
        "0.1}\n  1 min 12 s so far · limit 10 min\n",
    ),
    (OVERVIEW._replace(running=RUNNING._replace(stuck_ms=4_000)), " · no liveness for 4 s\n"),
    (OVERVIEW._replace(running=RUNNING._replace(cancelling=True)), "▶ 17  red sweep · measure · being cancelled · {"),
    (OVERVIEW._replace(limit=OVERVIEW.limit and OVERVIEW.limit._replace(limit_ms=None)), "left · no limit\n"),
    (OVERVIEW._replace(limit=None), "1 min 12 s so far · 80–110 s left\n"),
    (OVERVIEW._replace(info=INFO._replace(paused=Paused(1, "lens cap"))), "\npaused: lens cap\n"),
    (
        OVERVIEW._replace(info=INFO._replace(paused=Paused(1, "lens"), pauses=PAUSES)),
        f"\npaused by anna until {clock(NOW_S + 3600)}: lens\npaused: job 12 failed\n",
    ),
    (
        OVERVIEW._replace(info=INFO._replace(worker=WORKER._replace(state=WorkerState.ABSENT, since_ms=9_000))),
        "worker absent for 9 s",
    ),
    (OVERVIEW._replace(next=(job(18, ahead=1, cancelling=True),)), "  being cancelled\n… 1,203 more"),
]


@pytest.mark.parametrize(("overview", "said"), STATES, ids=[said.strip() for _, said in STATES])
def test_what_is_said(overview: Overview, said: str) -> None:
    """Of each state of the queue."""
    assert said in shown(overview) + "\n"


def test_the_place_of_the_first_job() -> None:
    """It counts from what starts next, whether something runs or not."""
    idle = OVERVIEW._replace(running=None, info=NOBODY, next=(job(18, ahead=0), job(19, ahead=1)), delayed=(), ended=())
    places = [plain(row.line).split()[:2] for row in page(idle, 80, UNICODE, NOW_S) if row.job]
    assert places == [["1", "18"], ["2", "19"]]


def test_what_waits_for_somebody_stands_out() -> None:
    """A start that counts from a moment to come."""
    later = job(18, ahead=1, estimate=SOON._replace(after=Awaited.RESUME))
    (row,) = [row for row in page(OVERVIEW._replace(next=(later,)), 100, UNICODE, NOW_S) if row.job == 18]
    assert Style.WARNING in {span.style for span in row.line}


def test_colours_tell_the_outcome() -> None:
    """The sign of a job that completed, failed or was cancelled; what is wrong with the worker."""
    marks = {row.job: row.line[0] for row in page(OVERVIEW, 80, UNICODE, NOW_S) if row.job in (14, 15, 16)}
    assert [marks[each.id].style for each in ENDED] == [Style.GOOD, Style.BAD, Style.WARNING]
    lost = OVERVIEW._replace(info=INFO._replace(worker=WORKER._replace(state=WorkerState.ABSENT)))
    (worker,) = [span for span in page(lost, 80, UNICODE, NOW_S)[0].line if span.text.startswith("absent")]
    assert worker.style is Style.BAD


def test_each_row_knows_its_job() -> None:
    """So that it can be chosen."""
    jobs = [row.job for row in page(OVERVIEW, 80, UNICODE, NOW_S) if row.job]
    assert list(dict.fromkeys(jobs)) == [17, 18, 19, 20, *(each.id for each in DELAYED), 16, 15, 14]
