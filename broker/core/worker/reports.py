"""Checks of the worker's reports, which may come in pieces, be too large, or be invalid."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.messages.dispatch import Ended, Invalid, Output, Report
from zjobs.messages.flow import Arrivals
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, JobId, Ms, Us


class Reported(NamedTuple):
    """A report on a job: its end or its output, or None if the job is returned and certainly did not begin."""

    job_id: JobId
    report: Ended | Output | None
    began_at: Ms | None


def whole_report(report: Report | Invalid, arrivals: Arrivals, result_bytes: int) -> Report | Invalid | None:
    """Return the report with its whole result, None if the beginning is missing. A result too large is not joined."""
    if not isinstance(report, Ended) or not report.result_from or _size(report) > result_bytes:
        return report
    joined = arrivals.joined(report.result_from, report.result)
    return None if joined is None else report._replace(result=joined[0], result_from=0)


def checked_report(
    report: Report | Invalid, next_job: tuple[DeliveryNumber, JobId], result_bytes: int
) -> tuple[Report | Invalid, str]:
    """Return the report and "". If it is an end that cannot be stored, return a failure instead, and the reason.

    `next_job`: delivery number and id of the job that ends next, 0 if none is in flight. Even an invalid report of an
    end shows that a job has ended, and the order says which one.
    """
    if isinstance(report, Ended):
        size = _size(report)
        if size <= result_bytes or report.outcome is not Outcome.COMPLETED:
            return report, ""
        failed = report
        why = f"the packed result has {size:,} bytes, more than the limit of {result_bytes:,}"
    elif isinstance(report, Invalid) and report.ended and next_job[0]:
        delivery, job_id = next_job
        failed = Ended(report.delivery or delivery, Outcome.FAILED, Us(0), id=report.id or job_id)
        why = f"the worker's report of its end is invalid: {report.why}"
    else:
        return report, ""
    failed = failed._replace(result=None, result_from=0, reason=FailReason.BAD_RESULT, message=why)
    return failed._replace(outcome=Outcome.FAILED), why


def described_report(number: int, report: Report | Invalid) -> str:
    """Describe a report that this journal does not expect."""
    if isinstance(report, Invalid):
        return f"report number {number}, which is invalid ({report.why})"
    of_job = getattr(report, "id", 0)
    return f"a report of number {report.delivery}, job {of_job}, which this journal does not expect"


def _size(ended: Ended) -> int:
    """Return the size of the whole result."""
    return ended.result_from + len(ended.result or b"")
