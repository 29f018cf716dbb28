"""Bytes that are no ZMTP, or nearly, on every bound port."""

from __future__ import annotations

import socket
from typing import Any

import pytest

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
CURVE = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
HELLO = b"\x04\xc8\x05HELLO\x01\x00" + bytes(192)
REQUEST = b"\x01\x00\x00\x0d\x82\xa1v\x01\xa2op\xa5hello"
SEEDS = (
    GREETING + READY + REQUEST,
    GREETING + b"\x04\x16\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB" + b"\x00\x06\x01jobs.",
    GREETING + b"\x04\x17\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH" + REQUEST,
    CURVE + HELLO + b"\x04\xff\x08INITIATE" + bytes(200),
    GREETING + READY + b"\x02\xff\xff\xff\xff\xff\xff\xff\xff",  # a frame of 2 to the power of 64
    GREETING + READY + b"\x04\x08\x04PING\xff\xffx" * 50,
)
CONNECTIONS = 400
MIB_MORE = 64


def mutated(random: Any) -> bytes:
    """A seed with some of its bytes changed, cut, doubled; or nothing but noise."""
    data = bytearray(random.choice(SEEDS) if random.random() < 0.9 else random.randbytes(random.randrange(1, 3000)))
    for _ in range(random.choice((0, 1, 1, 3, 10))):
        place = random.randrange(len(data))
        what = random.randrange(4)
        if what == 0:
            data[place] = random.randrange(256)
        elif what == 1:
            data[place:place] = random.randbytes(random.randrange(1, 20))
        elif what == 2:
            del data[place : place + random.randrange(1, 5)]
        else:
            data[place : place + 8] = b"\xff" * 8
        if not data:
            break
    return bytes(data[: random.randrange(1, len(data) + 1)] if data and random.random() < 0.3 else data)


def throw(stage: Any, endpoints: list[str]) -> int:
    """Throws mutated bytes at the ports, and asks honestly after each batch. Returns how many connections it made."""
    count = CONNECTIONS * stage.times
    left: list[Any] = []
    for number in range(count):
        peer = stage.peer(endpoints[number % len(endpoints)])
        peer.send(mutated(stage.random))
        left.append(peer)  # half open for a while
        if len(left) > 50:
            left.pop(0).close()
        if number % 40 == 0:
            stage.honest()
    for peer in left:
        peer.close()
    stage.honest()
    return count


@pytest.mark.parametrize("keys", [False, True], ids=["without keys", "with keys"])
def test_no_bytes_on_the_brokers_ports_hurt_it(stage: Any, keys: bool) -> None:
    """Whatever comes in, the next honest client is answered, and nothing of it is kept."""
    if keys:
        stage.set_keys()
    endpoints = [stage.service.endpoint, stage.hello().events]
    throw(stage, endpoints)
    before = stage.rss_mib()
    count = throw(stage, endpoints)
    after = stage.rss_mib()
    stage.tried(f"{2 * count} connections with mutated bytes; {before} MiB before the second half, {after} MiB after")
    assert after - before < MIB_MORE


def free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])


@pytest.mark.parametrize("keys", [False, True], ids=["without keys", "with keys"])
def test_no_bytes_on_the_workers_ports_hurt_it(stage: Any, keys: bool) -> None:
    """Jobs go on being done while strangers talk to the sockets that the worker binds."""
    service = stage.service
    service.broker.kill()
    service.pipe, service.reports = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    service.start_broker()
    if keys:
        stage.set_keys()
    service.start_worker(*(("--key", str(service.place / "keys/worker.key")) if keys else ()))
    count = throw(stage, [service.pipe, service.reports])
    with stage.client() as client:
        assert client.submit("reverse", "abc").result(20) == "cba"
    stage.tried(f"{count} connections with mutated bytes to a worker, which then did a job")


@pytest.mark.parametrize("what", ["nothing", "half a greeting", "a greeting"])
def test_connections_that_say_little_cost_little(stage: Any, what: str) -> None:
    """500 that wait for ever in the middle of the handshake hinder nobody."""
    said = {"nothing": b"", "half a greeting": GREETING[:11], "a greeting": GREETING}[what]
    before = stage.rss_mib()
    peers = [stage.peer() for _ in range(500)]
    for peer in peers:
        peer.send(said)
    took = stage.latencies_ms()
    after = stage.rss_mib()
    stage.tried(f"500 connections that say {what}: {after - before} MiB more; {stage.told(took)}")
    assert after - before < MIB_MORE
    for peer in peers:
        peer.close()
