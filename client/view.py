"""The newest of what is known of some jobs, from snapshots, events and replies in whatever order they come. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from zjobs.messages.records import JobStatus


def is_news(known: JobStatus | None, heard: JobStatus) -> bool:
    """Whether `heard` says anything that `known` does not, and is not older.

    Of the same (version, progress) only `ahead` and `elapsed_ms` can differ: they change without a change of
    the job itself, so the one heard last counts.
    """
    if known is None:
        return True
    return (heard.version, heard.progress) >= (known.version, known.progress) and heard != known


class View:
    """The newest status of each job heard of, and which of the `ids` have not ended."""

    def __init__(self, ids: Iterator[int]) -> None:
        self.known: dict[int, JobStatus] = {}
        # A dict for its order: the jobs run in it, so the first ones are those worth watching.
        self.unfinished = dict.fromkeys(ids)

    def take(self, heard: JobStatus) -> bool:
        """Merges `heard`; whether it was news."""
        if not is_news(self.known.get(heard.id), heard):
            return False
        self.known[heard.id] = heard
        if heard.state.final:
            self.unfinished.pop(heard.id, None)
        return True
