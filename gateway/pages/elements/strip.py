"""The strip: the last hours of a service in one lane. Pure: jobs, pauses and the time in, blocks and their places out.

Places are percentages of the lane. Short runs beside each other become one block, so there are never many blocks,
however many jobs a week has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zjobs.client.wording import text
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

_HOUR_MS = 3_600_000


class Window(NamedTuple):
    """A length of the lane, in milliseconds and in words, and the distance between its marks."""

    length_ms: int
    step_ms: int
    words: str


WINDOWS = {
    "1h": Window(_HOUR_MS, _HOUR_MS // 4, "1 h"),
    "8h": Window(8 * _HOUR_MS, 2 * _HOUR_MS, "8 h"),
    "24h": Window(24 * _HOUR_MS, 6 * _HOUR_MS, "24 h"),
    "7d": Window(168 * _HOUR_MS, 24 * _HOUR_MS, "7 d"),
}
DEFAULT_WINDOW = "8h"

WORDS = {
    JobState.IN_PROGRESS: "running",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}

# Runs that lie within this part of the lane, together, are one block.
MERGED = 1.0
# No block is drawn thinner, so that each can be seen and hit.
THINNEST = 0.4
# The height of a block in pixels, and the least that is seen of it.
HEIGHT = 28
LOWEST = 6
MOST_BLOCKS = int(2 * 100 / MERGED) + 2


class Run(NamedTuple):
    """The last run of a job. `end`: None while it goes on."""

    job_id: int
    type: str
    name: str
    state: JobState
    start: int
    end: int | None


class Stretch(NamedTuple):
    """A part of the lane."""

    left: float
    width: float


class Block(NamedTuple):
    """One run, or several short ones beside each other. `outcomes`: how many of each state, the most frequent first."""

    place: Stretch
    runs: tuple[Run, ...]
    outcomes: tuple[tuple[JobState, int], ...]

    @property
    def state(self) -> JobState:
        """The way most of its runs ended."""
        return self.outcomes[0][0]

    @property
    def failed_height(self) -> int:
        """The height of what failed in a block of several: by their share, and never too low to be seen."""
        failed = dict(self.outcomes).get(JobState.FAILED, 0)
        return max(LOWEST, HEIGHT * failed // len(self.runs)) if failed and len(self.outcomes) > 1 else 0

    @property
    def words(self) -> str:
        """The words for those who point at it."""
        if len(self.runs) == 1:
            (run,) = self.runs
            took = "" if run.end is None else f" after {text.seconds(max(0, run.end - run.start) / 1000)}"
            return f"#{run.job_id} {run.name or run.type}: {WORDS[run.state]}{took}"
        told = ", ".join(f"{count} {WORDS[state]}" for state, count in self.outcomes)
        return f"{len(self.runs)} jobs from #{self.first_id} to #{self.last_id}: {told}"

    @property
    def first_id(self) -> int:
        """The smallest id."""
        return min(run.job_id for run in self.runs)

    @property
    def last_id(self) -> int:
        """The greatest id."""
        return max(run.job_id for run in self.runs)


class Mark(NamedTuple):
    """A mark below the lane: how long ago."""

    left: float
    ago_ms: int

    @property
    def words(self) -> str:
        """The time since then, in words."""
        return text.age(self.ago_ms / 1000) if self.ago_ms else "now"


class Strip(NamedTuple):
    """The contents of the lane. `unlisted`: the part before the oldest run listed, if jobs are missing there."""

    blocks: tuple[Block, ...]
    pauses: tuple[Stretch, ...]
    marks: tuple[Mark, ...]
    unlisted: Stretch | None


def run_of(job: JobStatus) -> Run | None:
    """Return the run of a job; None if it has not run."""
    if job.started_at is None or job.state is JobState.QUEUED:
        return None
    end = job.ended_at if job.state.final else None
    return Run(job.id, job.type, job.name, job.state, job.started_at, end)


def strip(
    runs: Iterable[Run],
    pauses: Iterable[tuple[int, int | None]],
    window: str,
    now: int,
    listed_from: int | None = None,
) -> Strip:
    """Return what the lane shows at `now`. `pauses`: beginning and end of each, None: it goes on. `listed_from`: older
    runs were not listed, though there are some."""
    length, step, _ = WINDOWS[window]
    lane = _Lane(now - length, now)
    visible = sorted((run for run in runs if lane.has(run.start, run.end)), key=lambda run: (run.start, run.job_id))
    return Strip(
        tuple(_block(lane, group) for group in _groups(lane, visible)),
        tuple(lane.place(start, end) for start, end in pauses if lane.has(start, end)),
        tuple(Mark(lane.at(now - ago), ago) for ago in range(length, -1, -step)),
        lane.place(lane.start, listed_from) if listed_from is not None and listed_from > lane.start else None,
    )


class _Lane(NamedTuple):
    """The time that the lane shows."""

    start: int
    now: int

    def has(self, start: int, end: int | None) -> bool:
        return start <= self.now and (end is None or end >= self.start)

    def at(self, time: int) -> float:
        """Where a time is. Clocks differ: what seems to be in the future is now."""
        inside = min(max(time, self.start), self.now)
        return round(100 * (inside - self.start) / (self.now - self.start), 2)

    def place(self, start: int, end: int | None) -> Stretch:
        left = self.at(start)
        return Stretch(left, round(max(0.0, self.at(self.now if end is None else end) - left), 2))


def _groups(lane: _Lane, runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each block. One in progress is always a block of its own."""
    groups: list[list[Run]] = []
    begins_at = 0.0
    for run in runs:
        joins = groups and None not in (run.end, groups[-1][-1].end)
        if joins and run.end is not None and lane.at(run.end) - begins_at <= MERGED:
            groups[-1].append(run)
        else:
            groups.append([run])
            begins_at = lane.at(run.start)
    return groups


def _block(lane: _Lane, runs: list[Run]) -> Block:
    ends = [lane.now if run.end is None else run.end for run in runs]
    right = lane.at(max(ends))
    # a thin one reaches back over the gap or block before it: the next block is drawn later, and would cover it
    left = max(0.0, min(lane.at(runs[0].start), right - THINNEST))
    outcomes = Counter(run.state for run in runs).most_common()
    return Block(Stretch(round(left, 2), round(max(THINNEST, right - left), 2)), tuple(runs), tuple(outcomes))
