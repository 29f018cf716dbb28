"""Floods of subscriptions, and ends of subscriptions that nobody began."""

from __future__ import annotations

from typing import Any

import msgpack
import zmq

TOPICS = 200_000


def events_at(stage: Any) -> str:
    return str(stage.service.ask("hello")["events"])


def final_event(watcher: zmq.Socket[bytes], job_id: int) -> bool:
    """Reads on to the final event of a job."""
    while True:
        event = msgpack.unpackb(watcher.recv_multipart()[-1])
        if event["op"] == "job" and event["job"]["id"] == job_id and event["job"]["state"] == "cancelled":
            return True


def test_a_flood_of_subscriptions_ends_in_a_new_socket(stage: Any) -> None:
    """Above 100,000 all streams begin anew, the memory is given back, and an honest watcher misses no final event."""
    job_id = stage.service.ask("submit", request_key="k", jobs=[{"type": "x"}])["first_id"]
    watcher = stage.service.subscriber(b"job.%d." % job_id)
    watcher.recv_multipart()
    flood = stage.peer(events_at(stage)).introduce(b"SUB")
    before = stage.rss_mib()
    peak = sent = 0
    took: list[float] = []
    for first in range(0, TOPICS * stage.times, 5_000):
        frames = (b"\x01job.%d." % number for number in range(1_000_000 + first, 1_005_000 + first))
        if not flood.send(b"".join(bytes((0, len(frame))) + frame for frame in frames)):
            break
        sent += 5_000
        peak = max(peak, stage.rss_mib())
        took += stage.latencies_ms(2)
    stage.service.until(lambda: "subscriptions: too many" in stage.service.broker.log, "the streams begin anew")
    flood.close()
    stage.service.ask("cancel", ids=[job_id])
    assert final_event(watcher, job_id)
    stage.tried(f"{sent} subscriptions: {before} MiB before, at most {peak} MiB; {stage.told(took)}")
    assert peak - before < 700


def test_nobody_can_end_what_others_watch(stage: Any) -> None:
    """Ends of subscriptions that were never begun change nothing for those who watch."""
    first = stage.service.ask("submit", request_key="k", jobs=[{"type": "x"}] * 2)["first_id"]
    watcher = stage.service.subscriber(b"job.%d." % first)
    watcher.recv_multipart()
    listener = stage.service.subscriber(b"jobs.")
    listener.recv_multipart()
    stranger = stage.peer(events_at(stage)).introduce(b"SUB")
    for topic in (b"job.%d." % first, b"jobs."):
        stranger.send((bytes((0, 1 + len(topic))) + b"\x00" + topic) * 5)
    own = b"job.%d." % (first + 1)
    stranger.send(bytes((0, 1 + len(own))) + b"\x01" + own)
    assert stranger.until_heard(own + b"s")  # its snapshot: everything before was taken
    stage.service.ask("cancel", ids=[first])
    assert final_event(watcher, first) and final_event(listener, first)
    stage.tried("10 ends of others' subscriptions")


def test_topics_of_all_kinds(stage: Any) -> None:
    """A topic that is none, or names an id beyond all, is not answered, and hurts nobody."""
    topics = [
        b"",
        b"j",
        b"job.",
        b"job.0.",
        b"job.-1.",
        b"job.9999999999999999999.",
        b"job.9223372036854775808.",
        b"\xff",
    ]
    topics += [b"x" * size for size in (200, 250)] + [stage.random.randbytes(20) for _ in range(200)]
    stranger = stage.peer(events_at(stage)).introduce(b"SUB")
    for topic in topics:
        stranger.send(bytes((0, 1 + len(topic))) + b"\x01" + topic)
        stranger.send(bytes((0, 1 + len(topic))) + b"\x02" + topic)
    known = stage.service.ask("submit", request_key="k", jobs=[{"type": "x"}])["first_id"]
    topic = b"job.%d." % known
    stranger.send(bytes((0, 1 + len(topic))) + b"\x01" + topic)
    assert stranger.until_heard(topic + b"s"), stage.service.logs()
    stage.honest()
    stage.tried(f"{2 * len(topics)} topics that are none")
