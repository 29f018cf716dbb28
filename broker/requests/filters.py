"""The filters of a `list` request."""

from __future__ import annotations

from zjobs.broker.core.records.jobs import Job
from zjobs.messages.requests.queries import List

ANY = "*"


def fits(request: List, job: Job) -> bool:
    """True if the job passes all filters but those by age and by whether it runs."""
    return (
        request.type in (None, job.type)
        and (request.state is None or not job.state.final or job.state is request.state)
        and text_fits(request.name, job.name)
        and text_fits(request.comment, job.comment)
        and text_fits(request.owner, job.owner)
        and text_fits(request.submitter, job.submitter)
    )


def text_fits(wanted: str | None, text: str) -> bool:
    """True if the text matches `wanted`, in which each `*` stands for any text. None matches everything."""
    if wanted is None:
        return True
    begin, *parts = wanted.split(ANY)
    if not parts:
        return text == wanted
    *middle, end = parts
    if len(text) < len(begin) + len(end) or not text.startswith(begin) or not text.endswith(end):
        return False
    at, last = len(begin), len(text) - len(end)
    for part in middle:
        at = text.find(part, at, last)
        if at < 0:
            return False
        at += len(part)
    return True
