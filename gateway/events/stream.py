"""Server-sent events without I/O: how they are written, which of them are kept, and who sees which.

An id is `EPOCH-NUMBER`. A gateway numbers the events of a service from its own start, its epoch, and keeps the last of
them. So an id of another gateway, of an earlier start, or older than what is kept means `resync`: ask for everything.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import islice
from typing import Any, NamedTuple

from zjobs.gateway.web.records import encode
from zjobs.messages.records import JobStatus
from zjobs.messages.states import Role

MOST_KEPT = 5_000
# What one stream is sent at once; a reader that is slower than the events misses some, and is told to resync.
MOST_AT_ONCE = 500
_MOST_PASSAGES = 20  # streams are mostly as far as the others; those that are not cost memory

_ID = re.compile(r"(?P<epoch>[0-9a-f]{1,32})-(?P<number>[0-9]{1,18})\Z")


class Entry:
    """An event. `job`: the job that it tells of, None for the service itself."""

    __slots__ = ("_text", "job", "number", "value")

    def __init__(self, number: int, value: Any) -> None:
        self.number = number
        self.value = value
        self.job = value if isinstance(value, JobStatus) else None
        self._text = b""

    def text(self, epoch: str) -> bytes:
        """Return the event as it is sent. It is made once, and not before somebody hears it."""
        if not self._text:
            kind = "service" if self.job is None else "job"
            self._text = written(kind, self.value, epoch, self.number)
        return self._text


class Subject(NamedTuple):
    """The person a stream is for, and what it is about: one job, or None for the whole service."""

    name: str
    role: str
    job_id: int | None = None

    @property
    def owner(self) -> str | None:
        """The owner whose jobs alone are seen; None: those of everybody."""
        return self.name if self.role == Role.SUBMITTER else None

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


class Passage(NamedTuple):
    """Events as one text. `last`: the number up to which they were looked through."""

    text: bytes
    last: int


class Kept:
    """The last events of a service."""

    def __init__(self, epoch: str, most: int = MOST_KEPT) -> None:
        self.epoch = epoch
        self.last = 0
        self._entries: deque[Entry] = deque(maxlen=most)
        self._passages: dict[tuple[Subject, int], Passage] = {}

    @property
    def here(self) -> str:
        """The id of the last event: a stream that goes on after it misses nothing that comes from now on."""
        return f"{self.epoch}-{self.last}"

    def add(self, value: Any) -> Entry:
        """Keep what a job or the service has become, as the last event."""
        self.last += 1
        entry = Entry(self.last, value)
        self._entries.append(entry)
        self._passages.clear()
        return entry

    def after(self, number: int) -> list[Entry] | None:
        """Return the next events after this one, in order; None if some of them are not kept any more."""
        missing = self.last - number
        if missing > len(self._entries):
            return None
        return list(islice(reversed(self._entries), missing))[: -MOST_AT_ONCE - 1 : -1]

    def passage(self, subject: Subject, number: int) -> Passage | None:
        """Return the next events after this one that `subject` sees; None if some are not kept any more.

        Streams that see the same and are equally far share it.
        """
        # whoever sees all jobs sees the same, whatever the name and the role
        sight = subject._replace(name="", role=Role.VIEWER.value) if subject.role in ALL_JOBS else subject
        found = self._passages.get((sight, number))
        if found is None and (entries := self.after(number)) is not None:
            text = b"".join(entry.text(self.epoch) for entry in entries if subject.sees(entry))
            found = Passage(text, entries[-1].number if entries else number)
            if len(self._passages) < _MOST_PASSAGES:
                self._passages[sight, number] = found
        return found

    def number_of(self, event_id: str) -> int | None:
        """Return the number in the id of one of these events; None for any other text."""
        match = _ID.match(event_id)
        if match is None or match["epoch"] != self.epoch or int(match["number"]) > self.last:
            return None
        return int(match["number"])


def written(kind: str, value: Any, epoch: str, number: int) -> bytes:
    """Return an event as it is sent. Its data is JSON in one line."""
    return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (epoch.encode(), number, kind.encode(), encode(value))


def heartbeat(epoch: str, number: int) -> bytes:
    """Return what shows that a stream lives. It also tells how far the stream is, whatever it left out."""
    return b"id: %s-%d\n\n" % (epoch.encode(), number)
