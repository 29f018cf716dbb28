"""`result` and `wait` that wait for the end of a job: none is missed, and whoever waits is always answered."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq

from zjobs.client import Client

if TYPE_CHECKING:
    from tests.conftest import Service

LONG_MS = 60_000


class Asker:
    """A connection with several requests on their way, each known by a number."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._sent = 0
        self._replies: dict[int, dict[str, Any]] = {}

    def send(self, op: str, **fields: Any) -> int:
        self._sent += 1
        body = msgpack.packb({"v": 1, "op": op, **fields})
        self._socket.send_multipart([b"%d" % self._sent, b"", body])
        return self._sent

    def reply(self, number: int) -> dict[str, Any]:
        while number not in self._replies:
            frames = self._socket.recv_multipart()
            self._replies[int(frames[0])] = msgpack.unpackb(frames[-1])
        return self._replies.pop(number)

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        return self.reply(self.send(op, **fields))

    def answered(self) -> set[int]:
        """Those requests whose replies came by the time that of a new one did."""
        self.ask("types")
        return set(self._replies)

    def submit(self, key: str, *texts: str, type: str = "echo") -> list[int]:
        jobs = [{"type": type, "data": msgpack.packb(text)} for text in texts]
        reply = self.ask("submit", request_key=key, jobs=jobs)
        return list(range(reply["first_id"], reply["first_id"] + reply["count"]))


@pytest.fixture
def asker(service: Service) -> Asker:
    service.until_worker("ready")
    return Asker(service.dealer())


def test_a_result_comes_with_the_end_of_its_job(service: Service, asker: Asker) -> None:
    """The reply has the first piece; a second request finds the same at once."""
    (job,) = asker.submit("k", "g", type="once_gate")
    waits = asker.send("result", id=job, wait_ms=LONG_MS)
    assert waits not in asker.answered()
    service.open_gate("g")
    reply = asker.reply(waits)
    assert (reply["op"], reply["state"], reply["job"]) == ("result", "completed", None)
    assert reply["size_bytes"] == len(reply["body"]) > 0
    assert asker.ask("result", id=job, wait_ms=LONG_MS) == reply == asker.ask("result", id=job)


def test_no_end_is_missed(asker: Asker) -> None:
    """Jobs that end at once, each waited for by the next request on the same connection: all are answered."""
    texts = [str(number) for number in range(240)]
    for number, text in enumerate(texts):
        jobs = [{"type": "echo", "data": msgpack.packb(text)}]
        asker.send("submit", request_key=f"k{number}", jobs=jobs)
    waits = [asker.send("result", id=number, wait_ms=LONG_MS) for number in range(1, 241)]
    bodies = {reply["id"]: reply["body"] for reply in map(asker.reply, waits) if reply["state"] == "completed"}
    for job_id in {*range(1, 241)} - bodies.keys():  # more than a connection may have waiting: answered early
        bodies[job_id] = asker.ask("result", id=job_id, wait_ms=LONG_MS)["body"]
    assert sorted(msgpack.unpackb(body) for body in bodies.values()) == sorted(texts)


def test_when_the_time_runs_out_the_reply_tells_the_present_state(service: Service, asker: Asker) -> None:
    """Of a `result` with the status, of a `wait` with no job."""
    running, queued = asker.submit("k", "g", "h", type="once_gate")
    service.until_state(running, "in_progress")
    first = asker.ask("result", id=running, wait_ms=1)
    assert (first["state"], first["size_bytes"], first["body"]) == ("in_progress", 0, b"")
    assert first["job"]["id"] == running and first["job"]["state"] == "in_progress"
    assert asker.ask("result", id=queued, wait_ms=1)["job"]["ahead"] == 1
    reply = asker.ask("wait", ids=[running, queued], wait_ms=1)
    assert (reply["jobs"], reply["missing"]) == ([], [])
    assert asker.ask("result", id=queued)["code"] == "not_finished"
    for name in "gh":
        service.open_gate(name)


def test_the_first_of_several_answers_a_wait(service: Service, asker: Asker) -> None:
    """With results where they were asked for; later ends are told to the next request."""
    first, second = asker.submit("k", "g", "h", type="once_gate")
    waits = asker.send("wait", ids=[second, first], wait_ms=LONG_MS, results=True)
    service.open_gate("g")
    reply = asker.reply(waits)
    assert [job["id"] for job in reply["jobs"]] == [first] == [result["id"] for result in reply["results"]]
    service.open_gate("h")
    reply = asker.ask("wait", ids=[second], wait_ms=LONG_MS)
    assert [job["state"] for job in reply["jobs"]] == ["completed"] and reply["results"] == []
    both = asker.ask("wait", ids=[second, first, second], wait_ms=LONG_MS)
    assert [job["id"] for job in both["jobs"]] == [second, first]


def test_a_cancelled_or_forgotten_job_is_an_end(service: Service, asker: Asker) -> None:
    """And an id that no job has is no reason to wait."""
    blocker, job = asker.submit("k", "g", "h", type="once_gate")
    waits = [asker.send("result", id=job, wait_ms=LONG_MS), asker.send("wait", ids=[job], wait_ms=LONG_MS)]
    asker.ask("cancel", ids=[job])
    result, wait = map(asker.reply, waits)
    assert result["state"] == result["job"]["state"] == "cancelled" and result["body"] == b""
    assert wait["jobs"][0]["state"] == "cancelled"
    asker.ask("forget", ids=[job])
    assert asker.ask("result", id=job, wait_ms=LONG_MS)["code"] == "expired"
    missing = [{"id": job, "code": "expired"}, {"id": 10**9, "code": "not_found"}]
    assert asker.ask("wait", ids=[blocker, job, 10**9], wait_ms=LONG_MS)["missing"] == missing
    service.open_gate("g")


def test_beyond_the_bounds_the_oldest_is_answered_early(new_service: Callable[..., Service]) -> None:
    """That of the connection, then that of all. `hello` tells both."""
    service = new_service()
    service.start_broker("--max-waiting", "3", "--max-waiting-jobs", "5")
    mine, theirs = Asker(service.dealer()), Asker(service.dealer())
    limits = mine.ask("hello")["limits"]
    assert (limits["waiting_requests"], limits["waiting_jobs"]) == (3, 5)
    ids = mine.submit("k", *"abcdef")
    of_others = theirs.send("wait", ids=ids[:2], wait_ms=LONG_MS)
    assert theirs.answered() == set()
    waits = [mine.send("result", id=ids[0], wait_ms=LONG_MS) for _ in range(4)]
    assert mine.reply(waits[0])["state"] == "queued"
    assert mine.answered() == theirs.answered() == set()
    more = theirs.send("wait", ids=ids[2:4], wait_ms=LONG_MS)
    assert theirs.reply(of_others)["jobs"] == []
    assert more not in theirs.answered() and mine.answered() == set()


def test_who_is_gone_leaves_nothing_behind(new_service: Callable[..., Service]) -> None:
    """The end of the job is answered to nobody; others hear of it, and the broker goes on."""
    service = new_service()
    service.start_broker()
    asker = Asker(service.dealer())
    (job,) = asker.submit("k", "x")
    gone = service.dealer()
    for _ in range(50):
        gone.send_multipart([b"", msgpack.packb({"v": 1, "op": "result", "id": job, "wait_ms": LONG_MS})])
    gone.send_multipart([b"", msgpack.packb({"v": 1, "op": "types"})])
    gone.recv_multipart()
    gone.close()
    waits = asker.send("result", id=job, wait_ms=LONG_MS)
    service.start_worker()
    assert asker.reply(waits)["state"] == "completed"


def test_a_commit_that_failed_may_have_ended_the_job(new_service: Callable[..., Service]) -> None:
    """Its end is on disk although the commit said that it failed: whoever waits is answered at once all the same."""
    service = new_service()
    service.start_broker(fatal=("unknown", "results", 1))
    service.start_worker()
    service.until_worker("ready")
    asker = Asker(service.dealer())
    (job_id,) = asker.submit("k", "x")
    waits = asker.send("result", id=job_id, wait_ms=LONG_MS)
    state = asker.reply(waits)["state"]
    assert state in ("completed", "in_progress", "queued")
    assert asker.ask("result", id=job_id, wait_ms=LONG_MS)["state"] == "completed"


def test_a_stopping_broker_answers_those_who_wait(service: Service, asker: Asker) -> None:
    """With the state at present; so they know at once that they have to ask again."""
    (job,) = asker.submit("k", "g", type="once_gate")
    service.until_state(job, "in_progress")
    waits = asker.send("result", id=job, wait_ms=LONG_MS)
    assert asker.answered() == set()
    service.broker.signal(signal.SIGTERM)
    assert asker.reply(waits)["state"] == "in_progress"
    assert service.broker.ended() == 0
    service.open_gate("g")


def test_after_a_restart_the_client_asks_again_at_once(service: Service) -> None:
    """A broker that is killed has forgotten who waited; the client of the library is told the result all the same."""
    service.until_worker("ready")
    client: Client = service.client()
    job = client.submit("once_gate", "g")
    service.until_state(job.id, "in_progress")
    service.broker.kill()
    service.start_broker()
    service.open_gate("g")
    assert job.result(timeout=30) is not None
