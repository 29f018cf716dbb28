"""What docs/protocol.md says of connections: who is disconnected, what waits, what SUB sockets lose, how keys fail.

Written with pyzmq and plain sockets, as a client in another language is.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

if TYPE_CHECKING:
    from tests.conftest import Service

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
PROPERTIES = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
READY = b"\x04" + bytes([len(PROPERTIES)]) + PROPERTIES
PING = b"\x04PING"
PIECE = 64 << 10
WAITS_MS = 30_000
JOBS = 1_000
UNREAD = 500


@pytest.fixture(scope="module")
def broker(shared_service: Service) -> Service:
    """With enough jobs for large replies."""
    for _ in range(2):
        shared_service.ask("submit", request_key="many", jobs=[{"type": "echo", "delay_ms": 3_600_000}] * JOBS)
    return shared_service


def request(op: str, **fields: Any) -> bytes:
    return msgpack.packb({"v": 1, "op": op, **fields})  # type: ignore[no-any-return]


def frames(body: bytes) -> bytes:
    """A request as it is on the wire, without frames of its own."""
    return b"\x01\x00" + b"\x00" + bytes([len(body)]) + body


class Plain:
    """A connection that speaks ZMTP by hand, so that nothing is read or answered that is not meant to be."""

    def __init__(self, service: Service) -> None:
        host, _, port = service.endpoint.removeprefix("tcp://").rpartition(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
        self.socket.settimeout(WAITS_MS / 1000)
        self.socket.connect((host, int(port)))
        self.socket.sendall(GREETING + READY)
        self.heard = b""
        self.until(b"READY")

    @property
    def stands(self) -> bool:
        """Whether the broker's end is there: the kernel's table has a row for it."""
        _, port = self.socket.getpeername()
        there, here = f":{port:04X}", f":{self.socket.getsockname()[1]:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return any(row[1].endswith(there) and row[2].endswith(here) and row[3] == "01" for row in rows)

    def until(self, words: bytes, count: int = 1) -> None:
        """Reads until this came so often."""
        while self.heard.count(words) < count:
            piece = self.socket.recv(PIECE)
            assert piece, "the broker hung up"
            self.heard += piece

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def test_who_answers_no_ping_stays(broker: Service) -> None:
    """The broker sends a PING each second and asks for no answer: six of them are longer than it waits for a kernel."""
    with Plain(broker) as plain:
        plain.until(PING, 6)
        plain.socket.sendall(frames(request("types")))
        plain.until(b"known")


def test_who_does_not_read_is_disconnected_and_500_replies_wait(broker: Service) -> None:
    """Where the kernel of the other side has room for nothing, for four seconds, the connection ends; meanwhile the
    replies of a client that does not read either, but whose socket takes them in, wait for it."""
    with broker.dealer() as patient, Plain(broker) as full:
        for number in range(UNREAD):
            patient.send_multipart([b"%d" % number, b"", request("types")])
        for _ in range(40):
            full.socket.sendall(frames(request("list", limit=JOBS)))
        broker.until(lambda: not full.stands, "the broker has hung up")
        with pytest.raises(ConnectionError):  # it learns of that by what it does next
            while full.socket.recv(PIECE):
                pass
        heard = {int(patient.recv_multipart()[0]) for _ in range(UNREAD)}
        assert heard == set(range(UNREAD))


@pytest.mark.parametrize(("bound", "whole"), [(1_000, False), (0, True)])
def test_subscriptions_beyond_the_high_water_mark(broker: Service, bound: int, whole: bool) -> None:
    """Made before the connection stands, more than ZMQ_SNDHWM are dropped without a word; 0 is no bound."""
    first = broker.ask("submit", request_key="many", jobs=[{"type": "echo", "delay_ms": 3_600_000}] * JOBS)["first_id"]
    topics = [*range(first, first + JOBS), *range(10_000_000, 10_000_000 + JOBS)]
    watch = broker.context.socket(zmq.SUB)
    broker.sockets.append(watch)
    watch.linger = 0
    watch.sndhwm, watch.rcvhwm, watch.rcvtimeo = bound, 0, WAITS_MS
    watch.connect(broker.ask("hello")["events"])
    for topic in reversed(topics):  # those without a job first
        watch.subscribe(b"job.%d." % topic)
    told: set[int] = set()
    while len(told) < JOBS and watch.poll(WAITS_MS if whole else 500):
        told.add(msgpack.unpackb(watch.recv_multipart()[1])["job"]["id"])
    assert (len(told) == JOBS) is whole


def test_a_sub_socket_subscribes_again_only_inside_a_call() -> None:
    """After a lost connection libzmq connects by itself, but what was subscribed is told by the program's next call."""
    context = zmq.Context()
    try:
        watch, events = context.socket(zmq.SUB), context.socket(zmq.XPUB)
        monitor = watch.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        monitor.rcvtimeo = events.rcvtimeo = WAITS_MS
        port = events.bind_to_random_port("tcp://127.0.0.1")
        watch.connect(f"tcp://127.0.0.1:{port}")
        watch.subscribe(b"jobs.")
        assert events.recv() == b"\x01jobs." and recv_monitor_message(monitor)
        events.close(linger=0)
        again = context.socket(zmq.XPUB)
        again.rcvtimeo = WAITS_MS
        for _ in range(WAITS_MS):  # until libzmq has let go of the port
            try:
                again.bind(f"tcp://127.0.0.1:{port}")
                break
            except zmq.ZMQError:
                select.select([], [], [], 0.001)
        recv_monitor_message(monitor)  # the connection stands
        assert not again.poll(300), "it has subscribed by itself"
        assert not watch.poll(0)
        assert again.recv() == b"\x01jobs."
    finally:
        context.destroy(linger=0)


def test_offsets_begin_with_zero(broker: Service) -> None:
    """Of results and of output: absent is 0, a piece begins with the byte of that number, none is behind the end."""
    job_id = broker.ask("submit", request_key="talks", jobs=[{"type": "talks", "data": msgpack.packb("zero")}])[
        "first_id"
    ]
    broker.open_gate("zero")
    broker.until(lambda: broker.ask("status", ids=[job_id])["jobs"][0]["state"] == "completed", "it ends")
    for op in ("result", "log"):
        whole = broker.ask(op, id=job_id)
        assert whole["offset"] == 0 and len(whole["body"]) == whole["size_bytes"] > 0
        assert broker.ask(op, id=job_id, offset=0)["body"] == whole["body"]
        end = whole["size_bytes"]
        last = broker.ask(op, id=job_id, offset=end - 1)
        assert (last["offset"], last["body"]) == (end - 1, whole["body"][-1:])
        assert broker.ask(op, id=job_id, offset=end + 5)["body"] == b""


def test_events_have_the_fraction_and_never_the_note(broker: Service) -> None:
    """Of a task that reports both."""
    with broker.subscriber(b"jobs.") as watch:
        assert msgpack.unpackb(watch.recv_multipart()[1])["op"] == "listening"
        broker.ask("submit", request_key="told", jobs=[{"type": "halfway", "data": msgpack.packb("told")}])
        while True:
            job = msgpack.unpackb(watch.recv_multipart()[1]).get("job", {})
            assert job.get("note") is None
            if job.get("fraction") == 0.5:
                break
    assert broker.ask("status", ids=[job["id"]])["jobs"][0]["note"] == "in the middle"
    broker.open_gate("told")


@pytest.fixture
def keyed(new_service: Callable[..., Service]) -> Service:
    """A broker that admits the key of its worker and nobody else."""
    service = new_service("tcp://127.0.0.1:*")
    assert service.run("broker", "keys", "init", "--keys", str(service.place / "keys")).returncode == 0
    service.start_broker("--keys", str(service.place / "keys"))
    return service


def failures(service: Service, keys: tuple[bytes, ...] | None, until: Callable[[list[int]], bool]) -> list[int]:
    """What a monitor tells of the handshakes of a client with these keys (public, secret, the broker's)."""
    told: list[int] = []
    client = service.context.socket(zmq.DEALER)
    client.linger = 0
    if keys is not None:
        client.curve_publickey, client.curve_secretkey, client.curve_serverkey = keys
    monitor = client.get_monitor_socket(
        zmq.EVENT_HANDSHAKE_FAILED_AUTH
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq.EVENT_HANDSHAKE_SUCCEEDED
    )
    monitor.rcvtimeo = WAITS_MS
    client.connect(service.endpoint)
    while not until(told):
        told.append(recv_monitor_message(monitor)["event"])
    client.disable_monitor()
    monitor.close(linger=0)
    client.close()
    return told


def test_what_a_wrong_key_looks_like(keyed: Service) -> None:
    """By the monitor: a key that is not admitted, another broker, no key; and what a plain connection is answered."""
    text = (keyed.place / "keys/worker.key").read_text()
    server = next(line.split()[1] for line in text.splitlines() if line.startswith("server:")).encode()
    refused = failures(keyed, (*zmq.curve_keypair(), server), lambda told: bool(told))
    assert refused == [zmq.EVENT_HANDSHAKE_FAILED_AUTH]
    stranger = failures(keyed, (*zmq.curve_keypair(), zmq.curve_keypair()[0]), lambda told: len(told) >= 3)
    assert set(stranger) == {zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL}, "again and again"
    without = failures(keyed, None, lambda told: zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL in told)
    assert set(without[:-1]) <= {zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL}, "at most that before it"
    host, _, port = keyed.endpoint.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), WAITS_MS / 1000) as plain:
        plain.sendall(bytes.fromhex("FF 00 00 00 00 00 00 00 00 7F 03"))
        answer = b""
        while len(answer) < 32:
            answer += plain.recv(64)
    assert answer[12:32] == b"CURVE".ljust(20, b"\0")
