"""The jobs that ids, ranges and filters select."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from zjobs.client.cli.call import Call, decoded, open_bytes
from zjobs.client.cli.usage import ZCLIENT
from zjobs.client.cli.usage.options import job_ids
from zjobs.client.errors import NotFound
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState
from zjobs.program.cli.options import usage_line
from zjobs.program.cli.parse import UsageError

GOING_ON = (JobState.QUEUED, JobState.IN_PROGRESS)  # in this order, so that none slips through while it starts
QUEUED = (JobState.QUEUED,)
WITHOUT_RESULT = (JobState.FAILED, JobState.CANCELLED)
ENDED = (JobState.COMPLETED, *WITHOUT_RESULT)

MOST_SELECTED = 1_000_000
PART_IDS = 1_000
NO_MATCH = "there is no such job"


class Actable(NamedTuple):
    """The states of the jobs that a command can change, and of those that it selects by default."""

    states: tuple[JobState, ...]
    selected: tuple[JobState, ...]


ACTABLE = {
    "cancel": Actable(GOING_ON, GOING_ON),
    "wait": Actable(GOING_ON, GOING_ON),
    "hold": Actable(QUEUED, QUEUED),
    "release": Actable(QUEUED, QUEUED),
    "retry": Actable(ENDED, WITHOUT_RESULT),
    "forget": Actable(ENDED, ENDED),
}


class Selection(NamedTuple):
    """Ids in order. `owners`: whose each job is, see `whose`, except those given by id one by one."""

    ids: list[int]
    owners: dict[int, str]


def ids_of_words(call: Call) -> list[int]:
    """Return the ids of the command line, each once. `-` stands for those on standard input, a range for its jobs."""
    return selected_by_words(call).ids


def selected_by_words(call: Call) -> Selection:
    """Return the jobs that the words of the command line name. Raises NotFound for a range without any job."""
    found: dict[int, str | None] = {}
    for ids in _ranges(call):
        if len(ids) == 1:
            found.setdefault(ids[0], None)
            continue
        jobs = list(_jobs_in(call, ids))
        if not jobs:
            raise NotFound(f"there is no job from {ids[0]} to {ids[-1]}")
        found.update((job.id, whose(call, job)) for job in reversed(jobs))
    return Selection(list(found), {job_id: owner for job_id, owner in found.items() if owner is not None})


def selected(call: Call, command: str) -> Selection:
    """Return the jobs that `command` is for, by ids and, where it has them, filters. Raises UsageError without any."""
    if command not in ACTABLE:
        return selected_by_words(call)
    state, every = call.args["--state"], call.args["--all"]
    filters = filters_of(call)
    filtered = state is not None or any(filters.values())
    if every and (filtered or call.args["ID"]):
        raise UsageError("--all selects every job: leave it out, or the options that select some")
    if not (every or filtered):
        if not call.args["ID"]:
            raise UsageError(
                "ID is missing; or select jobs with --all, --mine, --state, --type, --name, --comment or --owner\n"
                f"usage: {_usage(command)}"
            )
        return selected_by_words(call)
    actable = ACTABLE[command]
    if state is not None and state not in actable.states:
        raise UsageError(
            f"--state {state}: {command} is for jobs that are {' or '.join(s.value for s in actable.states)}"
        )
    states = actable.selected if state is None else (JobState(state),)
    owners: dict[int, str] = {job.id: whose(call, job) for job in _matching(call, states, filters, _ranges(call))}
    return Selection(sorted(owners), owners)


def filters_of(call: Call) -> dict[str, Any]:
    """Return the filters of the command line, as arguments of `Client.list`. A submitter may be named without the
    host."""
    owner = call.args["--owner"]
    proven = bool(call.client.owner)
    return {
        "type": call.args["--type"],
        "name": call.args["--name"],
        "comment": call.args["--comment"],
        "mine": call.args["--mine"],
        "owner": owner if proven else None,
        "submitter": None if proven or owner is None else owner if "@" in owner else f"{owner}@*",
    }


def whose(call: Call, job: JobStatus) -> str:
    """Return the owner of a job or, if nothing is proven, the user who claims it, on any host."""
    return job.owner if call.client.owner else job.submitter.partition("@")[0]


def parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Return the ids in parts; what was done is shown after each."""
    return (ids[first : first + PART_IDS] for first in range(0, len(ids), PART_IDS))


def _matching(
    call: Call, states: Sequence[JobState], filters: dict[str, Any], ranges: Sequence[range]
) -> Iterator[JobStatus]:
    """Yield the jobs of these states that pass the filters, page by page; with ranges, only those within."""
    before = max(ids.stop for ids in ranges) if ranges else None
    lowest = min(ids.start for ids in ranges) if ranges else 0
    count = 0
    for state in states:
        for job in call.client.list(state, before=before, **filters):
            if job.id < lowest:
                break
            if ranges and not any(job.id in ids for ids in ranges):
                continue
            count += 1
            _check_count(count)
            yield job


def _jobs_in(call: Call, ids: range) -> Iterator[JobStatus]:
    """Yield the jobs of a range, newest first."""
    for count, job in enumerate(call.client.list(limit=len(ids), before=ids.stop), 1):
        if job.id < ids.start:
            return
        _check_count(count)
        yield job


def _check_count(count: int) -> None:
    if count > MOST_SELECTED:
        raise UsageError(f"these are more than {MOST_SELECTED:,} jobs; select fewer at once")


def _ranges(call: Call) -> list[range]:
    """Return the ids that each word stands for."""
    words: list[str] = []
    for word in call.args["ID"]:
        words += decoded(open_bytes("-").read(), "standard input").split() if word == "-" else [word]
    if call.args["ID"] and not words:
        raise UsageError("there are no ids on standard input")
    try:
        return list(map(job_ids, words))
    except ValueError as error:
        raise UsageError(str(error)) from None


def _usage(name: str) -> str:
    (command,) = (command for command in ZCLIENT.commands if command.name == name)
    return usage_line(ZCLIENT, command)
