"""The jobs that ids, ranges and filters select."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zjobs.client.cli import usage
from zjobs.client.cli.call import Call, decoded, open_bytes
from zjobs.client.errors import NotFound
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState
from zjobs.program.cli.options import usage_line
from zjobs.program.cli.parse import UsageError

GOING_ON = (JobState.QUEUED, JobState.IN_PROGRESS)  # in this order, so that none slips through while it starts
WITHOUT_RESULT = (JobState.FAILED, JobState.CANCELLED)
ENDED = (JobState.COMPLETED, *WITHOUT_RESULT)

MOST_SELECTED = 1_000_000
NO_MATCH = "there is no such job"


class Actable(NamedTuple):
    """The states of the jobs that a command can do something to, and those that it selects by itself."""

    states: tuple[JobState, ...]
    selected: tuple[JobState, ...]


ACTABLE = {
    "cancel": Actable(GOING_ON, GOING_ON),
    "wait": Actable(GOING_ON, GOING_ON),
    "retry": Actable(ENDED, WITHOUT_RESULT),
    "forget": Actable(ENDED, ENDED),
}


class Selection(NamedTuple):
    """Ids in order. `owners` has the owner of each job that was looked at: those named one by one are not."""

    ids: list[int]
    owners: dict[int, str]


def ids_of_words(call: Call) -> list[int]:
    """The ids of the command line, each once. `-` stands for those on standard input, a range for its jobs."""
    return selected_by_words(call).ids


def selected_by_words(call: Call) -> Selection:
    """The jobs that the words of the command line name. Raises NotFound for a range without any job."""
    found: dict[int, str | None] = {}
    for ids in _ranges(call):
        if len(ids) == 1:
            found.setdefault(ids[0], None)
            continue
        jobs = list(_jobs_in(call, ids))
        if not jobs:
            raise NotFound(f"there is no job from {ids[0]} to {ids[-1]}")
        found.update((job.id, job.owner) for job in reversed(jobs))
    return Selection(list(found), {job_id: owner for job_id, owner in found.items() if owner is not None})


def selected(call: Call, command: str) -> Selection:
    """The jobs that `command` is for, by ids and filters. Raises UsageError if neither is given."""
    state, kind, every = call.args["--state"], call.args["--type"], call.args["--all"]
    filtered = state is not None or kind is not None
    if every and (filtered or call.args["ID"]):
        raise UsageError("--all is for every job: leave out what selects some, or --all")
    if not (every or filtered):
        if not call.args["ID"]:
            raise UsageError(f"ID is missing; or select jobs with --all, --state or --type\nusage: {_usage(command)}")
        return selected_by_words(call)
    actable = ACTABLE[command]
    if state is not None and state not in actable.states:
        raise UsageError(
            f"--state {state}: {command} is for jobs that are {' or '.join(s.value for s in actable.states)}"
        )
    states = actable.selected if state is None else (JobState(state),)
    owners: dict[int, str] = {job.id: job.owner for job in _matching(call, states, kind, _ranges(call))}
    return Selection(sorted(owners), owners)


def _matching(call: Call, states: Sequence[JobState], kind: str | None, ranges: Sequence[range]) -> Iterator[JobStatus]:
    """The jobs of these states and this type, page by page; with ranges those within."""
    before = max(ids.stop for ids in ranges) if ranges else None
    lowest = min(ids.start for ids in ranges) if ranges else 0
    count = 0
    for state in states:
        for job in call.client.list(state, kind, before=before):
            if job.id < lowest:
                break
            if ranges and not any(job.id in ids for ids in ranges):
                continue
            count += 1
            _check_count(count)
            yield job


def _jobs_in(call: Call, ids: range) -> Iterator[JobStatus]:
    """The jobs of a range, newest first."""
    for count, job in enumerate(call.client.list(limit=len(ids), before=ids.stop), 1):
        if job.id < ids.start:
            return
        _check_count(count)
        yield job


def _check_count(count: int) -> None:
    if count > MOST_SELECTED:
        raise UsageError(f"these are more than {MOST_SELECTED:,} jobs; select fewer at once")


def _ranges(call: Call) -> list[range]:
    """What each of the words stands for."""
    words: list[str] = []
    for word in call.args["ID"]:
        words += decoded(open_bytes("-").read(), "standard input").split() if word == "-" else [word]
    if call.args["ID"] and not words:
        raise UsageError("there are no ids on standard input")
    try:
        return list(map(usage.job_ids, words))
    except ValueError as error:
        raise UsageError(str(error)) from None


def _usage(name: str) -> str:
    (command,) = (command for command in usage.COMMANDS if command.name == name)
    return usage_line(usage.ZCLIENT, command)
