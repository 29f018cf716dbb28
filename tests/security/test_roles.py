"""What each role may do, and with whose jobs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from zjobs.client import errors
from zjobs.messages.requests import ops
from zjobs.messages.states import Role

if TYPE_CHECKING:
    from tests.conftest import Service

YES, NO = True, False
ROLES = {"eve": "viewer", "alice": "submitter", "bob": "submitter", "mia": "member", "boss": "operator"}
Ask = Callable[..., dict[str, Any]]


class Row(NamedTuple):
    """Who may do it: a viewer; a submitter or member with its own job; each with another's; an operator."""

    viewer: bool
    own: bool
    others: bool
    member: bool
    operator: bool
    fields: Callable[[int], dict[str, Any]] = lambda job_id: {}


def by_id(job_id: int) -> dict[str, Any]:
    return {"id": job_id}


def by_ids(job_id: int) -> dict[str, Any]:
    return {"ids": [job_id]}


# Written out once more, and not read from the code: that is what is tested.
TABLE = {
    "hello": Row(YES, YES, YES, YES, YES),
    "submit": Row(NO, YES, YES, YES, YES, lambda job_id: {"request_key": f"k{job_id}", "jobs": [{"type": "reverse"}]}),
    "status": Row(YES, YES, NO, YES, YES, by_ids),
    "queue": Row(YES, YES, YES, YES, YES),
    "result": Row(NO, YES, NO, NO, YES, by_id),
    "data": Row(NO, YES, NO, NO, YES, by_id),
    "wait": Row(YES, YES, NO, YES, YES, by_ids),
    "show": Row(YES, YES, NO, YES, YES, by_id),
    "cancel": Row(NO, YES, NO, NO, YES, by_ids),
    "edit": Row(NO, YES, NO, NO, YES, lambda job_id: {"ids": [job_id], "priority": 1}),
    "retry": Row(NO, YES, NO, NO, YES, lambda job_id: {"request_key": f"r{job_id}", "ids": [job_id]}),
    "pause": Row(NO, NO, NO, YES, YES, lambda job_id: {"for_ms": 1}),
    "resume": Row(NO, NO, NO, YES, YES),
    "log": Row(NO, YES, NO, NO, YES, by_id),
    "list": Row(YES, YES, YES, YES, YES),
    "types": Row(YES, YES, YES, YES, YES),
    "schema": Row(YES, YES, YES, YES, YES, lambda job_id: {"type": "reverse"}),
    "info": Row(YES, YES, YES, YES, YES),
    "audit": Row(NO, YES, YES, YES, YES),
    "backup": Row(NO, NO, NO, NO, YES, lambda job_id: {"name": "x", "pause_ms": 0}),
    "forget": Row(NO, YES, NO, NO, YES, by_ids),
}


@pytest.fixture
def people(keyed: Any) -> Any:
    """A service with people of each role, two of them submitters; `jobs` has an ended job of each who may submit."""
    for name, role in ROLES.items():
        keyed.add(name, role)
    keyed.add("gate", "operator", "--acts-for")
    keyed.start()
    keyed.jobs = {name: keyed.client(name).submit("reverse", name) for name in ROLES if name != "eve"}
    for job in keyed.jobs.values():
        job.wait(20)
    return keyed


def permitted(reply: dict[str, Any]) -> bool:
    return reply["op"] != "error" or reply["code"] != "not_permitted"


def test_the_table_is_complete() -> None:
    """An operation that is added later has a row."""
    assert set(TABLE) == set(ops.REQUESTS)


@pytest.mark.parametrize(
    ("role", "name"),
    [("viewer", "eve"), ("own", "alice"), ("own", "mia"), ("others", "alice"), ("member", "mia"), ("operator", "boss")],
)
def test_every_request_for_every_role(role: str, name: str, people: Any, ask: Ask) -> None:
    """As the table says; a refusal names a role that would do, and the one it names does."""
    job_id = people.jobs[name if role == "own" else "bob"].id
    client, gate = people.client(name), people.client("gate")
    person = {"name": name, "role": ROLES[name]}
    for op, row in TABLE.items():
        expected = getattr(row, role) or (name == "mia" and row.member)
        acting = ask(gate, op, **row.fields(job_id), acting_for=person)
        assert permitted(acting) == expected, (op, acting)
        reply = ask(client, op, **row.fields(job_id))
        assert permitted(reply) == expected, (op, reply)
        if not permitted(reply):
            named = [each.value for each in Role if each.value in reply["message"].partition("the role ")[2]]
            does = {"operator": row.operator, "member": row.own or row.member, "submitter": row.own}
            assert named and all(does[each] for each in named), (op, reply)


def test_commands_are_for_operators(keyed: Any) -> None:
    """Unless --commands-for names a lesser role; whoever acts for somebody has that person's role."""
    for name, role in ROLES.items():
        keyed.add(name, role)
    keyed.add("gate", "operator", "--acts-for")
    keyed.start(worker=False)
    keyed.service.start_worker("--key", str(keyed.keys / "worker.key"), "--commands")
    keyed.until_worker("ready")
    job = keyed.client("boss").run(["true"])
    assert job.result(20) == 0 and keyed.client("eve").info().commands == "operator"
    gate = keyed.client("gate")
    for client in (keyed.client("mia"), keyed.client("alice"), gate.acting_for("mia", "member")):
        with pytest.raises(errors.NotPermitted, match="a command needs a key of the role operator"):
            client.run(["true"])
    assert gate.acting_for("ann", "operator").run(["true"]).result(20) == 0
    keyed.service.broker.signal(signal.SIGTERM)
    keyed.service.broker.ended()
    keyed.start("--commands-for", "member", worker=False)
    keyed.until_worker("ready")
    assert keyed.client("mia").run(["true"]).result(20) == 0
    refused = keyed.zclient("alice", "run", "true")
    assert refused.returncode == 5 and "needs a key of the role member or operator" in refused.stderr


def test_the_audit_trail_by_role(people: Any) -> None:
    """A submitter is told what it did itself, a member and an operator everything; whoever acted is named."""
    people.client("alice").forget([people.jobs["alice"].id])
    people.client("gate").acting_for("bob", "submitter").forget([people.jobs["bob"].id])
    people.client("boss").pause("lamp", duration=60)
    told = {name: [(each.who, each.via, each.op) for each in people.client(name).audit()] for name in ("bob", "mia")}
    forgot = ("bob", "gate", "forget")
    assert told["bob"] == [forgot] and told["mia"] == [("boss", "", "pause"), forgot, ("alice", "", "forget")]
    with pytest.raises(errors.NotPermitted):
        list(people.client("eve").audit())


def test_only_a_marked_key_acts_for_others(people: Any, ask: Ask) -> None:
    """In no role above its own; what it submits so is the person's, who may use it with a key of their own."""
    theirs = people.client("gate").acting_for("alice", "submitter").submit("reverse", "abc")
    assert theirs.result(20) == people.client("alice").result(theirs.id) == "cba"
    with pytest.raises(errors.NotPermitted, match="the key boss may not act for others"):
        people.client("boss").acting_for("alice", "viewer").info()
    people.manage("role", "boss", "submitter", "--acts-for")
    with pytest.raises(errors.NotPermitted, match="boss is a submitter and cannot act in the role member"):
        people.client("boss").acting_for("alice", "member").info()
    assert people.client("boss").acting_for("alice", "submitter").status([theirs.id]).missing == ()


def test_a_member_sees_others_jobs_as_a_viewer_does(people: Any, ask: Ask) -> None:
    """States, lists, events; neither results nor tracebacks, which it has of its own."""
    mia, bob = people.client("mia"), people.client("bob")
    theirs, own = people.jobs["bob"], people.jobs["mia"]
    assert {job.owner for job in mia.list()} == set(people.jobs)
    assert mia.status([theirs.id, own.id]).missing == ()
    told = ask(mia, "wait", ids=[theirs.id, own.id], results=True)
    assert [each["id"] for each in told["jobs"]] == [theirs.id, own.id]
    assert [each["id"] for each in told["results"]] == [own.id]
    failed = [client.submit("interrupts") for client in (bob, mia)]
    with mia.watch([job.id for job in failed]) as watching:
        watching.wait(20)
    assert [bool(mia.show(job.id).attempts[0].detail) for job in failed] == [False, True]


def test_the_owner_is_told(people: Any) -> None:
    """By status, show and list, for people and for programs."""
    job = people.jobs["alice"]
    assert job.status().owner == people.client("eve").show(job.id).job.owner == "alice"
    for words in (("status", str(job.id)), ("list",), ("show", str(job.id))):
        assert '"owner": "alice"' in people.zclient("eve", *words, "--json").stdout
    assert "alice" in people.zclient("eve", "list").stdout
    assert "owner:       alice" in people.zclient("eve", "show", str(job.id)).stdout


def test_a_submitter_sees_its_own_jobs(people: Any) -> None:
    """Lists and the queue leave others' jobs out; to name one is refused, mixed with its own too."""
    alice, theirs = people.client("alice"), people.jobs["bob"].id
    own = people.jobs["alice"].id
    assert [job.id for job in alice.list()] == [own]
    assert {job.owner for job in people.client("eve").list()} == set(people.jobs)
    people.client("boss").pause()
    for name in ("bob", "alice"):
        people.client(name).submit("reverse", "queued")
    assert {job.owner for job in alice.queue().jobs} == {"alice"}
    with pytest.raises(errors.NotPermitted, match=f"job {theirs} is not yours; .* operator"):
        alice.status([own, theirs])
    with pytest.raises(errors.NotPermitted):
        alice.cancel([own, theirs])
    assert {job.owner for job in people.client("eve").queue().jobs} == {"alice", "bob"}


def test_a_refusal_on_the_command_line(people: Any) -> None:
    """Exit code 5, and the sentence says which role would do; --json has the code."""
    ended = people.zclient("eve", "submit", "reverse", "x")
    assert (ended.returncode, ended.stdout) == (5, "")
    assert ended.stderr == "zclient: eve is a viewer; this needs a key of the role submitter, member or operator\n"
    assert '"code": "not_permitted"' in people.zclient("eve", "pause", "--json").stderr
    ended = people.zclient("alice", "cancel", str(people.jobs["bob"].id))
    assert ended.returncode == 5 and "only a key of the role operator" in ended.stderr


def test_a_viewer_sees_that_a_run_failed_and_no_traceback(people: Any) -> None:
    """That shows the task's code, and what is in the exceptions on the way."""
    job = people.client("boss").submit("interrupts")
    assert job.wait(20).state == "failed"
    (whole,), (seen,) = (people.client(name).show(job.id).attempts for name in ("boss", "eve"))
    assert "own_tasks.py" in whole.detail
    assert seen == whole._replace(detail="")


def test_info_while_somebody_elses_job_runs(people: Any) -> None:
    """A submitter is told how the service is, though it may not ask about the job."""
    job = people.client("bob").submit("once_gate", {"name": "g"})
    people.service.until(lambda: job.status().state == "in_progress", "the job runs")
    ended = people.zclient("alice", "info")
    assert ended.returncode == 0 and f"running job {job.id}" in ended.stdout, ended
    people.service.open_gate("g")
    assert job.wait(20).state == "completed"


def test_the_same_key_of_two_submitters(people: Any) -> None:
    """What one calls its submit is nothing to the other: neither a conflict, nor a way to learn of it."""
    first = people.client("alice").submit("reverse", "one", request_key="same")
    second = people.client("bob").submit("reverse", "two", request_key="same")
    assert first.id != second.id and second.result(20) == "owt"
    assert people.client("alice").submit("reverse", "one", request_key="same").id == first.id
    assert people.client("bob").show(second.id).request_key == "same"


def test_watching(people: Any) -> None:
    """A submitter watches its own jobs and no others; viewer and operator all of them."""
    watching = [people.client(name).watch() for name in ("eve", "mia", "boss")]
    with pytest.raises(errors.NotPermitted, match="viewer, member or operator"):
        people.client("alice", timeout=1).watch()
    with pytest.raises(errors.NotPermitted):
        people.client("alice").watch([people.jobs["bob"].id])
    job = people.client("alice").submit("reverse", "x")
    assert job.wait(20).state == "completed"
    for each in watching:
        while not (each.jobs.get(job.id) and each.jobs[job.id].state.final):
            assert each.next(20) is not None
        each.close()


def test_jobs_queued_with_one_key(keyed: Any) -> None:
    """One client's full queue is no other's; what has ended counts no more."""
    for name in ("alice", "bob"):
        keyed.add(name, "submitter")
    keyed.start("--max-per-owner", "2")
    keyed.client("boss").pause()
    alice, bob = keyed.client("alice"), keyed.client("bob")
    jobs = alice.submit_many("reverse", ["1", "2"])
    with pytest.raises(errors.QueueFull, match="2"):
        alice.submit("reverse", "3")
    assert bob.submit("reverse", "1").id
    jobs[0].cancel()
    assert alice.submit("reverse", "3").id
    with pytest.raises(errors.QueueFull):
        alice.retry([jobs[0].id])


def test_without_keys_everybody_is_an_operator(service: Service, ask: Ask) -> None:
    """As before there were any."""
    client = service.client()
    job = client.submit("reverse", "x")
    job.wait(20)
    assert job.status().owner == ""
    for op, row in TABLE.items():
        assert permitted(ask(client, op, **row.fields(job.id))), op
