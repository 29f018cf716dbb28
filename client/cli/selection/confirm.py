"""The question before a command changes jobs that its user may not mean: those of others, and many at once."""

from __future__ import annotations

import sys
from collections import Counter

from zjobs.client.cli.call import Call
from zjobs.client.cli.selection.ids import NO_MATCH, Selection, selected, whose
from zjobs.client.wording.text import printable
from zjobs.program.cli.parse import UsageError

# This many jobs of one's own are changed without a question. Ids given one by one do not count.
MOST_UNASKED = 10
OWNERS_NAMED = 3


def meant(call: Call, command: str) -> list[int]:
    """Return the jobs that `command` is for; none, with a note, if no job matches or the user says no."""
    selection = selected(call, command)
    if not selection.ids:
        call.output.note(NO_MATCH)
        return []
    return selection.ids if _confirmed(call, command, selection) else []


def _confirmed(call: Call, verb: str, selection: Selection) -> bool:
    """Return True if the command may go on, after asking if necessary. Raises UsageError if nobody can be asked."""
    if call.args["--yes"]:
        return True
    others = _others(call, selection)
    if len(selection.owners) <= MOST_UNASKED and not others:
        return True
    what = f"{verb} {_count(selection.ids)}{_whose(others)}"
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty() or call.output.as_json:
        raise UsageError(f"this would {what}; say --yes if you mean it")
    call.output.ask(f"{what}? [y/N] ")
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    call.output.note("nothing was changed")
    return False


def _others(call: Call, selection: Selection) -> Counter[str]:
    """Return how many of the jobs each other person has."""
    owners = dict(selection.owners)
    if unknown := [job_id for job_id in selection.ids if job_id not in owners]:
        owners.update((job.id, whose(call, job)) for job in call.client.status(unknown).jobs)
    me = call.client.owner or call.client.submitter.partition("@")[0]
    return Counter(owner for owner in owners.values() if owner not in ("", me))


def _count(ids: list[int]) -> str:
    return f"job {ids[0]}" if len(ids) == 1 else f"{len(ids)} jobs"


def _whose(others: Counter[str]) -> str:
    if not others:
        return ""
    named = [f"{printable(owner)} {count}" for owner, count in others.most_common(OWNERS_NAMED)]
    return f", {sum(others.values())} of others ({', '.join(named + ['…'] * (len(others) > OWNERS_NAMED))})"
