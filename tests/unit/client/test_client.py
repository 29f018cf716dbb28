"""The client library, against a scripted broker."""

from __future__ import annotations

import os
import pwd
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from zjobs.client import NO_DATA, Client, errors
from zjobs.client.config.settings import user_at_host
from zjobs.client.job import new_request_key
from zjobs.client.protocol import actions
from zjobs.client.protocol.job import job_like
from zjobs.messages import codec, values
from zjobs.messages.records import JobStatus, Limits, Missing
from zjobs.messages.requests.changes import Submit
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import Hello, HelloReply, Result, Schema
from zjobs.messages.states import ErrorCode, JobState

COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED
RUNNING = JobState.IN_PROGRESS


def dropped(request: Any) -> None:
    """A reply that never comes."""


# --- submit ----------------------------------------------------------------------------------------------------


def test_no_data_is_not_none_and_not_empty(broker: Any, client: Client) -> None:
    """The broker is told no data, None and an empty text apart."""
    for data in (NO_DATA, None, ""):
        client.submit("reverse", data)
    client.submit("reverse")
    packed = [request.jobs[0].data for request in broker.asked(Submit)]
    assert packed == [None, values.pack_value(None), values.pack_value(""), None]


def test_a_submit_has_a_key_of_its_own(broker: Any, client: Client) -> None:
    """Two submits make two jobs; one key makes one job; a key begins with the time."""
    assert client.submit("reverse", "x").id != client.submit("reverse", "x").id
    assert client.submit("reverse", "x", request_key="k").id == client.submit("reverse", "x", request_key="k").id
    first, second = (request.request_key for request in broker.asked(Submit)[:2])
    assert 0 <= int(second[:9], 16) - int(first[:9], 16) < 1 << 16 and len(first) == 32


def test_a_job_for_people(broker: Any, client: Client) -> None:
    """Its name, a comment, and who submits it, as far as the environment says."""
    client.submit("reverse", "x", name="scan 3", comment="again")
    client.submit_many("reverse", ["x", "y"], name="scans")
    first, many = broker.asked(Submit)
    assert (first.jobs[0].name, first.jobs[0].comment, first.submitter) == ("scan 3", "again", user_at_host())
    assert [job.name for job in many.jobs] == ["scans", "scans"]
    for wrong in ({"name": "x" * 201}, {"comment": "x" * 2_001}, {"name": 3}):
        with pytest.raises(errors.BadRequest, match="of a job must be text of at most"):
            client.submit("reverse", "x", **wrong)


def test_data_read_back(broker: Any, client: Client) -> None:
    """In pieces, as they are; a job without data has none, which is not the same as None."""
    large = "x" * (300 << 10)
    for job_id, value in ((1, large), (2, None)):
        broker.add(job_id)
        broker.data[job_id] = values.pack_value(value)
    broker.add(3)
    assert client.data(1) == client.job(1).data() == large and client.data(2) is None and client.data(3) is NO_DATA
    with pytest.raises(errors.NotFound):
        client.data(9)
    with pytest.raises(errors.BrokerChanged):
        client.job(1, "another journal").data()


def test_who_submits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says it first, bounded and in UTF-8 whatever it has; else the system does."""
    user_at_host.cache_clear()
    monkeypatch.setenv("LOGNAME", "ali\udcffce" * 100)
    assert user_at_host().startswith("ali?ceali?ce") and len(user_at_host()) == 200
    user_at_host.cache_clear()
    monkeypatch.delenv("LOGNAME")
    monkeypatch.delenv("USER", raising=False)
    assert user_at_host() == f"{pwd.getpwuid(os.getuid()).pw_name}@{os.uname().nodename}"
    user_at_host.cache_clear()


def test_a_small_submit_is_one_request(broker: Any, client: Client) -> None:
    """Nothing is asked before a job of usual size is submitted, but what its type takes, once: it would cost a round
    trip each time."""
    for _ in range(2):
        client.submit("reverse", "example")
    assert [type(request) for request in broker.requests] == [Schema, Submit, Submit]


def test_a_lost_reply_is_asked_for_again(broker: Any, client: Client) -> None:
    """The same bytes are sent again on a new socket, so the same key makes no second job."""
    broker.script = [dropped]
    job = client.submit("reverse", "example")
    _, first, second = broker.frames
    assert first == second and job.id == 1


def test_a_large_request_has_time_to_arrive(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not begun anew on another socket after the time in which a small request is."""
    monkeypatch.setattr(actions, "RETRY_S", 0.1)
    heard: list[type] = []

    def slow(request: Any) -> Any:
        small.start()
        while len(heard) < 2:  # what is asked later is sent once more already
            heard.append(type(codec.decode(broker._router.recv_multipart()[-1], codec.REQUESTS)))
        return broker.answer(request)

    broker.limits = Limits()
    broker.script = [broker.answer, slow]  # limits are asked for first
    with Client(broker.address) as other:
        small = threading.Thread(target=other.hello)
        client.submit("reverse", bytes((1 << 20) - 100))
        small.join()
    assert heard == [Hello, Hello] and len(broker.asked(Submit)) == 1


def test_a_request_is_sent_again_when_its_connection_broke(broker: Any) -> None:
    """At once: the time that its bytes may take would be minutes."""
    broker.script = [broker.answer, dropped]
    with Client(broker.address, timeout=10) as client:
        submitting = threading.Thread(target=client.submit, args=("reverse", bytes(9 << 20)))
        broker.limits = Limits(data_bytes=16 << 20, request_bytes=32 << 20)
        submitting.start()
        broker.wait_for(Submit, 1)
        broker.stop()
        broker.start()
        submitting.join()
    first, second = broker.asked(Submit)
    assert first == second and len(broker.jobs) == 1


def test_a_late_reply_is_not_taken_for_the_next(broker: Any) -> None:
    """A reply that was given up on never answers another request."""
    given_up = threading.Event()

    def late(request: Any) -> Any:
        assert given_up.wait(30)
        return broker.answer(request)

    broker.script = [late]
    with Client(broker.address, timeout=10) as client:
        with pytest.raises(errors.BrokerUnreachable):
            client._ask(Hello(), HelloReply, timeout=0.05)
        given_up.set()
        assert client.types().types[0].name == "reverse"


def test_unreachable_says_where_and_under_which_key(broker: Any) -> None:
    """Nobody there: an exception with the address, and for a submit the key, before long."""
    broker.stop()
    with Client(broker.address, timeout=0.1) as client:
        with pytest.raises(errors.BrokerUnreachable, match=broker.address) as caught:
            client.submit("reverse", "x", request_key="mine")
        with pytest.raises(errors.BrokerUnreachable) as asked:
            client.info()
    broker.start()
    assert (caught.value.request_key, asked.value.request_key) == ("mine", None)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_code_has_its_exception(broker: Any, client: Client, code: ErrorCode) -> None:
    """An error of the broker becomes the exception of its code, with its sentence."""
    broker.script = [lambda request: Error(code, "a sentence")] * 3  # one of them is for asking again
    with pytest.raises(errors.ZjobsError, match=r"^a sentence$") as caught:
        client.submit("reverse", "x", request_key="mine")
    assert type(caught.value) is errors.BY_CODE[code.value] and caught.value.code == code.value
    not_promised = code in (ErrorCode.STORAGE, ErrorCode.READ_ONLY)
    assert caught.value.request_key == ("mine" if not_promised else None)


@pytest.mark.parametrize("reply", [b"", b"\xc1", b"\x80", codec.encode(HelloReply("j", "s", "e", Limits()))])
def test_nonsense_for_an_answer(broker: Any, client: Client, reply: bytes) -> None:
    """Whatever answers in the broker's place gives an exception that says so."""
    broker.script = [lambda request: reply]
    with pytest.raises(errors.BadReply, match=broker.address):
        client.info()


@pytest.mark.parametrize("address", ["", "127.0.0.1", "tcp://", "tcp://host:*", "tcp://host:99999", "ipc://"])
def test_what_is_no_endpoint(address: str) -> None:
    """A mistyped endpoint is told at once (an empty one is none, so the default is taken)."""
    if address:
        with pytest.raises(errors.BadAddress):
            Client(address)
    else:
        assert Client(address).address == Client().address


def test_the_endpoint_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, then ZJOBS_BROKER, then the default."""
    monkeypatch.setenv("ZJOBS_BROKER", "tcp://127.0.0.1:7")
    assert Client().address == "tcp://127.0.0.1:7"
    assert Client("tcp://127.0.0.1:8").address == "tcp://127.0.0.1:8"
    monkeypatch.delenv("ZJOBS_BROKER")
    assert Client().address == "tcp://127.0.0.1:5570"


# --- many and large --------------------------------------------------------------------------------------------


def test_many_jobs_travel_within_the_limits(broker: Any, client: Client) -> None:
    """Requests hold at most limits.request_jobs and request_bytes, under the keys k, k.2, k.3, …"""
    broker.limits = Limits(request_jobs=3)
    jobs = client.submit_many("reverse", "abcdefg", request_key="k")
    assert [job.id for job in jobs] == list(range(1, 8))
    submits = broker.asked(Submit)
    assert [(request.request_key, len(request.jobs)) for request in submits] == [("k", 3), ("k.2", 3), ("k.3", 1)]

    broker.limits = Limits(request_bytes=4000)
    client.submit_many("reverse", ["x" * 1000] * 5)
    assert all(len(frame) <= 4000 for frame in broker.frames)
    assert [len(request.jobs) for request in broker.asked(Submit)[3:]] == [3, 2]


def test_parts_are_sent_before_the_rest_is_read(broker: Any, client: Client) -> None:
    """Ids can be shown while the input still goes on."""
    broker.limits = Limits(request_jobs=2)
    read: list[int] = []

    def datas() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    parts = client.submit_in_parts(job_like("reverse"), datas(), "k")
    assert next(parts).count == 2
    assert len(read) == 3
    parts.close()


def test_what_comes_before_a_mistake_is_submitted(broker: Any, client: Client) -> None:
    """The jobs before one that cannot be sent are accepted first, so that 'the first not taken' is that one."""
    broker.limits = Limits(data_bytes=100)
    for bad, exception in (("x" * 200, errors.TooLarge), (2**70, OverflowError), (object(), TypeError)):
        accepted = []
        with pytest.raises(exception):
            for part in client.submit_in_parts(job_like("reverse"), ["a", "b", bad, "c"], new_request_key()):
                accepted.append(part.count)
        assert accepted == [2]


def test_too_large_is_said_without_sending(broker: Any, client: Client) -> None:
    """A frame far above the limit would end the connection: the limits are asked for first."""
    with pytest.raises(errors.TooLarge, match="1048576"):
        client.submit("reverse", "x" * 2_000_000)
    assert broker.asked(Submit) == []
    broker.limits = Limits(data_bytes=1 << 30, request_bytes=100_000)
    with pytest.raises(errors.TooLarge, match="100000"):
        client.submit("reverse", "x" * 100_000)
    assert broker.asked(Submit) == []


def test_an_error_of_many_tells_the_key_of_the_whole(broker: Any, client: Client) -> None:
    """Repeating with the exception's key repeats all parts, whichever failed."""
    broker.limits = Limits(request_jobs=1)
    broker.script = [broker.answer, broker.answer, lambda request: Error(ErrorCode.QUEUE_FULL, "full")]
    with pytest.raises(errors.QueueFull) as caught:
        client.submit_many("reverse", "abc", request_key="k")
    assert caught.value.request_key == "k"
    assert [job.id for job in client.submit_many("reverse", "abc", request_key="k")] == [1, 2, 3]


@pytest.mark.parametrize(("key", "datas"), [("", ["a"]), ("k" * 65, ["a"]), ("k" * 60, ["a", "b"])])
def test_keys_have_bounds(client: Client, key: str, datas: list[str]) -> None:
    """A key that is too long is refused before anything is sent, the parts' numbers included."""
    with pytest.raises(errors.BadRequest, match="characters"):
        client.submit_many("reverse", datas, request_key=key)
    assert client.submit("reverse", "a", request_key="k" * 64).id == 1


# --- ask -------------------------------------------------------------------------------------------------------


def test_status_of_more_ids_than_a_request_takes(broker: Any, client: Client) -> None:
    """Many ids are asked for in several requests, and answered in order."""
    for job_id in range(1, 2502):
        broker.jobs[job_id] = JobStatus(job_id, "t", COMPLETED, 1, 0, 1, 1, 0)
    reply = client.status([*range(2501, 0, -1), 9999])
    assert [job.id for job in reply.jobs] == list(range(2501, 0, -1))
    assert reply.missing == (Missing(9999, ErrorCode.NOT_FOUND),)
    assert len(broker.requests) == 3


def test_a_large_result_comes_in_pieces(broker: Any, client: Client) -> None:
    """A result of any size is put together from its pieces, as often as asked."""
    value = os.urandom(700_000)
    broker.add(1, COMPLETED, value)
    assert client.result(1) == value == client.result(1)
    assert [request.offset for request in broker.asked(Result)[:3]] == [0, 262144, 524288]


def test_a_result_whose_journal_changes(broker: Any, client: Client) -> None:
    """Pieces of two different jobs are never put together."""
    broker.add(1, COMPLETED, "x" * 300_000)

    def from_another(request: Result) -> Any:
        return broker.answer(request)._replace(journal="journal-2")

    broker.script = [broker.answer, from_another]
    with pytest.raises(errors.BrokerChanged):
        client.result(1)


def test_a_broker_that_sends_no_pieces(broker: Any, client: Client) -> None:
    """An empty piece is a mistake of the broker, not a reason to ask for ever."""
    broker.add(1, COMPLETED, "x")
    broker.script = [lambda request: broker.answer(request)._replace(body=b"")]
    with pytest.raises(errors.BadReply, match="empty piece"):
        client.result(1)


@pytest.mark.parametrize(("state", "exception"), [(FAILED, errors.JobFailed), (CANCELLED, errors.JobCancelled)])
def test_no_result(broker: Any, client: Client, state: JobState, exception: type[errors.JobFailed]) -> None:
    """The exception of a job without a result carries its status."""
    broker.add(1, state, message="ValueError: odd")
    for fetch in (client.result, lambda job_id: client.job(job_id).result(timeout=30)):
        with pytest.raises(exception, match=f"1 {state.value}: ValueError: odd") as caught:
            fetch(1)
        assert caught.value.status == broker.jobs[1]


def test_not_finished_and_not_found(broker: Any, client: Client) -> None:
    """Asking for a result does not wait; an id that was never given is not found, by every way of asking."""
    broker.add(1)
    with pytest.raises(errors.NotFinished):
        client.result(1)
    job = client.job(2)
    for ask in (lambda: client.result(2), job.status, job.wait, job.result):
        with pytest.raises(errors.NotFound):
            ask()


def test_a_job_to_wait_for_of_another_journal(broker: Any, client: Client) -> None:
    """Its id means another job here, so nothing is sent; an id alone is taken as it is."""
    here, elsewhere = client.submit("reverse", "x"), client.job(1, "another journal")
    assert client.submit("reverse", "x", after=[here, 1], after_any=[client.job(1)]).id == 2
    for waits in ({"after": [here, elsewhere]}, {"after_any": [elsewhere]}):
        with pytest.raises(errors.BrokerChanged):
            client.submit("reverse", "x", **waits)
        with pytest.raises(errors.BrokerChanged):
            client.submit_many("reverse", ["x"], **waits)
    assert len(broker.asked(Submit)) == 2


def test_a_job_of_another_journal(broker: Any, client: Client) -> None:
    """Job 1 of the old journal is not job 1 of the new one: nothing is told in its name."""
    job = client.submit("reverse", "x")
    broker.journal = "journal-2"
    broker.add(1, COMPLETED, "somebody else's")
    for ask in (job.status, job.wait, job.result):
        with pytest.raises(errors.BrokerChanged):
            ask()


# --- threads and forks -----------------------------------------------------------------------------------------


def test_threads_share_a_client(broker: Any, client: Client) -> None:
    """Each thread gets the answers to its own requests, and a wait in one holds up none."""
    broker.add(9999)
    waiting = threading.Thread(target=client.job(9999).wait)
    waiting.start()
    wrong: list[object] = []

    def work(first: int) -> None:
        for job_id in range(first, first + 50):
            broker.jobs[job_id] = JobStatus(job_id, f"t{job_id}", COMPLETED, 1, 0, 1, 1, 0)
            if client.job(job_id).status().type != f"t{job_id}":
                wrong.append(job_id)

    threads = [threading.Thread(target=work, args=(1 + 100 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and waiting.is_alive()
    broker.add(9999, COMPLETED, "x")
    waiting.join(60)
    assert not waiting.is_alive()


def test_a_fork_in_mid_use(broker: Any, client: Client) -> None:
    """Parent and child both go on with the client, though a thread held its lock during the fork."""
    broker.add(1, COMPLETED, "x")
    client.result(1)
    pool = client.connection._own_pool()
    with pool._lock:
        child = _forked(lambda: os._exit(0 if client.result(1) == "x" and client.close() is None else 1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.result(1) == "x"


def _forked(run: Any) -> int:
    """The pid of a child that calls `run` and ends."""
    import warnings

    with warnings.catch_warnings():
        # Python warns of every fork beside threads; that one may happen is what is tested
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(70)
    return pid


def test_a_closed_client(broker: Any) -> None:
    """After close nothing can be asked; closing twice does no harm."""
    client = Client(broker.address)
    client.hello()
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.hello()


def test_close_while_another_thread_asks(broker: Any) -> None:
    """A request that is in flight when the client is closed still gets its answer."""
    client = Client(broker.address)
    arrived, closed = threading.Event(), threading.Event()

    def slow(request: Any) -> Any:
        arrived.set()
        assert closed.wait(30)
        return broker.answer(request)

    broker.script = [slow]
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.hello()))
    thread.start()
    assert arrived.wait(30)
    client.close()
    closed.set()
    thread.join(30)
    assert answers[0].journal == "journal-1"
