"""The options of zclient, and how their values are read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from zjobs.messages.fields import MAX_ID, MAX_PRIORITY
from zjobs.messages.states import JobState
from zjobs.program.cli.options import Option, duration, integer, one_of

STATES = [state.value for state in JobState]
MOST_ROWS = 1_000_000_000

if TYPE_CHECKING:
    from datetime import datetime  # most command lines have no time

WITH_DATA = ("submit", "batch")
SUBMITTING = (*WITH_DATA, "run")
CHANGING = ("cancel", "hold", "release", "retry", "forget")
SELECTING = (*CHANGING, "wait")


def job_id(text: str) -> int:
    """Return the id of a job. Raises ValueError with a sentence."""
    try:
        return integer(text, 1, MAX_ID)
    except ValueError:
        raise ValueError(f"{text!r} is not a job id: ids are whole numbers from 1") from None


def job_ids(text: str) -> range:
    """Return the ids of a job or of a range of jobs: 17, 3-7. Raises ValueError with a sentence."""
    first, dash, last = text.partition("-")
    start = job_id(first or text)
    ids = range(start, (job_id(last) if dash else start) + 1)
    if not ids:
        raise ValueError(f"{text!r} is not a range: the smaller id comes first")
    return ids


def id_list(text: str) -> list[int]:
    """Parse the ids of several jobs: 17,18. Raises ValueError with a sentence."""
    return list(map(job_id, text.split(",")))


def _seconds(text: str) -> float:
    """Return a duration, which must be more than 0."""
    seconds = duration(text)
    if not seconds:
        raise ValueError(f"{text!r} must be more than 0")
    return seconds


def _time(text: str) -> datetime:
    """Return a time to come."""
    from zjobs.program.cli.times import from_now  # most command lines have none

    return from_now(text)


def _time_or(word: str, text: str) -> datetime | int:
    """Return a time to come, or 0 for the word that takes one away."""
    return 0 if text == word else _time(text)


OPTIONS = (
    Option(
        "--arg",
        "NAME=VALUE",
        "a parameter by name; @FILE reads the value from FILE, and @@ stands for an @ at the beginning",
        WITH_DATA,
        repeatable=True,
    ),
    Option("--file", "FILE", "the bytes of FILE, for a type that takes bytes ('-': standard input)", WITH_DATA),
    Option(
        "--lines",
        "FILE",
        "submit a job for each line of FILE; the line is its one ARG ('-': standard input)",
        WITH_DATA,
    ),
    Option("--cwd", "DIR", "the directory in which the program runs; if omitted, the current one", ("run",)),
    Option(
        "--env",
        "VARIABLE",
        "a variable for the program: NAME=VALUE, or NAME for the value that it has here",
        ("run",),
        repeatable=True,
    ),
    Option("--shell", "", "PROGRAM is a line for /bin/sh: zclient run --shell 'make && make test'", ("run",)),
    Option(
        "--priority",
        "N",
        f"-{MAX_PRIORITY} to {MAX_PRIORITY}; jobs with a greater one start first (--priority=-5)",
        SUBMITTING,
        partial(integer, low=-MAX_PRIORITY, high=MAX_PRIORITY),
        default="0",
    ),
    Option(
        "--priority",
        "N",
        f"the new priority, -{MAX_PRIORITY} to {MAX_PRIORITY}",
        ("edit",),
        partial(integer, low=-MAX_PRIORITY, high=MAX_PRIORITY),
    ),
    Option(
        "--delay",
        "DURATION",
        "do not start the job before this time has passed; other jobs do not wait for it",
        SUBMITTING,
        duration,
        default="0s",
    ),
    Option(
        "--at",
        "TIME",
        "do not start the job before this time: 02:00 (the next), '2026-12-01 02:00', '2026-12-01 02:00 Europe/Berlin'",
        SUBMITTING,
        _time,
    ),
    Option("--start-by", "TIME", "cancel the job if it has not started by this time", SUBMITTING, _time),
    Option("--at", "TIME", "the new start time; 'now' for none, and no delay", ("edit",), partial(_time_or, "now")),
    Option(
        "--start-by",
        "TIME",
        "cancel the jobs if they have not started by this time; 'never' for none",
        ("edit",),
        partial(_time_or, "never"),
    ),
    Option(
        "--after",
        "IDS",
        "start it once these jobs have completed: 17,18; cancel it if one does not",
        SUBMITTING,
        id_list,
    ),
    Option("--after-any", "IDS", "start it once these jobs have ended, completed or not", SUBMITTING, id_list),
    Option(
        "--with-dependents", "", "also copy the jobs that were cancelled because these did not complete", ("retry",)
    ),
    Option(
        "--time-limit",
        "DURATION",
        "fail the job if it runs longer than this; if omitted, the limit of its type applies",
        SUBMITTING,
        _seconds,
    ),
    Option("--time-limit", "DURATION", "the new time limit; 0 for that of the type", ("edit",), duration),
    Option(
        "--once",
        "NAME",
        "a name for this request: repeating it under the same name makes no second jobs",
        (*SUBMITTING, "retry"),
    ),
    Option("--name", "NAME", "a name for people, shown by list and show", SUBMITTING),
    Option("--comment", "TEXT", "a comment for people, shown by list and show", SUBMITTING),
    Option("--name", "NAME", "the new name; '' for none", ("edit",)),
    Option("--comment", "TEXT", "the new comment; '' for none", ("edit",)),
    Option("--follow", "", "print output as it comes, until the job has ended", ("log",), short="-f"),
    Option(
        "--state",
        "STATE",
        f"only jobs in this state: {', '.join(STATES)}",
        ("list", *SELECTING),
        partial(one_of, choices=STATES),
    ),
    Option("--type", "TYPE", "only jobs of this type", ("list", *SELECTING)),
    Option("--mine", "", "only your jobs", ("list", *SELECTING)),
    Option("--owner", "NAME", "only jobs of this person; '*' stands for any text", ("list", *SELECTING)),
    Option("--name", "NAME", "only jobs of this name; '*' stands for any text", ("list", *SELECTING)),
    Option("--comment", "TEXT", "only jobs with this comment; '*' stands for any text", ("list", *SELECTING)),
    Option("--since", "DURATION", "only jobs submitted within this time: 1d, 90m", ("list",), duration),
    Option("--all", "", "all jobs that the command applies to", SELECTING),
    Option("--all", "", "lift everybody's pauses (operators only)", ("resume",)),
    Option("--for", "DURATION", "end the pause after this time", ("pause",), duration),
    Option("--until", "TIME", "end the pause at 15:00, or at '2026-11-28 15:00'", ("pause",)),
    Option("--reason", "REASON", "the same as REASON", ("pause",)),
    Option("--yes", "", "do not ask", (*CHANGING, "edit"), short="-y"),
    Option("--limit", "N", "show at most N jobs", ("list",), partial(integer, low=1, high=MOST_ROWS), default="20"),
    Option(
        "--limit",
        "N",
        "show at most N entries",
        ("audit",),
        partial(integer, low=1, high=MOST_ROWS),
        default="20",
    ),
    Option("--since", "DURATION", "only what was done within this time, such as 1d", ("audit",), duration),
    Option("--before", "ID", "only jobs with smaller ids; continues an earlier list", ("list",), job_id),
    Option("--output", "FILE", "write it to FILE: bytes and text unchanged", ("result", "data"), short="-o"),
    Option("--wait", "", "wait until the job has finished", ("result",)),
    Option("--wait", "", "wait until each job has ended", ("cancel",)),
    Option("--wait", "", "wait for its end, print its output as it comes, and exit with its code", ("run",)),
    Option(
        "--wait",
        "",
        "wait until nothing runs and nothing can start; Ctrl+C ends the wait, not the pause",
        ("pause",),
    ),
    Option(
        "--max-wait",
        "DURATION",
        "wait no longer than this (exit code 4); includes --wait",
        ("result", "batch", "run", "wait", "cancel", "pause"),
        duration,
    ),
    Option(
        "--raw",
        "",
        "print what jobs wrote unchanged even on a terminal; otherwise control characters are shown there as \\x1b"
        " and the like, because a terminal would act on them",
        ("result", "data", "batch", "run", "show", "log"),
    ),
    Option("--service", "SERVICE", "a service of your configuration, for its broker and its key; see zclient services"),
    Option(
        "--broker",
        "ENDPOINT",
        "the broker's address, or several with commas between them: the first that answers is used; see below if"
        " omitted",
    ),
    Option("--key", "FILE", "the key file for a broker that has keys; '' means none; see below if omitted"),
    Option(
        "--timeout",
        "DURATION",
        "how long to wait for one reply; this never limits a job",
        read=_seconds,
        default="5s",
    ),
    Option("--json", "", "print one JSON object a line, errors too (on stderr)"),
)
