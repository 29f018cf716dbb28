"""Server-sent events without I/O: how they are written, which of them are kept, and who sees which.

An id is `EPOCH-NUMBER`. A gateway numbers the events of a service from its own start, its epoch, and keeps the last of
them. So an id of another gateway, of an earlier start, or older than what is kept means `resync`: ask for everything.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from zjobs.messages.records import JobStatus
from zjobs.messages.states import Role

MOST_KEPT = 5_000

_ID = re.compile(r"(?P<epoch>[0-9a-f]{1,32})-(?P<number>[0-9]{1,18})\Z")


class Entry(NamedTuple):
    """An event as it is sent. `job`: the job that it tells of, None for the service itself."""

    number: int
    text: bytes
    job: JobStatus | None = None


class Subject(NamedTuple):
    """The person a stream is for, and what it is about: one job, or None for the whole service."""

    name: str
    role: str
    job_id: int | None = None

    def sees(self, entry: Entry) -> bool:
        """Return True if the stream has this event: submitters have those of their own jobs, and unknown roles have
        none."""
        if entry.job is None:
            return self.job_id is None
        if self.job_id not in (None, entry.job.id):
            return False
        return entry.job.owner == self.name if self.role == Role.SUBMITTER else self.role in ALL_JOBS


# Who sees the events of all jobs.
ALL_JOBS = frozenset(role.value for role in Role if role is not Role.SUBMITTER)


class Kept:
    """The last events of a service."""

    def __init__(self, epoch: str, most: int = MOST_KEPT) -> None:
        self.epoch = epoch
        self.last = 0
        self._entries: deque[Entry] = deque(maxlen=most)

    @property
    def here(self) -> str:
        """The id of the last event: a stream that goes on after it misses nothing that comes from now on."""
        return f"{self.epoch}-{self.last}"

    def add(self, kind: str, value: Any, job: JobStatus | None = None) -> None:
        """Keep an event as the last one."""
        self.last += 1
        self._entries.append(Entry(self.last, self.written(kind, value, self.last), job))

    def after(self, number: int) -> list[Entry] | None:
        """Return the events after this one, in order; None if some of them are not kept any more."""
        missing = self.last - number
        if missing > len(self._entries):
            return None
        return list(islice(reversed(self._entries), missing))[::-1]

    def number_of(self, event_id: str) -> int | None:
        """Return the number in the id of one of these events; None for any other text."""
        match = _ID.match(event_id)
        if match is None or match["epoch"] != self.epoch or int(match["number"]) > self.last:
            return None
        return int(match["number"])

    def written(self, kind: str, value: Any, number: int) -> bytes:
        """Return an event as it is sent. Its data is JSON in one line."""
        return b"%sevent: %s\ndata: %s\n\n" % (self._id_line(number), kind.encode(), msgspec.json.encode(value))

    def heartbeat(self, number: int) -> bytes:
        """Return what shows that a stream lives. It also tells how far the stream is, whatever it left out."""
        return self._id_line(number) + b"\n"

    def _id_line(self, number: int) -> bytes:
        return f"id: {self.epoch}-{number}\n".encode()
