"""The promises about edits: what the answer says is so, and a held job does not begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from zjobs.broker.core.records.jobs import Job
from zjobs.messages.requests.changes import Edit, EditReply

FIELDS = ("held", "priority", "name", "start_at", "start_by")


class EditPromises:
    """`committed`: the jobs. `begun`: whether a run of a job began, as far as anybody knows."""

    def __init__(self, hold: Callable[[bool, str], None], begun: Callable[[int], bool], counts: dict[str, int]) -> None:
        self._hold = hold
        self.has_begun = begun
        self._counts = counts
        self._values: dict[tuple[int, str], set[object]] = {}
        self.edited: set[int] = set()  # of which that was asked

    def asked(self, edits: Iterable[Edit]) -> None:
        """In the turn that comes: of several edits of a job, any may be the last."""
        self._values = {}
        for request in edits:
            for job_id in request.ids:
                for name in FIELDS:
                    self._values.setdefault((job_id, name), set()).add(getattr(request, name))

    def answered(self, request: Edit, reply: EditReply, committed: Mapping[int, Job]) -> None:
        """At once: what was not with the worker."""
        for job_id in reply.changed:
            self._counts["edits"] += 1
            self._is_changed(request, committed[job_id])
        for job_id in reply.late:
            if job_id in committed:  # else it is forgotten by now
                self._is_late(committed[job_id])

    def decided(self, request: Edit, job: Job, made: bool) -> None:
        """Later: what the worker had."""
        self._counts["edits recalled" if made else "edits too late"] += 1
        if made:
            self._is_changed(request, job)
        else:
            self._is_late(job)

    def begins(self, job: Job) -> None:
        self._hold(not job.held, f"job {job.id} began and is held")

    def _is_changed(self, request: Edit, job: Job) -> None:
        for name in FIELDS:
            wanted, others = getattr(request, name), self._values.get((job.id, name), ())
            made = wanted is None or (getattr(job, name) or 0) in (wanted, *others)
            self._hold(made, f"job {job.id} is said to be edited, and is not: {name}")

    def _is_late(self, job: Job) -> None:
        late = job.state.final or job.cancelling or self.has_begun(job.id)
        self._hold(late, f"job {job.id} was not edited, though it has not begun")
