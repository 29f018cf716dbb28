"""zclient's commands that follow what goes on, in-process, against a scripted broker."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from zjobs.client.cli import follow
from zjobs.messages.records import JobStatus, Paused
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import Log, Status, Wait
from zjobs.messages.states import ErrorCode, JobState, WorkerState

QUEUED, RUNNING, COMPLETED = JobState.QUEUED, JobState.IN_PROGRESS, JobState.COMPLETED
FAILED, CANCELLED = JobState.FAILED, JobState.CANCELLED

Run = Callable[..., Any]

LEFT_OUT = "bytes are left out: only the end of long output is kept\n"


@pytest.fixture
def on_subscription(broker: Any) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Does something as soon as somebody has subscribed to events."""
    threads: list[threading.Thread] = []

    def when_subscribed(act: Callable[[], None]) -> None:
        def wait_and_act() -> None:
            broker.subscribed.get(timeout=30)
            act()

        threads.append(threading.Thread(target=wait_and_act))
        threads[-1].start()

    yield when_subscribed
    for thread in threads:
        thread.join(60)


# --- wait --------------------------------------------------------------------------------------------------------


def test_wait(run: Run, broker: Any) -> None:
    """A line for each job as it ends; 0 when all have completed, 1 when one has not."""
    broker.add(1)
    broker.add(2, COMPLETED, "x")
    ending = threading.Thread(target=lambda: (broker.wait_for(Wait, 1), broker.add(1, COMPLETED, "y")))
    ending.start()
    ran = run("wait", "1", "2")
    ending.join()
    assert (ran.code, sorted(ran.out.splitlines()), ran.err) == (0, ["1 completed", "2 completed"], "")
    broker.add(3, FAILED, message="E: odd")
    broker.add(4, CANCELLED)
    assert run("wait", "2", "3") == (1, "2 completed\n3 failed: E: odd\n", "")
    assert run("wait", "4") == (1, "4 cancelled\n", "")
    assert json.loads(run("wait", "4", "--json").out)["state"] == "cancelled"


def test_wait_for_what_there_is_not(run: Run, broker: Any) -> None:
    """An id without a job is said, the others are waited for all the same, and the exit code is 3."""
    broker.add(2, FAILED)
    assert run("wait", "99", "2") == (3, "2 failed\n", "zclient: there is no job 99\n")
    assert run("wait", "99") == (3, "", "zclient: there is no job 99\n")


def test_wait_no_longer(run: Run, broker: Any) -> None:
    """--max-wait ends the wait with 4, and the command that goes on is named."""
    broker.add(1)
    broker.add(2, COMPLETED, "x")
    ran = run("wait", "1", "2", "--max-wait", "0.05")
    assert ran == (
        4,
        "2 completed\n",
        "zclient: job 1 is not finished after 0.05 s; the jobs go on: zclient wait 1 2\n",
    )
    for job_id in range(3, 20):
        broker.add(job_id)
    ran = run("wait", "-", "--max-wait", "0", stdin=b" ".join(b"%d" % job_id for job_id in range(3, 20)))
    assert ran.err.endswith("; the jobs go on\n")
    assert run("wait", "1", "--max-wait", "soon").err.startswith("zclient: --max-wait: 'soon'")


def timed(out: str, kind: str) -> list[str]:
    """The lines of `out`, each of which begins with the time and with `kind`."""
    lines = [re.fullmatch(r"\d\d:\d\d:\d\d (\w+):? (.*)", line) for line in out.splitlines()]
    assert all(line and line[1] == kind for line in lines), out
    return [line[2] for line in lines if line]


# --- watch -------------------------------------------------------------------------------------------------------


def test_watch_some(run: Run, broker: Any, on_subscription: Any) -> None:
    """One line a change, with progress and output, until all have ended; nothing is said twice."""
    broker.add(1, ahead=2)
    broker.add(2, COMPLETED, "x")

    def goes_on() -> None:
        broker.wait_for(Status, 2)  # what exists, then the watch's own: a reply must not be ahead of the events
        broker.add(1, RUNNING, elapsed_ms=10)
        broker.add(1, RUNNING, elapsed_ms=20)
        broker.add(1, RUNNING, elapsed_ms=30, fraction=0.5, output_bytes=12)
        broker.add(1, COMPLETED, "y")

    on_subscription(goes_on)
    lines = [
        "1 queued, 2 ahead",
        "2 completed",
        "1 in progress",
        "1 in progress, 50 %, 12 bytes printed",
        "1 completed",
    ]
    ran = run("watch", "1", "2")
    assert (ran.code, ran.err) == (0, "")
    shown = timed(ran.out, "reverse")
    assert sorted(shown) == sorted(lines) and shown.index(lines[2]) < shown.index(lines[3]) < shown.index(lines[4])
    assert [json.loads(line)["id"] for line in run("watch", "2", "--json").out.splitlines()] == [2]
    ran = run("watch", "2", "99")
    assert (ran.code, timed(ran.out, "reverse"), ran.err) == (3, ["2 completed"], "zclient: there is no job 99\n")


def test_watch_all(run: Run, broker: Any, on_subscription: Any) -> None:
    """Every change of every job; a gap is said on stderr and made up for; another journal ends it."""
    job = JobStatus(1, "t", QUEUED, 0, 0, 1, 0, 0, ahead=0)

    def goes_on() -> None:
        broker.emit_change(job)
        broker.emit_change(job._replace(id=2), lost=True)
        broker.emit_change(job._replace(version=1, state=COMPLETED))

    def another_journal() -> None:
        broker.journal = "journal-2"
        broker.emit_change(job._replace(id=3))

    def then_another_journal(request: Any) -> Any:
        broker._todo.put(another_journal)
        return usual(request)

    usual, broker._queue = broker._queue, then_another_journal
    on_subscription(goes_on)
    ran = run("watch")
    assert ran.code == 6
    assert timed(ran.out, "t") == ["1 queued, 0 ahead", "1 completed", "2 queued, 0 ahead"]
    notes = ran.err.splitlines()
    assert notes[0] == "zclient: watching all jobs; Ctrl+C ends it"
    assert notes[1] == "zclient: 1 changes were missed; the present state of the jobs follows"
    assert "another journal" in notes[2]


def test_watch_all_tells_of_the_service(run: Run, broker: Any, on_subscription: Any) -> None:
    """A pause with its reason, its end, and the worker that comes and goes; nothing is said twice."""
    ready, absent = WorkerState.READY, WorkerState.ABSENT

    def goes_on() -> None:
        broker.emit_service(ready, Paused(5, "lamp"))
        broker.emit_service(absent, Paused(5, "lamp"))
        broker.emit_service(ready, None)
        broker.emit_service(ready, None, "journal-2")  # the event alone: a reply could come before the other events

    on_subscription(goes_on)
    ran = run("watch")
    assert timed(ran.out, "service") == [
        "paused: lamp",
        "the worker is gone",
        "the worker is ready",
        "resumed",
    ]
    assert ran.code == 6 and "another journal" in ran.err


def test_what_watch_remembers_is_bounded(run: Run, broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watching very many jobs says each once all the same."""
    monkeypatch.setattr(follow, "MOST_LINES_KEPT", 2)
    for job_id in range(1, 9):
        broker.add(job_id, COMPLETED, "x")
    assert timed(run("watch", *map(str, range(1, 9))).out, "reverse") == [f"{n} completed" for n in range(1, 9)]


# --- log ---------------------------------------------------------------------------------------------------------


def test_log(run: Run, broker: Any) -> None:
    """What was printed, in as many pieces as it takes, as it is; how much is gone is on stderr."""
    broker.add(17, COMPLETED, "x")
    assert run("log", "17") == (0, "", "")
    broker.logs[17] = "é\x1b[2J\n".encode() * 20_000
    broker.log_kept_bytes = 1 << 20
    assert run("log", "17") == (0, "é\x1b[2J\n" * 20_000, "")
    assert len(broker.asked(Log)) == 4
    broker.log_kept_bytes = 7
    assert run("log", "17") == (0, "é\x1b[2J\n", f"zclient: 139993 {LEFT_OUT}")
    expected = {"id": 17, "run": 0, "offset": 139993, "output": "é\x1b[2J\n"}
    assert json.loads(run("log", "17", "--json").out) == expected
    broker.log_kept_bytes = 12
    assert run("log", "17") == (0, "é\x1b[2J\n", f"zclient: 139993 {LEFT_OUT}"), "from a line's beginning on"
    assert run("log", "99") == (3, "", "zclient: there is no job 99\n")


def test_log_of_a_job_that_prints_faster_than_it_is_read(run: Run, broker: Any) -> None:
    """Without --follow, log ends where the output ended when it began."""
    broker.add(17, RUNNING)
    broker.log_kept_bytes = 1 << 30
    broker.logs[17] = b"x" * 100_000
    usual = broker._log

    def grows(request: Any) -> Any:
        reply = usual(request)
        broker.logs[17] += b"y" * 100_000
        return reply if len(broker.asked(Log)) < 10 else Error(ErrorCode.INTERNAL, "for ever")

    broker._log = grows
    assert run("log", "17").code == 0
    assert len(broker.asked(Log)) == 2


def test_characters_between_two_pieces(run: Run, broker: Any) -> None:
    """A character whose bytes fall into two pieces is shown whole."""
    whole = "a" + "é" * 40_000
    broker.add(17, COMPLETED, "x")
    broker.logs[17], broker.log_kept_bytes = whole.encode(), 1 << 20
    pieces = [json.loads(line)["output"] for line in run("log", "17", "--json").out.splitlines()]
    assert len(pieces) == 2 and "".join(pieces) == whole


def test_follow(run: Run, broker: Any, on_subscription: Any) -> None:
    """--follow prints what comes, driven by events, until the end; a run goes by its number, not its times."""
    broker.add(17, RUNNING, started_at=5, output_bytes=4, run=1)
    broker.logs[17] = b"one\n"

    def goes_on() -> None:
        broker.logs[17] += "zwei é".encode()[:-1]
        broker.add(17, RUNNING, started_at=6, output_bytes=len(broker.logs[17]), run=1)
        broker.logs[17] = "one\nzwei é\ndrei\n".encode()
        broker.add(17, COMPLETED, "x", started_at=7, output_bytes=len(broker.logs[17]), run=1)

    on_subscription(goes_on)
    assert run("log", "17", "--follow") == (0, "one\nzwei é\ndrei\n", "")
    assert len(broker.asked(Status)) == 1, "driven by events"
    assert run("log", "-f", "17").out == "one\nzwei é\ndrei\n"


def test_follow_over_another_run(run: Run, broker: Any, on_subscription: Any) -> None:
    """A job that runs once more begins its output anew, longer or shorter than before; stderr says so, and how much of
    the earlier run could not be read any more."""
    broker.add(17, RUNNING, output_bytes=4, run=1)
    broker.logs[17] = b"one\n"

    def goes_on() -> None:
        broker.wait_for(Log, 1)
        broker.logs[17] = b"two, longer\n"
        broker.add(17, RUNNING, output_bytes=12, run=2)
        broker.wait_for(Log, 2)
        broker.logs[17] = b"3\n"
        broker.jobs[17] = broker.jobs[17]._replace(run=3)  # before the news of it
        broker.emit(broker.jobs[17]._replace(output_bytes=20, run=2, version=5))
        broker.wait_for(Log, 3)
        broker.add(17, COMPLETED, "x", output_bytes=2, run=3, version=9)

    on_subscription(goes_on)
    notes = "zclient: job 17: run 2 begins\nzclient: job 17: run 3 begins; the last 8 bytes of run 2 are gone\n"
    assert run("log", "17", "-f") == (0, "one\ntwo, longer\n3\n", notes)


def test_another_run_in_mid_log(run: Run, broker: Any) -> None:
    """Without --follow, too."""
    broker.add(17, COMPLETED, "x", run=1)
    broker.logs[17] = b"a" * (100 << 10)
    broker.log_kept_bytes = 1 << 20
    first = broker.answer

    def then_another(request: Any) -> Any:
        reply = first(request)
        broker.logs[17] = b"short\n"
        broker.jobs[17] = broker.jobs[17]._replace(run=2)
        return reply

    broker.script = [then_another]
    ran = run("log", "17")
    assert (ran.code, ran.out) == (0, "a" * (64 << 10) + "short\n")
    assert ran.err == "zclient: job 17: run 2 begins\n"
