"""Jobs as a table."""

from __future__ import annotations

from zjobs.client.cli.show.job_table import Table
from zjobs.client.wording import text
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

JOB = JobStatus(17, "reverse", JobState.COMPLETED, 1, 0, 1_700_000_000_000, 1, 0, elapsed_ms=2000)


def test_fits_the_terminal() -> None:
    """With a head, no line wider than the terminal, whatever is in the jobs, wide characters included."""
    jobs = [JOB, JOB._replace(id=18, type="x" * 200, message="漢字" * 100), JOB._replace(type="漢字" * 20)]
    for columns in (20, 40, 80, 200):
        lines = Table(columns).lines(jobs)
        assert lines[0].startswith("ID") and len(lines) == 4
        assert max(map(text.width, lines)) <= columns
    assert "MESSAGE" in Table(200).lines(jobs)[0]


def test_columns_stay_aligned_over_pages() -> None:
    """A later page has a column no narrower than the pages before, and no second head."""
    table = Table(100)
    first, second = table.lines([JOB._replace(id=1_000_000)]), table.lines([JOB])
    assert len(second) == 1 and first[1].index("completed") == second[0].index("completed")


def test_what_is_not_verified_stays_marked() -> None:
    """However long the name of the submitter is; an owner is proven."""
    jobs = [
        JOB._replace(submitter="alice@" + "lab" * 30),
        JOB._replace(submitter="bob@lab3"),
        JOB._replace(owner="eve"),
    ]
    owners = [line.split()[3] for line in Table(200).lines(jobs)]
    assert owners == ["OWNER", "alice@lablablablablabla?", "bob@lab3?", "eve"]


def test_columns_that_no_job_needs_are_not_there() -> None:
    """Names and owners have one if jobs have them."""
    assert Table(200).lines([JOB])[0].split() == ["ID", "STATE", "TYPE", "SUBMITTED", "TOOK", "MESSAGE"]
    named = Table(200).lines([JOB, JOB._replace(name="scan 3")])
    assert named[0].split()[:5] == ["ID", "STATE", "TYPE", "NAME", "SUBMITTED"] and named[1].split()[3] == "-"


def test_cancelling_is_a_state_to_people() -> None:
    """A job that was told to end is shown so, until it has ended."""
    running = JOB._replace(state=JobState.IN_PROGRESS, cancelling=True)
    assert Table(None).lines([running])[0].split()[1] == "cancelling"
    assert Table(None).lines([running._replace(state=JobState.CANCELLED)])[0].split()[1] == "cancelled"
