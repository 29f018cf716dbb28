"""zclient's commands that change jobs or list them, in-process, against a scripted broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from zjobs.client.cli.show import format
from zjobs.client.config.settings import user_at_host
from zjobs.messages import values
from zjobs.messages.records import DataPreview, JobStatus, Paused
from zjobs.messages.requests.changes import Edit, EditReply, NewJob, Retry, Submit
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import List, Show, Status
from zjobs.messages.states import ErrorCode, JobState, WorkerState

QUEUED, RUNNING, COMPLETED = JobState.QUEUED, JobState.IN_PROGRESS, JobState.COMPLETED
FAILED, CANCELLED = JobState.FAILED, JobState.CANCELLED

Run = Callable[..., Any]


def test_submit_options(run: Run, broker: Any) -> None:
    """--priority, --delay, --time-limit and --once reach the broker, for lines too."""
    argv = ("--priority=-5", "--delay", "30s", "--time-limit", "1.5m", "--name", "scan 3", "--once", "mine")
    assert run("submit", "t", "x", *argv) == (0, "1\n", "")
    assert run("submit", "t", *argv[:-1], "its", "--lines", "-", stdin=b"a\nb\n").out == "2\n3\n"
    broker.requests.clear()
    assert run("batch", "t", "--priority", "7", "--max-wait", "0").code == 4
    jobs = broker.asked(Submit)[0].jobs
    assert jobs == (NewJob("t", None, 7),)


def test_submit_options_as_the_broker_gets_them(run: Run, broker: Any) -> None:
    """Durations travel in milliseconds."""
    argv = ("--delay", "30s", "--time-limit", "1.5m", "--name", "scan 3", "--comment", "again", "--once", "mine")
    run("submit", "t", "--priority=-5", *argv)
    job = NewJob("t", None, -5, 30_000, 90_000, "scan 3", "again")
    assert broker.asked(Submit) == [Submit("mine", (job,), (), user_at_host())]


def test_data(run: Run, broker: Any, tmp_path: Path) -> None:
    """Printed as a result is; a file gets bytes and text as they are."""
    for job_id, value in ((1, {"count": 3}), (2, "example"), (3, b"\xff\x00")):
        broker.add(job_id)
        broker.data[job_id] = values.pack_value(value)
    assert run("data", "1") == (0, '{"count": 3}\n', "")
    assert run("data", "2").out == "example\n"
    assert json.loads(run("data", "1", "--json").out) == {"id": 1, "data": {"count": 3}}
    file = tmp_path / "data"
    assert run("data", "3", "-o", str(file)) == (0, "", "") and file.read_bytes() == b"\xff\x00"
    assert json.loads(run("data", "3", "-o", str(file), "--json").out) == {"id": 3, "file": str(file), "bytes": 2}
    broker.add(4)
    assert run("data", "4") == (0, "", "zclient: job 4 has no data\n")
    assert run("data", "9").code == 3
    broker.data[4] = b"\xc1"
    assert "the data of job 4 is not a msgpack value" in run("data", "4").err


def test_previews(run: Run, broker: Any) -> None:
    """status, list and show have the beginning of the data, for programs as text."""
    broker.add(17, ahead=3, name="scan 3", submitter="alice@lab3", data_preview=DataPreview(b"\x81\xa1n\x03", 4))
    assert run("status", "17").out == "17 queued, 3 ahead\n"
    assert format.about(broker.jobs[17]) == ' [scan 3, of alice@lab3?: {"n": 3}]'
    assert run("list").out.endswith('{"n": 3}\n') and 'data: 9 bytes: {"n": 3}' in " ".join(
        run("show", "17").out.split()
    )
    for words in (("status", "17"), ("list",)):
        assert json.loads(run(*words, "--json").out)["data_preview"] == '{"n": 3}'
    assert json.loads(run("show", "17", "--json").out)["job"]["data_preview"] == '{"n": 3}'
    assert all(request.preview for kind in (Status, List, Show) for request in broker.asked(kind)[:1])


def test_texts_are_shown_harmless(run: Run, broker: Any) -> None:
    """Names, comments and who says that it is theirs: what a terminal would act on is escaped."""
    broker.add(17, name="scan\x1b[2J 3", comment="new\nlens", submitter="alice\x07@lab3")
    shown = " ".join(run("show", "17").out.split())
    for fact in ("name: scan\\x1b[2J 3", "comment: new\\nlens", "submitter: alice\\x07@lab3 (unverified)"):
        assert fact in shown
    (line,) = run("list").out.splitlines()
    assert "scan\\x1b[2J 3  alice\\x07@lab3?  20" in line and line.endswith("# new\\nlens")
    assert json.loads(run("list", "--json").out)["submitter"] == "alice\x07@lab3"


WRONG = [
    (["submit", "t", "--priority", "high"], "--priority: 'high' is not a whole number from -1000 to 1000"),
    (["submit", "t", "--priority", "1001"], "--priority: '1001' is not a whole number"),
    (["submit", "t", "--delay", "soon"], "--delay: 'soon' is not a duration"),
    (["batch", "t", "--time-limit", "0"], "--time-limit: '0' must be more than 0"),
    (["submit", "t", "--dealy", "1"], "there is no option --dealy; did you mean --delay?"),
    (
        ["cancel"],
        "ID is missing; or select jobs with --all, --mine, --state, --type, --name, --comment or --owner\nusage",
    ),
    (["cancel", "7-3"], "'7-3' is not a range: the smaller id comes first"),
    (["cancel", "--all", "1"], "--all selects every job: leave it out, or the options that select some"),
    (["cancel", "--all", "--type", "t"], "--all selects every job"),
    (["cancel", "--state", "failed"], "--state failed: cancel is for jobs that are queued or in_progress"),
    (["wait", "1-2-3"], "'2-3' is not a job id"),
    (["cancel", "x"], "'x' is not a job id"),
    (["cancel", "1", "--max-wait", "x"], "--max-wait: 'x' is not a duration"),
    (["cancel", "-"], "there are no ids on standard input"),
    (["retry"], "ID is missing; or select jobs"),
    (["forget", "0"], "'0' is not a job id"),
    (["pause", "a", "b"], "REASON is one argument; quote it: zclient pause 'a b'"),
    (["pause", "--max-wait", "soon"], "--max-wait: 'soon' is not a duration"),
    (["resume", "now"], "too many words: now"),
    (["pause", "a", "--reason", "b"], "REASON and --reason are the same; give one of them"),
    (["pause", "--for", "5m", "--until", "15:00"], "--for and --until exclude each other"),
    (["pause", "--until", "noon"], "--until: 'noon' is not a time such as 15:00"),
    (["pause", "--for", "soon"], "--for: 'soon' is not a duration"),
    (["list", "--limit", "0"], "--limit: '0' is not a whole number from 1"),
    (["list", "--before", "x"], "--before: 'x' is not a job id"),
    (
        ["list", "--state", "compelted"],
        "--state: 'compelted' is not one of queued, in_progress, completed, ",
    ),
    (["list", "--state", "xyzzy"], "--state: 'xyzzy' is not one of queued, in_progress"),
    (["lsit"], "there is no command lsit; did you mean list?"),
]


@pytest.mark.parametrize(("argv", "sentence"), WRONG, ids=[" ".join(argv) for argv, _ in WRONG])
def test_wrong_usage(run: Run, broker: Any, argv: list[str], sentence: str) -> None:
    """A mistake is a sentence and exit code 2, before anything is asked of the broker."""
    ran = run(*argv)
    assert (ran.code, ran.out) == (2, "") and ran.err.startswith("zclient: " + sentence)
    assert broker.requests == []


def test_cancel(run: Run, broker: Any) -> None:
    """A line for each job says what it is now; ids without a job come last, with exit code 3."""
    broker.add(1)
    broker.add(2, RUNNING, elapsed_ms=5)
    broker.add(3, COMPLETED, "x")
    broker.add(4, FAILED, message="E: odd")
    lines = "1 cancelled\n2 cancelling\n3 completed\n4 failed: E: odd\n"
    assert run("cancel", "1", "2", "3", "4") == (0, lines, "")
    assert run("cancel", "1", "99", "3") == (3, "1 cancelled\n3 completed\n", "zclient: job 99 was dropped since\n")
    shown = [json.loads(line) for line in run("cancel", "1", "2", "--json").out.splitlines()]
    assert [(job["id"], job["state"], job["cancelling"]) for job in shown] == [
        (1, "cancelled", False),
        (2, "in_progress", True),
    ]


def test_cancel_and_wait(run: Run, broker: Any) -> None:
    """With --wait one line a job, printed when it has ended, however it ended."""
    broker.add(1)
    broker.add(2, RUNNING)
    usual = broker.answer

    def then_ends(request: Any) -> Any:
        reply = usual(request)
        broker.add(2, COMPLETED, "x")
        return reply

    broker.script = [usual, usual, then_ends]
    assert run("cancel", "2", "1", "--wait") == (0, "1 cancelled\n2 completed\n", "")
    broker.add(5, RUNNING)
    ran = run("cancel", "5", "--max-wait", "0.05")
    assert ran == (4, "", "zclient: job 5 is not finished after 0.05 s; job 5 goes on: zclient wait 5\n")


def test_ids_from_standard_input(run: Run, broker: Any) -> None:
    """`-` takes ids from standard input, and an id that is given twice counts once."""
    for job_id in (1, 2, 3):
        broker.add(job_id)
    assert run("cancel", "3", "-", "3", stdin=b"1\n2 1\n").out == "3 cancelled\n1 cancelled\n2 cancelled\n"
    assert run("cancel", "-", stdin=b"1 x").err.startswith("zclient: 'x' is not a job id")


def test_retry(run: Run, broker: Any) -> None:
    """The new ids, one a line; the key makes it repeatable."""
    for job_id in (1, 2):
        broker.add(job_id, FAILED)
    assert run("retry", "2", "1", "--once", "again") == (0, "3\n4\n", "")
    assert run("retry", "2", "1", "--once", "again").out == "3\n4\n"
    assert json.loads(run("retry", "1", "--json").out) == {"id": 5}
    broker.script = [lambda request: Error(ErrorCode.NOT_FINISHED, "job 9 has not ended yet")]
    assert run("retry", "9") == (4, "", "zclient: job 9 has not ended yet\n")


def test_retry_without_an_answer(run: Run, broker: Any) -> None:
    """The key is printed with which repeating makes no second copies."""
    broker.add(1, FAILED)
    broker.script = [broker.answer, *[lambda request: None] * 5]  # whose job it is can be learnt
    ran = run("retry", "1", "--timeout", "0.1", "--once", "mine")
    assert ran.code == 69 and ran.err.endswith("repeat with --once mine to know: that makes no second job\n")


def test_forget(run: Run, broker: Any) -> None:
    """What was dropped is on stdout, what was not on stderr; 4 for jobs that go on, 3 for what there is not."""
    broker.add(1, COMPLETED, "x")
    broker.add(2)
    assert run("forget", "1", "2") == (
        4,
        "1 forgotten\n",
        "zclient: job 2 has not ended, so it is kept; zclient cancel 2 ends it\n",
    )
    ran = run("forget", "1", "2")
    assert (ran.code, ran.out) == (3, "") and ran.err.endswith("zclient: job 1 was dropped since\n")
    broker.add(3, COMPLETED, "x")
    assert json.loads(run("forget", "3", "--json").out) == {"id": 3, "forgotten": True}


def test_pause_and_resume(run: Run, broker: Any) -> None:
    """Both say what is so now; the reason is shown wherever the pause is."""
    assert run("pause", "lens\x1b[2J cap") == (0, "paused: lens\\x1b[2J cap\n", "")
    assert "paused:   since 2023-11-1" in run("info").out
    assert ": lens\\x1b[2J cap\n" in run("info").out
    broker.add(17, ahead=3)
    broker.add(18, COMPLETED, "x")
    assert run("status", "17", "18").out == "17 queued, 3 ahead (paused)\n18 completed\n"
    assert "17 queued, 3 ahead (paused)" in run("show", "17").out
    assert run("resume") == (0, "resumed\n", "")
    assert run("resume") == (0, "it was not paused\n", "")
    assert run("status", "17").out == "17 queued, 3 ahead\n"
    assert run("pause").out == "paused\n"
    assert json.loads(run("pause", "x", "--json").out)["paused"]["reason"] == "x"
    assert json.loads(run("resume", "--json").out)["was"]["reason"] == "x"


def test_status_asks_once(run: Run, broker: Any) -> None:
    """One request says all that is shown, and whether the queue is paused stands in the JSON as well."""
    broker.add(17)
    broker.requests.clear()
    assert json.loads(run("status", "17", "--json").out)["paused"] is False
    assert [type(request) for request in broker.requests] == [Status]
    broker.paused = Paused(1, "lens cap")
    assert json.loads(run("status", "17", "--json").out)["paused"] is True


def test_info_of_a_stuck_job(run: Run, broker: Any) -> None:
    """A running job whose process shows no liveness is said to."""
    assert "running job 17\n" in run("info").out
    broker.add(17, RUNNING, stuck_ms=6200)
    assert "running job 17 (no liveness for 6 s)\n" in run("info").out
    assert "1 queued, 5 waiting, 1 in progress, 2 completed" in run("info").out


def test_show(run: Run, broker: Any) -> None:
    """show has what the job was submitted with, what it is a copy of and what it has printed."""
    broker.add(17, QUEUED, priority=-3, output_bytes=2048, ready_at=1_700_000_000_000, message="E: odd", attempts=1)
    shown = " ".join(run("show", "17").out.split())
    for fact in ("priority: -3", "time limit: 1 min 30 s", "output: 2.0 KiB printed", "retry of: 3"):
        assert fact in shown
    assert "killed: 2 processes that it had left running" in shown
    for fact in ("retried as: 18, 19", "ready: 2023-11-1", "last failure: E: odd", "17 queued, ready in 0 s"):
        assert fact in shown


def test_list(run: Run, broker: Any) -> None:
    """Newest first, in columns without a head where there is no terminal; at most --limit; JSON lines."""
    broker.add(9, COMPLETED, "x", elapsed_ms=1234)
    broker.add(35, RUNNING, fraction=0.42, note="aligning", elapsed_ms=100)
    broker.add(120, FAILED, type="measure", message="ValueError: odd\n\x1b[2J")
    lines = [line.split("  ") for line in run("list").out.splitlines()]
    assert [[cell.strip() for cell in line if cell] for line in lines] == [
        ["120", "failed", "measure", line_moment(broker, 120), "-", "ValueError: odd\\n\\x1b[2J"],
        ["35", "in_progress", "reverse", line_moment(broker, 35), "0.1 s", "42 % (aligning)"],
        ["9", "completed", "reverse", line_moment(broker, 9), "1.2 s"],
    ]
    assert run("list").err == run("list", "--limit", "3").err == ""
    shortened = run("list", "--limit", "2")
    assert shortened.out.splitlines() == run("list").out.splitlines()[:2]
    assert shortened.err == "zclient: there are more: zclient list --limit 2 --before 35\n"
    filtered = run("list", "--type", "reverse", "--limit", "1").err
    assert filtered == "zclient: there may be more: zclient list --type reverse --limit 1 --before 35\n"
    assert [line.split()[0] for line in run("list", "--state", "completed").out.splitlines()] == ["9"]
    assert [line.split()[0] for line in run("list", "--before", "35", "--type", "reverse").out.splitlines()] == ["9"]
    assert run("list", "--type", "nosuch") == (0, "", "")
    assert [json.loads(line)["id"] for line in run("list", "--json").out.splitlines()] == [120, 35, 9]


def line_moment(broker: Any, job_id: int) -> str:
    from zjobs.client.wording import text

    return text.moment(broker.jobs[job_id].submitted_at)[:19]


def test_pause_names_what_goes_on(run: Run, broker: Any) -> None:
    """On stderr, and in the JSON; --wait returns when nothing is left, or says that the pause stays on."""
    for job_id in (1, 2, 3):
        broker.add(job_id, JobState.IN_PROGRESS if job_id == 1 else JobState.QUEUED)
    broker.dispatched = [1, 2, 3]
    ran = run("pause")
    assert (ran.code, ran.out) == (0, "paused\n")
    assert ran.err.splitlines() == [
        "zclient: job 1 is running and goes on",
        "zclient: 2 jobs (2 to 3) may still start: the worker has them",
    ]
    shown = json.loads(run("pause", "--json").out)
    assert (shown["running"], shown["may_start"]) == (1, [2, 3])
    ran = run("pause", "--max-wait", "0.01")
    assert ran.code == 4 and "the worker still has 3 jobs after 0.01 s; the pause stays on until zclient" in ran.err
    broker.dispatched = []
    assert run("pause", "--wait") == (0, "paused\nidle: nothing runs, and nothing starts\n", "")
    assert broker.paused is not None


def test_hold_release_and_edit(run: Run, broker: Any) -> None:
    """Each says what became of the jobs; those that have started are an error, and so are those without a job."""
    for job_id, state in ((1, QUEUED), (2, RUNNING), (3, QUEUED)):
        broker.add(job_id, state)
    assert run("hold", "1", "3") == (0, "1 held\n3 held\n", "")
    late = run("release", "1", "2")
    assert late[:2] == (5, "1 released\n") and "job 2 has started or ended already" in late.err
    assert run("hold", "1", "9").code == 3
    edited = run("edit", "1", "--priority=-5", "--time-limit", "0", "--name", "")
    assert edited == (0, "1 changed\n", "")
    assert json.loads(run("edit", "3", "--comment", "x", "--json").out) == {"id": 3, "changed": True}
    who = user_at_host()
    assert broker.asked(Edit) == [
        Edit((1, 3), True, submitter=who),
        Edit((1, 2), False, submitter=who),
        Edit((1, 9), True, submitter=who),
        Edit((1,), None, -5, 0, "", None, who),
        Edit((3,), comment="x", submitter=who),
    ]
    nothing = run("edit", "1")
    assert nothing.code == 2 and "--priority, --time-limit, --name, --comment, --at or --start-by" in nothing.err


def test_an_edit_that_is_not_decided_is_said(run: Run, broker: Any) -> None:
    """Exit code 4: ask again."""
    broker.add(1, QUEUED)
    broker.script += [broker.answer, lambda request: EditReply(broker.journal, (), (), request.ids, ())]
    pending = run("hold", "1")
    assert pending.code == 4 and "repeat this to know" in pending.err


def test_what_a_job_waits_for_reaches_the_broker(run: Run, broker: Any) -> None:
    """--after and --after-any of submit, --with-dependents of retry; what is no id is wrong usage."""
    assert run("submit", "t", "--after", "17,18", "--after-any", "3").out == "1\n"
    assert broker.asked(Submit)[0].jobs == (NewJob("t", after=(17, 18), after_any=(3,)),)
    broker.add(1, FAILED)
    run("retry", "1", "--with-dependents", "--yes")
    assert broker.asked(Retry)[0].with_dependents
    wrong = run("submit", "t", "--after", "17,x")
    assert wrong.code == 2 and "'x' is not a job id" in wrong.err


def test_times_reach_the_broker(run: Run, broker: Any) -> None:
    """Those of submit and edit, in milliseconds; what is no time, over, or said twice, is wrong usage."""
    at, by = 3_000_000_000_000, 3_000_000_060_000
    told = "2065-01-24T05:20Z", "2065-01-24T06:21+01:00"
    assert run("submit", "t", "--at", told[0], "--start-by", told[1]).out == "1\n"
    assert broker.asked(Submit)[0].jobs == (NewJob("t", start_at=at, start_by=by),)
    broker.add(1, QUEUED)
    run("edit", "1", "--at", told[0], "--start-by", "never")
    run("edit", "1", "--at", "now")
    assert [(edit.start_at, edit.start_by) for edit in broker.asked(Edit)] == [(at, 0), (0, None)]
    for words, why in (
        (["--at", "noon"], "--at: 'noon' is not a time such as 15:00"),
        (["--start-by", "2020-01-01 00:00"], "--start-by: '2020-01-01 00:00' has passed"),
        (["--at", told[0], "--delay", "5s"], "a job has a delay or starts at a time; give one of them"),
    ):
        wrong = run("submit", "t", *words)
        assert wrong.code != 0 and why in wrong.err and len(broker.asked(Submit)) == 1


def test_a_job_says_at_what_times_it_starts() -> None:
    """In the line of its status and in `show`; a job that ran is not cancelled any more."""
    at = int(datetime(2065, 1, 24, 2).timestamp() * 1000)
    job = JobStatus(20, "t", QUEUED, 0, 0, 0, 0, 0, ready_at=at, start_at=at, start_by=at + 90_000)
    line = format.status_line(job, WorkerState.READY)
    assert line == "20 queued, not before 2065-01-24 02:00, cancelled unless started by 2065-01-24 02:01:30"
    assert "cancelled" not in format.status_line(job._replace(run=1), WorkerState.READY)


def test_a_job_says_what_it_waits_for() -> None:
    """In the line of its status, the first few ids."""
    job = JobStatus(20, "t", QUEUED, 0, 0, 0, 0, 0)
    line = format.status_line(job._replace(after=(17,), after_any=(3,)), WorkerState.READY)
    assert line == "20 queued, waits for 17, 3 (however it ends)"
    assert format.awaited(job._replace(after=tuple(range(1, 9)))) == "1, 2, 3, 4, 5, …"
    held = format.status_line(job._replace(held=True, after=(17,)), WorkerState.READY)
    assert held == "20 queued, held, waits for 17"
