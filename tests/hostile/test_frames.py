"""Messages of very many frames, and without end; replies that nobody reads."""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

import msgpack
import zmq

MIB = 1 << 20
PEAK_MIB = 3 * 1024  # the bound of 1 GiB, and what comes in between two looks
SETTLED_MIB = 400


def test_a_message_of_100000_empty_frames_is_refused(stage: Any) -> None:
    """It is thrown away frame by frame, and answered by an error."""
    before = stage.rss_mib()
    count = 4 * stage.times
    for _ in range(count):
        with stage.service.dealer() as sender:
            sender.send_multipart([b""] * 100_000)
            assert msgpack.unpackb(sender.recv_multipart()[-1])["code"] == "bad_request"
    stage.honest()
    stage.tried(f"{count} messages of 100,000 frames; {before} MiB before, {stage.rss_mib()} MiB after")
    assert stage.rss_mib() - before < 128


def test_a_message_without_end_is_cut_off(stage: Any) -> None:
    """libzmq keeps it, outside all its bounds: past 1 GiB the connection goes, and the memory with it."""
    peer = stage.peer().introduce(b"DEALER")
    frame = b"\x03" + MIB.to_bytes(8, "big") + bytes(MIB)
    taken = []

    def send() -> None:
        while peer.send(frame) and len(taken) < 16 * 1024:
            taken.append(1)

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    took, peak = [], 0
    while sending.is_alive():
        with stage.service.client(timeout=20) as client:
            begun = time.perf_counter()
            client.info()
            took.append((time.perf_counter() - begun) * 100)
        peak = max(peak, stage.rss_mib())
    peer.close()
    stage.service.until(lambda: stage.rss_mib() < SETTLED_MIB, "the memory is given back")
    stage.honest()
    stage.tried(f"a message without end: cut off after {len(taken)} MiB; at most {peak} MiB; {stage.told(took)}")
    assert len(taken) < 16 * 1024 and peak < PEAK_MIB
    assert "memory: grown by" in stage.service.broker.log


def test_a_client_that_never_reads_its_replies_gets_no_more(stage: Any) -> None:
    """Past 500 unread replies the others are dropped, which the log says once."""
    stage.service.ask("submit", request_key="k", jobs=[{"type": "x", "data": msgpack.packb("x" * 10_000)}])
    before = stage.rss_mib()
    deaf = stage.socket(zmq.DEALER, stage.service.endpoint, rcvhwm=1, sndhwm=0)
    # a large reply that costs the broker little: it disconnects, after four seconds, a client whose kernel is full
    body = msgpack.packb({"v": 1, "op": "data", "id": 1})
    count = 0

    def dropped() -> bool:
        """Asks on, in portions that may wait: what is beyond them is refused at once, in small replies."""
        nonlocal count
        for _ in range(400):
            deaf.send_multipart([b"", body])
        count += 400
        return "replies: one was dropped" in stage.service.broker.log

    stage.service.until(dropped, "replies are dropped")
    took = stage.latencies_ms()
    after = stage.rss_mib()
    stage.tried(f"{count} replies of 10 kB never read: {before} MiB before, {after} MiB after; {stage.told(took)}")
    assert after - before < 200
    assert statistics.median(took) < 1_000
    assert stage.service.broker.log.count("replies:") == 1
