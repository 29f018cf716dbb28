"""Promises 3 and 4: the broker always answers, and says what is true."""

from __future__ import annotations

import signal
import socket
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq

from zjobs.client import Expired, NotFinished, NotFound
from zjobs.messages.states import PROTOCOL_VERSION

if TYPE_CHECKING:
    from tests.conftest import Service

EVERY_STATUS_WITHIN_S = 0.05


def test_status_is_answered_while_a_job_runs(new_service: Callable[..., Service]) -> None:
    """While the 2-second job runs, 100 requests are answered, typically within 50 ms each."""
    service = new_service("tcp://127.0.0.1:*")
    service.start_broker()
    service.start_worker(time_scale=1)
    client = service.client()
    job = client.submit("reverse", "example")
    service.until_state(job.id, "in_progress")
    took = []
    for _ in range(100):
        begun = time.monotonic()
        assert job.status().state == "in_progress"
        took.append(time.monotonic() - begun)
    assert statistics.median(took) < EVERY_STATUS_WITHIN_S, sorted(took)
    assert job.result(timeout=20) == "elpmaxe"


def test_a_request_sees_what_the_ones_before_it_changed(new_service: Callable[..., Service]) -> None:
    """Sent in one go, so that the broker finds all of them in one turn: a submit, a cancel, and questions."""
    service = new_service()
    service.start_broker()
    requests = []
    for job_id in range(1, 51):
        jobs = [{"type": "reverse", "data": msgpack.packb("x")}]
        requests.append({"op": "submit", "request_key": f"key {job_id}", "jobs": jobs})
        requests.append({"op": "cancel", "ids": [job_id]})
        requests.append({"op": "status", "ids": [job_id]})
    with service.dealer() as socket:
        for request in requests:
            socket.send_multipart([b"", msgpack.packb({"v": PROTOCOL_VERSION, **request})])
        replies = [msgpack.unpackb(socket.recv_multipart()[-1]) for _ in requests]
    states = [reply["jobs"][0]["state"] for reply in replies if reply["op"] in ("status", "cancel")]
    assert states == ["cancelled"] * 100


def test_a_delay_ends_though_nothing_comes_in(new_service: Callable[..., Service]) -> None:
    """Without a worker nobody gives the broker anything to decide; that it is asked for a status does not either."""
    service = new_service()
    service.start_broker()
    job = service.client().submit("reverse", "example", delay=0.2)
    assert job.status().ready_at is not None
    service.until(lambda: job.status().ready_at is None, "the delay is over")
    assert job.status().ahead == 0


def test_500_requests_in_flight_are_all_answered(new_service: Callable[..., Service]) -> None:
    """However many replies were read one by one before: libzmq counts those as read in large steps only."""
    service = new_service()
    service.start_broker()
    request = [b"", msgpack.packb({"v": PROTOCOL_VERSION, "op": "types"})]
    with service.dealer() as dealer:
        for before in (0, 120, 249, 251, 400):
            for _ in range(before):
                dealer.send_multipart(request)
                dealer.recv_multipart()
            service.broker.signal(signal.SIGSTOP)
            for _ in range(500):
                dealer.send_multipart(request)
            service.broker.signal(signal.SIGCONT)
            for _ in range(500):
                dealer.recv_multipart()


def test_ipv6(new_service: Callable[..., Service]) -> None:
    """All five sockets, events included."""
    service = new_service("tcp://[::1]:*")
    try:
        with socket.socket(socket.AF_INET6) as pipe, socket.socket(socket.AF_INET6) as reports:
            for probe in (pipe, reports):
                probe.bind(("::1", 0))
            service.pipe, service.reports = (f"tcp://[::1]:{probe.getsockname()[1]}" for probe in (pipe, reports))
    except OSError as error:
        pytest.skip(f"NOT TESTED HERE: this host has no ::1: {error}")
    service.start_broker()
    service.start_worker()
    assert service.endpoint.startswith("tcp://[::1]:")
    assert service.zclient("batch", "reverse", "example").stdout.endswith("\nelpmaxe\n")


def test_status_tells_how_many_must_end_first(service: Service) -> None:
    """The running job included; the running one has no such number, and neither has one that ended."""
    client = service.client()
    jobs = [client.submit("safe_gate", "a")] + client.submit_many("echo", range(30))
    service.until_state(jobs[0].id, "in_progress")
    reply = client.status([job.id for job in jobs])
    assert [job.ahead for job in reply.jobs] == [None, *range(1, 31)]
    assert {job.state for job in reply.jobs[1:]} == {"queued"}
    assert reply.queued == 30 and reply.worker == "ready"
    assert [job.id for job in client.queue().jobs] == [job.id for job in jobs[:21]]
    service.open_gate("a")
    ended = jobs[-1].wait(timeout=20)
    assert (ended.state, ended.ahead) == ("completed", None)
    assert client.queue().jobs == () and client.queue().queued == 0


def test_a_result_can_be_fetched_as_often_as_one_likes(service: Service) -> None:
    """Large ones too, in pieces, and after the broker was killed and started again."""
    large = {"text": "é" * 200_000, "bytes": bytes(range(256)) * 2000, "list": [1.5, None, True, -(2**63)]}
    client = service.client()
    job = client.submit("echo", {"value": large})
    assert job.result(timeout=20) == large == client.result(job.id) == client.result(job.id)
    service.broker.kill()
    service.start_broker()
    assert service.client().result(job.id) == large


def test_data_arrives_as_it_was_sent(service: Service) -> None:
    """No data is not the same as an empty text or None; a map is named parameters."""
    client = service.client()
    values: list[Any] = ["", None, 0, [], b"\0", "‏عربي", ["a", {"b": 1.5}]]
    jobs = client.submit_many("echo", values)
    assert [job.result(timeout=20) for job in jobs] == values
    assert client.submit("echo").result(timeout=20) == "no data"
    assert client.submit("pair", {"left": 1, "right": 2}).result(timeout=20) == [1, 2]


def test_unknown_ids_are_not_found_and_unfinished_ones_not_finished(service: Service) -> None:
    """Each has its own error; nothing is made up."""
    client = service.client()
    job = client.submit("safe_gate", "a")
    with pytest.raises(NotFinished):
        client.result(job.id)
    for ask in (client.result, client.show, lambda job_id: client.job(job_id).status()):
        with pytest.raises(NotFound) as caught:
            ask(999)
        assert not isinstance(caught.value, Expired)
    assert [(missing.id, missing.code) for missing in client.status([999, job.id]).missing] == [(999, "not_found")]
    service.open_gate("a")


def test_info_and_types_tell_what_is(service: Service) -> None:
    """Counts, pids, the journal's file, and each type with what may run twice."""
    client = service.client()
    client.submit("echo", 1).wait(timeout=20)
    client.submit("killed").wait(timeout=20)
    info = client.info()
    assert (info.completed, info.failed, info.queued, info.in_progress) == (1, 1, 0, 0)
    assert (info.pid, info.worker.pid, info.worker.state) == (service.broker.pid, service.worker.pid, "ready")
    assert info.journal_file == service.journal and info.journal_bytes > 0
    types = {task.name: task for task in client.types().types}
    assert (types["reverse"].max_reruns, types["echo"].max_reruns, types["third_time"].max_attempts) == (2, 0, 3)
    assert types["echo"].description == "Gives back what it gets."


def test_before_any_worker_every_type_is_taken_unchecked(new_service: Callable[..., Service]) -> None:
    """`checked` says so; the types a worker has announced are known without it, also after a restart."""
    service = new_service()
    service.start_broker()
    first = service.zclient("submit", "anything", "x")
    assert first.returncode == 0 and "not checked" in first.stderr
    assert service.ask("types")["known"] is False
    service.start_worker()
    service.until_worker("lacks_type")
    service.worker.kill()
    service.broker.kill()
    service.start_broker()
    refused = service.ask("submit", request_key="k", jobs=[{"type": "anything", "data": None}])
    assert refused["code"] == "unknown_type" and "reverse" in refused["message"]


# --- hostile clients -----------------------------------------------------------------------------------------

HELLO = msgpack.packb({"v": PROTOCOL_VERSION, "op": "hello"})


def body(**fields: Any) -> bytes:
    packed: bytes = msgpack.packb({"v": PROTOCOL_VERSION, **fields})
    return packed


BAD_REQUESTS = {
    "not_msgpack": ([b"", b"\xc1\xff"], "bad_request", "msgpack"),
    "text": ([b"", b"hello"], "bad_request", "msgpack"),
    "trailing_bytes": ([b"", HELLO + b"\0"], "bad_request", "msgpack"),
    "not_a_map": ([b"", msgpack.packb([1, 2])], "bad_request", "map"),
    "extension": ([b"", body(op="hello", more=msgpack.ExtType(5, b""))], "bad_request", "extension"),
    "deep": ([b"", b"\x91" * 100_000], "bad_request", "nested"),
    "empty_body": ([b"", b""], "bad_request", "empty"),
    "no_empty_frame": ([HELLO], "bad_request", "empty frame"),
    "two_bodies": ([b"", HELLO, HELLO], "bad_request", "one body frame"),
    "no_body": ([b""], "bad_request", "body frame"),
    "too_many_frames": ([*[b"x"] * 40, b"", HELLO], "bad_request", "frames"),
    "many_empty_frames": ([b""] * 1000, "bad_request", "frames"),
    "newer_version": ([b"", msgpack.packb({"v": 2, "op": "hello"})], "unsupported_version", "version 1"),
    "no_version": ([b"", msgpack.packb({"op": "hello"})], "unsupported_version", "version"),
    "unknown_op": ([b"", body(op="fly")], "unknown_op", "fly"),
    "no_op": ([b"", body()], "unknown_op", "op"),
    "missing_field": ([b"", body(op="result")], "bad_request", "id"),
    "wrong_kind": ([b"", body(op="status", ids="all")], "bad_request", "ids"),
    "negative_id": ([b"", body(op="status", ids=[-1])], "bad_request", "ids"),
    "huge_id": ([b"", body(op="show", id=2**63)], "bad_request", "id"),
    "no_jobs": ([b"", body(op="submit", request_key="k", jobs=[])], "bad_request", "jobs"),
    "long_key": ([b"", body(op="submit", request_key="k" * 65, jobs=[{"type": "echo"}])], "bad_request", "request_key"),
    "text_as_data": (
        [b"", body(op="submit", request_key="k", jobs=[{"type": "echo", "data": "x"}])],
        "bad_request",
        "data",
    ),
    "large_data": (
        [b"", body(op="submit", request_key="k", jobs=[{"type": "echo", "data": b"x" * (1 << 21)}])],
        "too_large",
        "",
    ),
    "large_request": ([b"", body(op="hello", more=b"x" * (5 << 20))], "too_large", "4194304"),
    "unknown_type": ([b"", body(op="submit", request_key="k", jobs=[{"type": "fly"}])], "unknown_type", "reverse"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_answered_with_what_is_wrong(name: str, shared_service: Service) -> None:
    """An error reply on the same connection, which goes on working, and so does everybody else's."""
    frames, code, word = BAD_REQUESTS[name]
    with shared_service.dealer() as hostile, shared_service.dealer() as other:
        hostile.send_multipart(frames)
        reply = msgpack.unpackb(hostile.recv_multipart()[-1])
        assert (reply["op"], reply["code"]) == ("error", code), reply
        assert word in reply["message"], reply
        for client in (other, hostile):
            client.send_multipart([b"", HELLO])
            assert msgpack.unpackb(client.recv_multipart()[-1])["op"] == "hello"


def test_a_frame_past_all_bounds_ends_the_connection_and_nothing_else(shared_service: Service) -> None:
    """More than twice the limit is not even received; the next client is undisturbed."""
    with shared_service.dealer() as hostile:
        monitor = hostile.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        hostile.send_multipart([b"", b"x" * (33 << 20)])
        assert monitor.poll(20_000), "the connection is ended"
        hostile.disable_monitor()
        monitor.close()
        assert not hostile.poll(0)
    assert shared_service.ask("hello")["op"] == "hello"


def test_the_envelope_comes_back_as_it_was(shared_service: Service) -> None:
    """Frames before the empty one are the client's own, so that many requests may be in flight."""
    with shared_service.dealer() as client:
        for number in range(200):
            client.send_multipart([b"%d" % number, b"\0own", b"", body(op="status", ids=[number + 1])])
        replies = [client.recv_multipart() for _ in range(200)]
    assert {tuple(reply[:3]) for reply in replies} == {(b"%d" % delivery, b"\0own", b"") for delivery in range(200)}
    assert all(msgpack.unpackb(reply[3])["op"] == "status" for reply in replies)


def test_a_client_that_never_reads_its_replies_disturbs_nobody(shared_service: Service) -> None:
    """More than all buffers hold: a broker that would wait for it would answer nobody any more."""
    job = shared_service.client().submit("echo", b"x" * 8192)
    assert job.result(timeout=20)
    with shared_service.dealer() as deaf:
        for _ in range(6000):
            deaf.send_multipart([b"", body(op="result", id=job.id)])
        for _ in range(20):
            assert shared_service.ask("hello")["op"] == "hello"


def test_bytes_that_are_no_zeromq_at_all_disturb_nobody(shared_service: Service) -> None:
    """Somebody's browser, a port scanner: connected, garbage sent, gone."""
    import socket

    host, _, port = shared_service.endpoint.removeprefix("tcp://").rpartition(":")
    for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 70_000, b""):
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(garbage)
        assert shared_service.ask("hello")["op"] == "hello"
