"""Jobs and entries of the audit trail in pages, newest first: each page is asked for when it is needed."""

from __future__ import annotations

from zjobs.client.config.settings import Settings
from zjobs.client.protocol.actions import Ask, Flow
from zjobs.client.protocol.job import Duration, milliseconds
from zjobs.messages.records import AuditEntry, JobStatus
from zjobs.messages.requests.queries import Audit, AuditReply, List, ListReply
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId, Ms

# The protocol's bounds for one request.
JOBS_A_PAGE = 1_000
ENTRIES_A_PAGE = 100


def wanted(
    to: Settings,
    state: JobState | str | None,
    type: str | None,
    before: int | None,
    name: str | None,
    comment: str | None,
    owner: str | None,
    submitter: str | None,
    since: Duration | None,
    mine: bool,
    preview: bool,
) -> List:
    """Return the request of `Client.list`. Raises ValueError for an unknown state, BadRequest for an invalid
    duration."""
    if mine:
        owner, submitter = to.owner or owner, to.submitter or submitter
    return List(
        None if state is None else JobState(state),
        type,
        before=None if before is None else JobId(before),
        name=name,
        comment=comment,
        owner=owner,
        submitter=submitter,
        since_ms=_ago(since),
        preview=preview,
    )


def _ago(since: Duration | None) -> Ms | None:
    return None if since is None else milliseconds("since", since, low_ms=0)


class Pages:
    """Jobs in pages, newest first; at most `limit`."""

    def __init__(self, to: Settings, wanted: List, limit: int | None) -> None:
        self._to = to
        self._wanted = wanted
        self._left = float("inf") if limit is None else limit
        self._journal: str | None = None
        self.more = self._left > 0

    def next(self) -> Flow[tuple[JobStatus, ...]]:
        """Return the next page, which may be empty; `more` says whether another follows."""
        page: ListReply = yield Ask(self._wanted._replace(limit=int(min(self._left, JOBS_A_PAGE))), ListReply)
        self._to.check_journal(page.journal, self._journal)
        self._journal = page.journal
        self._left -= len(page.jobs)
        self._wanted = self._wanted._replace(before=page.before)
        self.more = self._left > 0 and page.before is not None
        return page.jobs


class AuditPages:
    """Entries of the audit trail in pages, newest first."""

    def __init__(self, to: Settings, limit: int | None, since: Duration | None) -> None:
        self._to = to
        self._wanted = Audit(since_ms=_ago(since))
        self._left = float("inf") if limit is None else limit
        self._journal: str | None = None
        self.more = self._left > 0

    def next(self) -> Flow[tuple[AuditEntry, ...]]:
        """Return the next page, which may be empty; `more` says whether another follows."""
        page: AuditReply = yield Ask(self._wanted._replace(limit=int(min(self._left, ENTRIES_A_PAGE))), AuditReply)
        self._to.check_journal(page.journal, self._journal)
        self._journal = page.journal
        self._left -= len(page.entries)
        self._wanted = self._wanted._replace(before=page.before)
        self.more = self._left > 0 and page.before is not None
        return page.entries


def first_jobs(to: Settings, limit: int) -> Flow[list[JobStatus]]:
    """Return the newest `limit` jobs."""
    pages = Pages(to, List(), limit)
    jobs: list[JobStatus] = []
    while pages.more:
        jobs += yield from pages.next()
    return jobs
