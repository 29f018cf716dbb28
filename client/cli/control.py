"""The commands of zclient that change jobs or list them: cancel, retry, forget, pause, resume, list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from shlex import quote
from time import time

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, chosen_request_key, repeat_hint, say_missing
from zjobs.client.cli.follow import print_ends
from zjobs.client.cli.selection.confirm import meant
from zjobs.client.cli.selection.ids import filters_of, parts
from zjobs.client.cli.show import format
from zjobs.client.cli.show.job_table import Table
from zjobs.client.cli.show.pauses import going_on_lines, paused_lines, resumed_lines
from zjobs.client.cli.wait import Resumable
from zjobs.client.protocol.job import ids_of
from zjobs.messages.records import JobStatus, Missing
from zjobs.messages.states import WorkerState
from zjobs.messages.units import JobId
from zjobs.program.cli.parse import UsageError
from zjobs.program.cli.times import time_to_come

ROWS_A_PAGE = 100
DEFAULT_ROWS = 20


def cancel(call: Call) -> int:
    """Run `zclient cancel`."""
    wait = call.args["--wait"] or call.args["--max-wait"] is not None
    going_on: list[int] = []
    missing: list[Missing] = []
    journal = ""
    for ids in parts(meant(call, "cancel")):
        reply = call.client.cancel(ids)
        journal = journal or reply.journal
        call.client.check_journal(reply.journal, journal)
        for job in reply.jobs:
            if wait and not job.state.final:
                going_on.append(job.id)
            else:
                call.output.line(format.status_line(job, WorkerState.READY, program=call.program), job)
        call.output.flush()
        missing += reply.missing
    say_missing(call, missing)
    if going_on:
        print_ends(call, going_on, journal)
    return exit_codes.NO_SUCH_JOB if missing else exit_codes.DONE


def retry(call: Call) -> int:
    """Run `zclient retry`."""
    request_key = chosen_request_key(call)
    if not (ids := meant(call, "retry")):
        return exit_codes.DONE
    try:
        for part in call.client.retry_in_parts(ids, request_key, call.args["--with-dependents"]):
            for job_id in ids_of(part):
                call.output.line(str(job_id), {"id": job_id})
            call.output.flush()
    except KeyboardInterrupt:
        call.output.note(f"interrupted before an answer; {repeat_hint(request_key)}")
        raise
    return exit_codes.DONE


def forget(call: Call) -> int:
    """Run `zclient forget`."""
    kept: list[JobId] = []
    missing: list[Missing] = []
    for ids in parts(meant(call, "forget")):
        reply = call.client.forget(ids)
        for job_id in reply.forgotten:
            call.output.line(f"{job_id} forgotten", {"id": job_id, "forgotten": True})
        call.output.flush()
        kept += reply.kept
        missing += reply.missing
    for job_id in kept:
        call.output.error(
            "not_finished",
            f"job {job_id} has not ended, so it is kept; {call.program} cancel {job_id} ends it",
            id=job_id,
        )
    say_missing(call, missing)
    if missing:
        return exit_codes.NO_SUCH_JOB
    return exit_codes.NOT_FINISHED if kept else exit_codes.DONE


def pause(call: Call) -> int:
    """Run `zclient pause`."""
    limit = call.args["--max-wait"]
    reply = call.client.pause(_reason(call), duration=call.args["--for"], until=_until(call))
    told = {"paused": reply.paused, "running": reply.running, "may_start": reply.may_start, "pauses": reply.pauses}
    call.output.line(paused_lines(reply.paused, reply.pauses[-1:], time())[0], told)
    call.output.flush()
    for line in going_on_lines(reply):
        call.output.note(line)
    if call.args["--wait"] or limit is not None:
        ends = call.args["--for"] is not None or call.args["--until"] is not None
        with Resumable(call, "the pause stays on" + ("" if ends else f" until {call.program} resume")):
            call.client.wait_until_idle(limit)
        call.output.line("idle: nothing runs, and nothing starts", {"idle": True})
    return exit_codes.DONE


def resume(call: Call) -> int:
    """Run `zclient resume`."""
    reply = call.client.resume(all=call.args["--all"])
    told = {"was": reply.was, "lifted": reply.lifted, "pauses": reply.pauses}
    first, *others = resumed_lines(reply, time())
    call.output.line(first, told)
    call.output.flush()
    hint = [f"operators lift all with {call.program} resume --all"] if reply.pauses else []
    for line in (*others, *hint):
        call.output.note(line)
    return exit_codes.DONE


def _reason(call: Call) -> str:
    word, option = call.args["REASON"], call.args["--reason"]
    if word is not None and option is not None:
        raise UsageError("REASON and --reason are the same; give one of them")
    return word or option or ""


def _until(call: Call) -> datetime | None:
    if call.args["--until"] is None:
        return None
    if call.args["--for"] is not None:
        raise UsageError("--for and --until exclude each other")
    try:
        return time_to_come(call.args["--until"], datetime.now().astimezone())
    except ValueError as error:
        raise UsageError(f"--until: {error}") from None


def list_jobs(call: Call) -> int:
    """Run `zclient list`."""
    table = Table(call.output.columns)
    args, limit = call.args, call.args["--limit"]
    filters = {**filters_of(call), "since": args["--since"], "preview": True}
    jobs = call.client.list(args["--state"], limit=limit + 1, before=args["--before"], **filters)  # are there more?
    printed, last = 0, None
    while page := list(islice(jobs, min(ROWS_A_PAGE, limit - printed))):
        printed, last = printed + len(page), page[-1].id
        lines = table.lines(page)
        if len(lines) > len(page) and not call.output.as_json:
            call.output.line(lines[0], None)
        for job, line in zip(page, lines[-len(page) :]):
            call.output.line(line, format.fields(job))
        call.output.flush()
    if printed == limit and last is not None:
        _say_how_to_go_on(call, last, jobs)
    return exit_codes.DONE


def _say_how_to_go_on(call: Call, last: int, rest: Iterator[JobStatus]) -> None:
    """Print how to list more. `rest`: the jobs after `last`; with a filter it is not read, because that could mean
    searching the whole journal."""
    named = ("--state", "--type", "--name", "--comment", "--owner")
    chosen = [f"{name} {quote(call.args[name])}" for name in named if call.args[name] is not None]
    chosen += ["--mine"] * call.args["--mine"]
    if call.args["--since"] is not None:
        chosen.append(f"--since {call.args['--since']:g}")
    if chosen or next(rest, None) is not None:
        are = "there may be more" if chosen else "there are more"
        limit = [] if call.args["--limit"] == DEFAULT_ROWS else [f"--limit {call.args['--limit']}"]
        words = " ".join(["list", *chosen, *limit, f"--before {last}"])
        call.output.note(f"{are}: {call.program} {words}")
