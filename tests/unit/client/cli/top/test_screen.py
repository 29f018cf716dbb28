"""`top` without a terminal and without a broker: what keys do, and what the screen looks like."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.unit.client.cli.overview.sample import ENDED, INFO, NEXT, NOW_S, OVERVIEW, RUNNING
from zjobs.client.cli.show.styled import ASCII, UNICODE, Line, Style, plain, width
from zjobs.client.cli.top.keys import press
from zjobs.client.cli.top.screen import (
    Cancel,
    Details,
    End,
    Mode,
    Pause,
    Printed,
    Quit,
    Reason,
    Refresh,
    Resume,
    Retry,
    Screen,
    Wish,
)
from zjobs.client.cli.top.view import view
from zjobs.messages.records import Attempt, Paused, QueuePause, TaskType
from zjobs.messages.requests.queries import LogReply, ShowReply
from zjobs.messages.states import FailReason, JobState, Outcome

HEARD_AT = 100.0
SCREEN = Screen("tcp://127.0.0.1:5570").heard(OVERVIEW, HEARD_AT)
IDS = [17, 18, 19, 20, 25, 23, 16, 15, 14]
PAGE = 4
NOW = datetime(2026, 11, 28, 14, 30).astimezone()


def after(keys: str | list[str], screen: Screen = SCREEN) -> tuple[Screen, Wish | None]:
    """The screen and the last wish after these keys; a key of one character writes it."""
    wish: Wish | None = None
    for key in keys:
        screen, wish = press(screen, key, key if len(key) == 1 else None, PAGE, NOW)
    return screen, wish


def lines(screen: Screen, columns: int = 80, rows: int = 24, later_s: float = 0.0) -> list[str]:
    """The screen as text, some time after the overview was heard."""
    return [plain(each) for each in view(screen, columns, rows, UNICODE, NOW_S + later_s, HEARD_AT + later_s)]


# --- keys ----------------------------------------------------------------------------------------------------

MOVES = [
    ([], 17),
    (["down"], 18),
    (["j", "j", "k"], 18),
    (["up"], 17),
    (["end"], 14),
    (["end", "down"], 14),
    (["end", "home"], 17),
    (["G", "g"], 17),
    (["pagedown"], 20),
    (["pagedown", "pagedown", "pageup"], 20),
]


@pytest.mark.parametrize(("keys", "job_id"), MOVES, ids=[" ".join(keys) for keys, _ in MOVES])
def test_moving(keys: list[str], job_id: int) -> None:
    """Through the jobs in the order of the page, and no further."""
    assert SCREEN.ids == IDS
    screen, wish = after(keys)
    assert screen.job is not None and (screen.job.id, wish) == (job_id, None)


WISHES = [
    ("q", Quit()),
    ("cy", Cancel(17)),
    ("cn", None),
    ("cq", None),
    (["G", "r", "y"], Retry(14)),
    (["p", "enter", "l", "e", "n", "s", "q", "backspace", "enter"], Pause("lens")),
    (["p", "3", "0", "m", "enter", "enter"], Pause("", 1_800.0)),
    (["p", *"15:00", "enter", "x", "enter"], Pause("x", None, datetime(2026, 11, 28, 15).astimezone())),
    (["p", "x", "escape"], None),
    (["p", "enter", "x", "escape"], None),
    ("/", Refresh()),
    (["/", "x", "escape"], Refresh()),
    (["enter"], Refresh()),
    ("l", Refresh()),
    ("z", None),
]


@pytest.mark.parametrize(("keys", "wish"), WISHES, ids=[" ".join(keys) for keys, _ in WISHES])
def test_wishes(keys: list[str], wish: Wish | None) -> None:
    """What is to be done, once it was confirmed; no question stays."""
    screen, last = after(keys)
    assert last == wish and (screen.question is None or list(keys) == ["/"])


def paused_by(*owners: str) -> Screen:
    pauses = tuple(QueuePause(owner, "lens cap", 1) for owner in owners)
    return SCREEN.heard(OVERVIEW._replace(info=INFO._replace(paused=Paused(1, ""), pauses=pauses)), HEARD_AT)


def test_a_pause_that_cannot_end_so() -> None:
    """What was typed can be mended; the sentence goes with the next key."""
    screen, wish = after(["p", *"soon", "enter"])
    assert isinstance(screen.question, End) and wish is None and "neither a duration" in lines(screen)[-2]
    assert after(["backspace"] * 4 + ["5", "m", "enter", "enter"], screen)[1] == Pause("", 300.0)


def test_resuming() -> None:
    """One's own pauses, or everybody's where there are some that may be another's."""
    assert after("uy", paused_by(""))[1] == Resume() and after("un", paused_by(""))[1] is None
    assert after("ua", paused_by(""))[1] is None
    assert after("uy", paused_by("", "ann"))[1] == Resume() and after("uA", paused_by("ann"))[1] == Resume(all=True)
    assert "y/a/n" in lines(after("u", paused_by("ann"))[0])[-2]
    assert after("u")[0].message == "the queue is not paused"
    assert "u resume" in lines(paused_by("ann"), 60)[-1] and "u resume" not in lines(SCREEN)[-1]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [("Gc", "job 14 has ended"), ("r", "job 17 has not ended: only a job that has can be retried")],
)
def test_what_cannot_be(keys: str, sentence: str) -> None:
    """It is said at once; the next key takes the sentence away."""
    screen, wish = after(keys)
    assert (screen.message, screen.question, wish) == (sentence, None, None)
    assert after("k", screen)[0].message == ""


@pytest.mark.parametrize("key", ["c", "r", "p", "u"])
def test_nothing_is_done_without_a_broker(key: str) -> None:
    """Neither while it is lost nor before it was reached."""
    for screen in (SCREEN._replace(lost="it does not answer"), Screen("tcp://127.0.0.1:5570")):
        pressed, wish = press(screen, key, key, PAGE, NOW)
        assert (pressed.question, wish) == (None, None) and "no broker" in pressed.message


def test_pages_and_back() -> None:
    """Each page is left for the queue, with the same job chosen; in them, keys scroll."""
    for key, mode in (("enter", Mode.JOB), ("l", Mode.LOG), ("?", Mode.HELP)):
        screen = after(["down", key])[0]
        assert screen.mode is mode
        scrolled = after(["up" if mode is Mode.LOG else "down"] * 3, screen)[0]
        assert (scrolled.scroll, scrolled.chosen) == (3, 18)
        for back in ("q", "escape"):
            left, wish = after([back], scrolled)
            assert (left.mode, left.chosen, left.scroll, wish) == (Mode.QUEUE, 18, 0, None)


def test_the_filter() -> None:
    """Each of its words is in the id, the type, the owner, the state or the message of a job."""
    for typed, ids in (
        ("spectrum", [19]),
        ("charlotte 20", [20]),
        ("red", [17]),
        ("BEN failed", [15]),
        ("anna que", [19, 23]),
        ("nobody", []),
    ):
        screen = after(["/", *typed, "enter"])[0]
        assert screen.ids == ids and screen.question is None
        assert not any("more" in line for line in lines(screen))
    assert after(["escape"], screen)[0].ids == IDS


# --- a new overview ------------------------------------------------------------------------------------------


def test_the_chosen_job_stays_chosen() -> None:
    """When it starts and ends, too; when it is gone, the one in its place is chosen."""
    screen = after(["down"])[0]
    ended = NEXT[0]._replace(state=JobState.COMPLETED, ended_at=1)
    started = screen.heard(OVERVIEW._replace(running=NEXT[0], next=NEXT[1:]), HEARD_AT)
    assert started.job == NEXT[0]
    over = started.heard(OVERVIEW._replace(running=None, next=NEXT[1:], ended=(ended, *ENDED)), HEARD_AT)
    assert over.job == ended
    gone = screen.heard(OVERVIEW._replace(next=NEXT[1:]), HEARD_AT)
    assert gone.job == NEXT[1]


def test_without_a_choice_it_is_the_first() -> None:
    """Whoever only looks on sees what runs, and not what became of it."""
    screen = SCREEN.heard(OVERVIEW._replace(running=NEXT[0], next=NEXT[1:]), HEARD_AT)
    assert screen.job == NEXT[0]
    assert SCREEN.heard(OVERVIEW._replace(running=None, next=(), delayed=(), ended=()), HEARD_AT).job is None


def test_what_is_printed() -> None:
    """Pieces join; another run and what is not kept begin anew; it ends with the newest."""

    def piece(body: bytes, offset: int, run: int = 1) -> LogReply:
        return LogReply("j", 17, JobState.IN_PROGRESS, offset + len(body), offset, body, run)

    printed = Printed(17).add(piece(b"one\n", 0)).add(piece(b"two\n", 4))
    assert (printed.text, printed.offset) == ("one\ntwo\n", 8)
    assert printed.add(piece(b"late\n", 99)).text == "late\n"
    assert printed.add(piece(b"again\n", 0, run=2)) == Printed(17, 2, 6, "again\n")
    assert printed.add(piece(b"x" * 300_000, 8)).text == "x" * 200_000


# --- the screen ------------------------------------------------------------------------------------------------

AT_60_20 = """\
tcp://127.0.0.1:5570 · worker ready · 1,204 queued
3 waiting · 128 completed · 3 failed · 1 cancelled

▌ ▶ 17  red sweep · measure · {"count": 3, "exposure": 0.1}
▌   ━━━━━━━━━━━━━━━━━━━━━─────────────────────────────  42 %
▌   1 min 12 s so far · 80–110 s left · limit 10 min
▌   aligning mirror 3

  #  ID  JOB         STARTS         WAITS FOR
  1  18  blue sweep  in 80–110 s
  2  19  spectrum    in 90–115 s
  3  20  measure                    attempt 2 of 3, after T…
  … 1,201 more
  ·  25  flaky       in 28 s        attempt 2 of 3 in 28 s,…
  ·  23  measure     in 1 h 20 min  its delay: 1 h 20 min
  … 1 more waiting

                     ENDED          OUTCOME

Enter open  c cancel  r retry  p pause  ? help  q quit"""


def test_the_queue_at_60_columns() -> None:
    """The chosen job is marked on each of its lines, and the keys that fit stand below."""
    assert lines(SCREEN, 60, 20) == AT_60_20.split("\n")


def test_the_chosen_job_is_in_sight() -> None:
    """Whichever it is, however small the terminal."""
    for number, job_id in enumerate(IDS):
        shown = lines(after(["down"] * number)[0], 60, 14)
        assert any(line.startswith("▌") and f" {job_id}  " in line for line in shown)


SHOWN = ShowReply(
    "j",
    RUNNING._replace(estimate=None),
    "key",
    9,
    None,
    None,
    None,
    (),
    (Attempt(1, Outcome.FAILED, 1, 2, FailReason.RAISED, "no", "Trace\n  x"),),
)
PRINTED = Printed(17, 1, 9, "".join(f"line {n}\n" for n in range(100)) + "漢" * 90 + "\x1b[2J")
OPENED = SCREEN._replace(mode=Mode.JOB, chosen=17, details=Details(SHOWN, TaskType("measure", time_limit_ms=600_000)))
FOLLOWED = SCREEN._replace(mode=Mode.LOG, chosen=17, printed=PRINTED)
SCREENS = {
    "queue": SCREEN,
    "lost": SCREEN._replace(lost="it does not answer " * 9),
    "never": Screen("tcp://127.0.0.1:5570", lost="nothing listens there"),
    "connecting": Screen("tcp://127.0.0.1:5570"),
    "job": OPENED,
    "log": FOLLOWED,
    "help": after("?")[0],
    "question": after("c")[0],
    "end": after(["p", *"soon" * 40, "enter"])[0],
    "reason": SCREEN._replace(question=Reason("漢" * 99)),
    "filter": after(["/", *"measure"])[0],
    "message": SCREEN._replace(message="no\x1b[2J " * 40),
    "paused": SCREEN.heard(OVERVIEW._replace(info=INFO._replace(paused=Paused(1, "lens\x1b[2J " * 99))), HEARD_AT),
}


@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.parametrize(("columns", "rows"), [(20, 5), (60, 20), (80, 24), (200, 50), (1, 1)])
def test_every_screen_fits(name: str, columns: int, rows: int) -> None:
    """As many lines as there are rows, none too wide, none with what a terminal would act on."""
    for glyphs in (UNICODE, ASCII):
        shown = view(SCREENS[name], columns, rows, glyphs, NOW_S, HEARD_AT)
        assert len(shown) == rows and max(map(width, shown)) <= columns
        assert all(span.text.isprintable() for line in shown for span in line)


def test_a_lost_broker() -> None:
    """The page is kept, grey, with its age, and time does not go on in it."""
    lost = SCREEN._replace(lost="it does not answer")
    shown: list[Line] = view(lost, 200, 20, UNICODE, NOW_S + 75, HEARD_AT + 75)
    text = [plain(line) for line in shown]
    assert text[0] == "tcp://127.0.0.1:5570: it does not answer; this is how it was 1 min ago"
    assert any("1 min 12 s so far" in line for line in text) and any("in 28 s" in line for line in text)
    assert {span.style for line in shown[1:-2] for span in line} == {Style.FAINT}
    assert lines(SCREENS["never"])[0] == "tcp://127.0.0.1:5570: nothing listens there; trying again"


def test_time_goes_on_by_itself() -> None:
    """While the broker is there."""
    assert any("1 min 22 s so far" in line for line in lines(SCREEN, later_s=10.0))


def test_the_page_of_a_job() -> None:
    """All that show tells, with what failed; long lines are wrapped."""
    shown = lines(OPENED, 60, 40)
    assert "job:         17 in progress for 1 min 12 s, 42 % (aligning" in shown and "             mirror 3)" in shown
    assert "time limit:  10 min, set by measure" in shown and "  Trace" in shown


def test_the_page_of_what_is_printed() -> None:
    """Its end, or from where one has scrolled to."""
    shown = lines(FOLLOWED, 80, 20)
    assert shown[3] == "job 17, red sweep: in progress · the newest last" and shown[16:18] == [
        "漢" * 40,
        "漢" * 10 + "\\x1b[2J",
    ]
    scrolled = lines(after(["up"] * 3, FOLLOWED)[0], 80, 20)
    assert scrolled[3] == "job 17, red sweep: in progress · End follows" and scrolled[17] == "line 99"
    assert lines(after(["home"], FOLLOWED)[0], 80, 20)[5] == "line 0"


def test_what_is_typed_stays_in_sight() -> None:
    """The end of a long reason, with the cursor."""
    assert lines(SCREENS["reason"], 60, 20)[-2].endswith("漢_")
