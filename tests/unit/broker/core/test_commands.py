"""Commands: who may submit them, and what the broker says without them."""

from __future__ import annotations

import pytest

from tests.unit.broker.conftest import Bench
from zjobs.broker.core.admission import Rules
from zjobs.broker.core.people.who import Who
from zjobs.messages.dispatch import Ended
from zjobs.messages.records import COMMAND, TaskType
from zjobs.messages.requests.changes import NewJob, Retry, RetryReply, Submit, SubmitReply
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import FailReason, JobState, Outcome, Role

PEOPLE = {role: Who(role.value, role) for role in Role}


def asked(bench: Bench, who: Who, *types: str) -> object:
    bench.ask(Submit(bench.key(None), tuple(map(NewJob, types))), who=who)
    return bench.reply()


@pytest.mark.parametrize("least", [Role.SUBMITTER, Role.MEMBER, Role.OPERATOR])
@pytest.mark.parametrize("known", [True, False])
def test_who_may_submit_commands(least: Role, known: bool) -> None:
    """Whoever has the least role or a higher one, whether or not a worker has announced its types."""
    bench = Bench(Rules(commands_for=least))
    if known:
        bench.worker()
        bench.heartbeat(types=(TaskType(COMMAND), TaskType("reverse")))
    for role in Role.SUBMITTER.and_above:
        answer = asked(bench, PEOPLE[role], "reverse", COMMAND)
        if role in least.and_above:
            assert isinstance(answer, SubmitReply)
        else:
            needed = " or ".join(each.value for each in least.and_above)
            said = f"{role.value} is a {role.value}; a command needs a key of the role "
            assert isinstance(answer, Error) and answer.code == "not_permitted"
            assert answer.message.startswith(said) and answer.message.endswith(needed.split(" or ")[-1])
        assert isinstance(asked(bench, PEOPLE[role], "reverse"), SubmitReply)
    bench.journal.release()


def test_who_may_copy_commands() -> None:
    """Not even the owner, whose role has changed since."""
    bench = Bench(Rules())
    reply = asked(bench, Who("ann", Role.OPERATOR), COMMAND)
    assert isinstance(reply, SubmitReply)
    bench.cancel(reply.first_id)
    for role, kind in ((Role.MEMBER, Error), (Role.OPERATOR, RetryReply)):
        bench.ask(Retry(bench.key(None), (reply.first_id,)), who=Who("ann", role))
        assert type(bench.reply()) is kind
    bench.journal.release()


def test_a_worker_without_commands(bench: Bench) -> None:
    """Is named as such, in refusals and in its status."""
    bench.submit(COMMAND)
    bench.worker()
    assert "started without --commands?" in (bench.core.worker.warning or "")
    refused = bench.submit(COMMAND)
    assert isinstance(refused, Error) and refused.code == "unknown_type"
    assert refused.message == "the worker runs no commands; zworker --commands does"


def test_the_exit_code_is_that_of_the_last_run(ready: Bench) -> None:
    """It is kept with the job, and dropped when a later run ends in another way."""
    ready.heartbeat(types=(TaskType("flaky", max_attempts=2, retry_delay_ms=0),))
    ready.submit("flaky")
    failed = Outcome.FAILED, 10, None, FailReason.COMMAND_FAILED, "exited with code 3", ""
    ready.report(1, Ended(1, *failed, exit_code=3))
    assert ready.job(1).state is JobState.QUEUED and ready.job(1).exit_code == 3
    ((delivery, _),) = ready.handed
    ready.report(2, Ended(delivery, Outcome.COMPLETED, 10, b"\0"))
    assert ready.job(1).state is JobState.COMPLETED and ready.job(1).exit_code is None
