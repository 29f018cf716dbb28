"""Ranges and filters select jobs; zclient asks before it changes many, or those of others."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from zjobs.client.__main__ import main
from zjobs.client.config import settings
from zjobs.messages.requests.changes import Cancel, Forget, Retry
from zjobs.messages.requests.queries import List
from zjobs.messages.states import JobState

QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED = JobState
Run = Callable[..., Any]


class Terminal(io.StringIO):
    """Standard input or error of somebody who sits there."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs zclient on a terminal; what the user answers is given first. Returns the exit code and what was shown."""

    def answer(said: str, *argv: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", Terminal(said + "\n"))
        monkeypatch.setattr(sys, "stderr", shown := Terminal())
        return main(list(argv)), shown.getvalue()

    return answer


def test_a_range_is_the_jobs_that_there_are(run: Run, broker: Any) -> None:
    """In the order written, those of a range by id; a job that is named twice counts once."""
    for job_id in (3, 5, 7, 12, 23, 31):
        broker.add(job_id)
    assert [line.split()[0] for line in run("status", "23", "4-12", "3-5").out.splitlines()] == [
        "23",
        "5",
        "7",
        "12",
        "3",
    ]
    assert run("cancel", "3-7").out == "3 cancelled\n5 cancelled\n7 cancelled\n"
    assert run("cancel", "-", stdin=b"11-30 31").out == "12 cancelled\n23 cancelled\n31 cancelled\n"
    assert run("forget", "32-40") == (3, "", "zclient: there is no job from 32 to 40\n")
    assert all(request.limit <= 1000 for request in broker.asked(List))


def test_filters(run: Run, broker: Any) -> None:
    """Each command selects the jobs that it can do something to, oldest first; ids restrict the filters."""
    broker.add(1, RUNNING)
    broker.add(2, type="measure")
    broker.add(3)
    broker.add(14, FAILED)
    broker.add(15, CANCELLED, type="measure")
    broker.add(16, COMPLETED, "x")
    assert run("retry", "--all").code == run("retry", "--state", "completed").code == 0
    assert run("retry", "14-20", "--type", "measure").code == 0
    assert [request.ids for request in broker.asked(Retry)] == [(14, 15), (16,), (15,)]
    broker.jobs = {job_id: job for job_id, job in broker.jobs.items() if job_id <= 16}
    broker.add(4)
    assert run("cancel", "3", "5", "--type", "reverse", "--state", "queued").out == "3 cancelled\n"
    assert run("cancel", "4-5", "--state", "queued").out == "4 cancelled\n"
    del broker.jobs[4]
    broker.add(3)
    assert run("cancel", "--type", "measure").out == "2 cancelled\n"
    assert run("cancel", "--state", "in_progress").out == "1 cancelling\n"
    assert run("cancel", "--all").out == "1 cancelling\n3 cancelled\n"
    assert run("wait", "--type", "measure") == (0, "", "zclient: there is no such job\n")
    assert run("wait", "--all", "--max-wait", "0.05").code == 4
    assert run("forget", "3-15", "--state", "cancelled").out == "3 forgotten\n15 forgotten\n"
    assert run("forget", "--all").out == "2 forgotten\n14 forgotten\n16 forgotten\n"
    assert run("forget", "--all") == (0, "", "zclient: there is no such job\n")


def test_filters_by_texts(run: Run, broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, and by whose they are: without keys by the submitter, whose host need not be given."""
    monkeypatch.setattr(settings, "user_at_host", lambda: "alice@lab3")
    for job_id, (name, who) in enumerate([("scan 1", "alice@lab3"), ("scan 2", "bob@lab3"), ("dark", "bob@desk")], 1):
        broker.add(job_id, name=name, submitter=who, comment=f"for {name}")
    wanted = {"--mine": ["1"], "--owner bob": ["3", "2"], "--owner bob@desk": ["3"], "--name scan*": ["2", "1"]}
    wanted["--comment *dark*"] = ["3"]
    for words, found in wanted.items():
        assert [line.split()[0] for line in run("list", *words.split()).out.splitlines()] == found
    assert run("cancel", "--mine", "--name", "scan*", "--comment", "*dark*").err.endswith("there is no such job\n")
    assert run("cancel", "--mine", "--name", "scan*").out == "1 cancelled\n"
    assert run("list", "--since", "1d", "--limit", "1").err.endswith(
        "zclient list --since 86400 --limit 1 --before 3\n"
    )
    assert broker.asked(List)[-1].since_ms == 86_400_000
    sentence = "zclient: this would cancel 2 jobs, 2 of others (bob 2); say --yes if you mean it\n"
    assert run("cancel", "--owner", "bob") == run("cancel", "2", "3") == (2, "", sentence)
    assert run("cancel", "--owner", "bob", "--yes").out == "2 cancelled\n3 cancelled\n"


def test_many_jobs_are_done_in_parts(run: Run, broker: Any) -> None:
    """What was done is shown after each part."""
    for job_id in range(1, 2_502):
        broker.add(job_id)
    assert run("cancel", "--all", "--yes").out.count("cancelled") == 2_501
    assert [len(request.ids) for request in broker.asked(Cancel)] == [1_000, 1_000, 501]
    assert run("forget", "1-2501", "--yes").out.count("forgotten") == 2_501
    assert [len(request.ids) for request in broker.asked(Forget)] == [1_000, 1_000, 501]


def test_more_than_ten(run: Run, broker: Any, answer: Callable[..., tuple[int, str]]) -> None:
    """Selected jobs are counted, those that were written one by one are not; --yes spares the question."""
    for job_id in range(1, 12):
        broker.add(job_id)
    assert run("cancel", "1-11") == (2, "", "zclient: this would cancel 11 jobs; say --yes if you mean it\n")
    assert run("retry", "--all", "1").code == 2
    for no in ("n", "", "yess"):
        assert answer(no, "cancel", "--all") == (0, "cancel 11 jobs? [y/N] zclient: nothing was changed\n")
    assert broker.asked(Cancel) == []
    assert answer("y", "cancel", "--all", "--json")[0] == 2
    assert answer("Yes", "cancel", "--all") == (0, "cancel 11 jobs? [y/N] ")
    assert len(broker.asked(Cancel)[0].ids) == 11
    assert run("forget", "--all").code == 2
    assert run("forget", "1-10").code == run("forget", "11", *(["99"] * 11), "--yes").code - 3 == 0
    assert len(broker.asked(Forget)) == 2
    for job_id in range(1, 12):
        broker.add(job_id)
    assert run("cancel", *map(str, range(1, 12))).code == 0


def test_jobs_of_others(
    run: Run, broker: Any, answer: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key, zclient asks for the first of them, however it was named, and tells whose they are."""
    loaded = settings.Key("", "", "", "/alice.key", "alice")
    monkeypatch.setattr(settings, "load_key", lambda file: loaded)
    monkeypatch.setattr("zjobs.client.net.pool.new_socket", without_key(monkeypatch))
    monkeypatch.setattr("zjobs.client.net.handshake.Handshake.read", lambda handshake: False)
    for job_id, owner in enumerate(("alice", "bob", "bob", "carol"), 1):
        broker.add(job_id, FAILED, owner=owner)
    assert run("--key", "k", "forget", "1", "--json").code == 0
    sentence = "zclient: this would forget job 2, 1 of others (bob 1); say --yes if you mean it\n"
    assert run("--key", "k", "forget", "2") == (2, "", sentence)
    shown = "retry 3 jobs, 3 of others (bob 2, carol 1)? [y/N] zclient: nothing was changed\n"
    assert answer("n", "--key", "k", "retry", "--all") == (0, shown)
    assert run("--key", "k", "forget", "2-4", "--yes").out == "2 forgotten\n3 forgotten\n4 forgotten\n"


def without_key(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The scripted broker has no keys: a key tells zclient its name here, and no more."""
    from zjobs.client.net import pool

    usual = pool.new_socket
    return lambda context, kind, address, key: usual(context, kind, address, None)
