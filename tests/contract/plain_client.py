"""A client written from docs/protocol.md alone: it uses pyzmq and msgpack and nothing of this project.

It stands for a client in another language: if it passes, the page is enough to write one.

    python plain_client.py ENDPOINT

ENDPOINT is the frontend of a broker that has, or soon will have, a worker with the predefined tasks, and meanwhile no
other client. One line `ok NAME` is printed per check. Exit status: 0, or 1 after printing what differed from the page.
Every wait is bounded.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

Body = dict[str, Any]

LINKS = {zmq.HEARTBEAT_IVL: 1_000, zmq.HEARTBEAT_TIMEOUT: 0, zmq.TCP_MAXRT: 4_000, zmq.CONNECT_TIMEOUT: 5_000}

REPLY_MS = 2_000  # a request without a reply for so long is sent again on a new socket
TRIES = 5
EVENTS_S = 60.0  # the longest wait for the end of what was submitted
PIECE_BYTES = 256 * 1024
FINAL = ("completed", "failed", "cancelled")
STATES = ("queued", "in_progress", *FINAL)
WORKER_STATES = ("absent", "ready", "silent", "stopping", "foreign", "lacks_type", "blocked")
NEVER_GIVEN = 2**63 - 1
SLOW_TEXT = "x" * 8_000  # repeated, it is larger than any result may be by default: work for a while, nothing stored


class Difference(Exception):
    """The broker did not do what the page says."""


def expect(condition: object, what: str, seen: object = None) -> None:
    if not condition:
        raise Difference(f"{what}; seen: {seen!r:.500}")


def pack(value: object) -> bytes:
    return msgpack.packb(value)  # type: ignore[no-any-return]


def request(op: str, **fields: object) -> bytes:
    return pack({"v": 1, "op": op, **fields})


def new_key() -> str:
    """A key that begins with the time, as the page asks for."""
    return f"{time.time_ns() // 1_000_000:012x}{uuid.uuid4().hex[:20]}"


def job_of(type_: str, value: object) -> Body:
    return {"type": type_, "data": pack(value)}


def fits(value: object, kind: type) -> bool:
    """Whether the value has this type; a boolean is not taken for an integer."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


class Client:
    """One broker, reached by its frontend."""

    def __init__(self, endpoint: str) -> None:
        self.context = zmq.Context()
        self.listening_since: int | None = None
        self.endpoint = endpoint
        self.journal: str | None = None
        self.req = self.connected(zmq.REQ)
        self.dealer = self.connected(zmq.DEALER)
        self.hello = self.ask("hello")
        self.limits: dict[str, int] = self.hello["limits"]
        self.first_job = 0  # filled by the first check; it has ended when the later ones begin

    def close(self) -> None:
        self.context.destroy(linger=0)

    # ---- sockets

    def connected(self, kind: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self.context.socket(kind)
        for option, value in {zmq.LINGER: 0, zmq.RCVTIMEO: REPLY_MS, zmq.SNDTIMEO: REPLY_MS, **LINKS}.items():
            socket.setsockopt(option, value)
        if kind == zmq.REQ:
            socket.setsockopt(zmq.REQ_RELAXED, 1)
            socket.setsockopt(zmq.REQ_CORRELATE, 1)
        socket.connect(self.endpoint)
        return socket

    def subscribed(self, *topics: str) -> zmq.Socket[bytes]:
        """A SUB socket; for tcp it goes to the host of the frontend, with the port that hello told."""
        events: str = self.hello["events"]
        if events.startswith("tcp://"):
            events = self.endpoint.rpartition(":")[0] + ":" + events.rpartition(":")[2]
        socket: zmq.Socket[bytes] = self.context.socket(zmq.SUB)
        for option, value in {zmq.LINGER: 0, zmq.SNDHWM: 0, **LINKS}.items():
            socket.setsockopt(option, value)
        socket.connect(events)
        for topic in topics:
            socket.subscribe(topic)
        return socket

    # ---- requests

    def exchange(self, body: bytes) -> Body:
        """One request by REQ, sent again on a new socket when no reply comes."""
        for _ in range(TRIES):
            try:
                self.req.send(body)
                return self.checked(self.req.recv())
            except zmq.Again:
                self.req.close()
                self.req = self.connected(zmq.REQ)
        raise Difference(f"no reply from {self.endpoint} in {TRIES} tries of {REPLY_MS} ms")

    def checked(self, packed: bytes) -> Body:
        """A reply, unpacked, with what the page says of all replies."""
        reply: Body = msgpack.unpackb(packed)
        expect(
            isinstance(reply, dict) and reply.get("v") == 1 and "op" in reply, "a reply is a map with v 1, op", reply
        )
        if reply["op"] == "error":
            expect(fits(reply.get("code"), str), "an error has a code", reply)
            expect(fits(reply.get("message"), str) and reply["message"], "an error has a message", reply)
        else:
            expect(fits(reply.get("journal"), str), "a reply carries the journal", reply)
            self.journal = self.journal or reply["journal"]
            expect(reply["journal"] == self.journal, "the journal is still the same", reply)
        return reply

    def ask(self, op: str, **fields: object) -> Body:
        reply = self.exchange(request(op, **fields))
        expect(reply["op"] == op, f"the reply to {op} has its op", reply)
        return reply

    def ask_for_error(self, code: str, op: str, **fields: object) -> str:
        """Send a request that must be refused with this code; gives the message."""
        reply = self.exchange(request(op, **fields))
        expect(reply["op"] == "error" and reply["code"] == code, f"{op} is refused as {code}", reply)
        return str(reply["message"])

    def raw(self, *frames: bytes) -> tuple[list[bytes], Body]:
        """Send these very frames by DEALER; gives the frames before the body of the reply, and the body."""
        self.dealer.send_multipart(frames)
        try:
            *before, body = self.dealer.recv_multipart()
        except zmq.Again:
            raise Difference(f"no reply to a request of the frames {frames!r:.200}") from None
        return before, self.checked(body)

    def next_reply(self) -> tuple[bytes, Body]:
        """The next reply on the DEALER, and the frame that was sent before the empty one."""
        expect(self.dealer.poll(int(EVENTS_S * 1000)), "every request gets a reply")
        tag, empty, body = self.dealer.recv_multipart()
        expect(empty == b"", "an empty frame before the body", empty)
        return tag, self.checked(body)

    def submit(self, *jobs: Body) -> list[int]:
        reply = self.ask("submit", request_key=new_key(), jobs=list(jobs))
        expect(reply["count"] == len(jobs), "count is the number of jobs submitted", reply)
        return list(range(reply["first_id"], reply["first_id"] + reply["count"]))

    # ---- events and results

    def events(self, socket: zmq.Socket[bytes], what: str) -> Iterator[tuple[str, Body]]:
        """The events of a SUB socket, until the caller has enough or the time is over."""
        deadline = time.monotonic() + EVENTS_S
        while socket.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            frames = socket.recv_multipart()
            expect(len(frames) == 2, "an event has two frames", frames)
            event: Body = msgpack.unpackb(frames[1])
            if event.get("op") == "listening":
                self.listening_since = event["change"]
                continue
            expect(event.get("v") == 1 and event.get("op") == "job", "an event has v 1 and op job", event)
            expect(event["journal"] == self.journal, "an event carries the journal", event)
            expect(event.get("change") is None or fits(event["change"], int), "change is an integer or nil", event)
            expect(event["worker"] in WORKER_STATES, "an event tells the worker's state", event)
            check_status_map(event["job"])
            yield frames[0].decode(), event
        raise Difference(f"{EVENTS_S:.0f} s are over, waiting for {what}")

    def watch(self, job_id: int) -> list[Body]:
        """Subscribe to one job and wait for its end; gives the events that were news, the last one is final."""
        topic = f"job.{job_id}."
        news: list[Body] = []
        with self.subscribed(topic) as socket:
            for seen_topic, event in self.events(socket, f"the end of job {job_id}"):
                expect(seen_topic.startswith(topic) and event["job"]["id"] == job_id, "only what was subscribed", event)
                if not news or age(event["job"]) > age(news[-1]["job"]):
                    news.append(event)
                if news[-1]["job"]["state"] in FINAL:
                    break
        return news

    def result(self, job_id: int) -> tuple[Any, int]:
        """The result of a completed job, fetched in pieces, and how many pieces it took."""
        packed, pieces = b"", 0
        while True:
            reply = self.ask("result", id=job_id, offset=len(packed))
            expect(reply["id"] == job_id and reply["state"] == "completed", "the result of a completed job", reply)
            expect(reply["offset"] == len(packed), "the piece begins where asked", reply)
            expect(0 < len(reply["body"]) <= PIECE_BYTES, "a piece has 1 byte to 256 KiB", len(reply["body"]))
            packed += reply["body"]
            pieces += 1
            if len(packed) >= reply["size_bytes"]:
                expect(len(packed) == reply["size_bytes"], "the pieces make size_bytes", len(packed))
                return msgpack.unpackb(packed), pieces


def age(status: Body) -> tuple[int, int]:
    """What orders the news of one job."""
    return status["version"], status["progress"]


def check_status_map(status: Body) -> None:
    """What the page says of every job status."""
    for name in ("id", "version", "progress", "submitted_at", "attempts", "reruns"):
        expect(fits(status.get(name), int) and status[name] >= 0, f"{name} of a job status is an integer", status)
    for name in ("ahead", "elapsed_ms", "started_at", "ended_at"):
        expect(status.get(name) is None or fits(status[name], int), f"{name} is an integer or nil", status)
    expect(fits(status.get("type"), str) and status.get("state") in STATES, "type and state of a job status", status)
    expect((status.get("ahead") is not None) == (status["state"] == "queued"), "ahead is for queued jobs", status)
    if status["state"] in ("completed", "failed"):
        expect(status["started_at"] <= status["ended_at"], "a job ends after it started", status)
        expect(fits(status["elapsed_ms"], int), "it is told how long an ended job ran", status)
    if status["state"] == "failed":
        expect(fits(status.get("reason"), str) and fits(status.get("message"), str), "why a job failed", status)


# ---- the checks, in the order in which they run


def check_hello(client: Client) -> None:
    expect(fits(client.hello["server"], str), "hello tells the server", client.hello)
    for name in ("data_bytes", "result_bytes", "request_bytes", "request_jobs", "queued_jobs", "frames"):
        expect(
            fits(client.limits.get(name), int) and client.limits[name] > 0, f"hello tells limits.{name}", client.hello
        )


def check_submit_and_repeat(client: Client) -> None:
    key, jobs = new_key(), [job_of("reverse", "example")]
    first = client.ask("submit", request_key=key, jobs=jobs)
    again = client.ask("submit", request_key=key, jobs=jobs)
    expect(fits(first["first_id"], int) and first["first_id"] >= 1 and first["count"] == 1, "one id from 1 on", first)
    expect(fits(first["checked"], bool), "checked is true or false", first)
    expect((again["first_id"], again["count"]) == (first["first_id"], 1), "the same key gets the same ids", again)
    for other in ([job_of("swap", "example")], [job_of("reverse", "other")], jobs * 2):
        client.ask_for_error("key_conflict", "submit", request_key=key, jobs=other)
    later = client.submit(*jobs)
    expect(later[0] == first["first_id"] + 1, "repeating made no second job", later)
    client.first_job = first["first_id"]


def check_packed_form(_client: Client) -> None:
    """The example of the page, byte by byte."""
    expect(pack(pack("example")) == b"\xc4\x08\xa7example", "a packed text in a binary field", pack(pack("example")))


def check_watch_to_the_end(client: Client) -> None:
    """From here on the worker has announced its types, for it has ended a job."""
    final = client.watch(client.first_job)[-1]
    expect(final["job"]["state"] == "completed" and final["job"]["attempts"] == 1, "the job completed", final)
    expect(final["job"]["type"] == "reverse" and final["worker"] in WORKER_STATES, "it is the job submitted", final)


def check_watch_after_the_end(client: Client) -> None:
    events = client.watch(client.first_job)
    expect(len(events) == 1 and events[0]["job"]["state"] == "completed", "the snapshot is final", events)
    expect(events[0].get("change") is None, "a snapshot has no change number", events)
    told = client.ask("status", ids=[client.first_job])["jobs"]
    expect(told == [events[0]["job"]], "the snapshot is the same as the status", (told, events))


def check_predefined_results(client: Client) -> None:
    cases = [
        ("reverse", "example", "elpmaxe"),
        ("swap", "abcdef", "badcfe"),
        ("swap", "abcde", "badce"),
        ("repeat", "abc", "abbccc"),
        ("reverse", "", ""),
    ]
    ids = client.submit(*(job_of(type_, text) for type_, text, _ in cases))
    for job_id, (type_, text, right) in zip(ids, cases, strict=True):
        client.watch(job_id)
        expect(client.result(job_id) == (right, 1), f"the result of {type_} {text!r}", client.result(job_id))


def check_waiting_for_a_result(client: Client) -> None:
    """One request brings the result when there is one; the connection is not held up meanwhile."""
    slow, *_, quick = client.submit(*[job_of("repeat", SLOW_TEXT)] * 3, job_of("swap", "abcd"))
    client.dealer.send_multipart([b"late", b"", request("result", id=quick, wait_ms=60_000)])
    client.dealer.send_multipart([b"soon", b"", request("status", ids=[quick])])
    first, second = (client.next_reply() for _ in range(2))
    expect([tag for tag, _ in (first, second)] == [b"soon", b"late"], "a later request is answered before", first)
    reply = second[1]
    expect((reply["op"], reply["id"], reply["state"]) == ("result", quick, "completed"), "the end is the answer", reply)
    expect(msgpack.unpackb(reply["body"]) == "badc" and reply.get("job") is None, "with the result", reply)
    failed = client.ask("result", id=slow, wait_ms=60_000)
    expect(failed["state"] == "failed" and failed["size_bytes"] == 0, "an end without a result is told, too", failed)
    expect(failed["job"]["id"] == slow and failed["job"]["state"] == "failed", "with the status of the job", failed)
    client.ask_for_error("not_found", "result", id=NEVER_GIVEN, wait_ms=60_000)


def check_waiting_for_some(client: Client) -> None:
    """Whoever waits for several jobs is told of those that have ended, and asks again for the others."""
    texts = ["ab", "abcd", "abcdef"]
    ids = client.submit(*(job_of("swap", text) for text in texts))
    left, told = list(ids), {}
    while left:
        reply = client.ask("wait", ids=left, wait_ms=60_000, results=True)
        expect(reply["jobs"] and not reply["missing"], "somebody ended", reply)
        for job in reply["jobs"]:
            check_status_map(job)
            left.remove(job["id"])
        told |= {whole["id"]: msgpack.unpackb(whole["body"]) for whole in reply["results"]}
    expect(told == dict(zip(ids, ("ba", "badc", "badcfe"), strict=True)), "each result once", told)
    reply = client.ask("wait", ids=[NEVER_GIVEN, ids[0]], wait_ms=60_000)
    expect(reply["missing"] == [{"id": NEVER_GIVEN, "code": "not_found"}], "who does not exist is told at once", reply)
    (delayed,) = client.submit({**job_of("swap", "ab"), "delay_ms": 600_000})
    reply = client.ask("wait", ids=[delayed], wait_ms=50)
    expect((reply["jobs"], reply["missing"]) == ([], []), "none ended in that time", reply)
    reply = client.ask("result", id=delayed, wait_ms=50)
    expect(reply["state"] == "queued" and reply["job"]["ready_at"], "and its present state is told", reply)
    client.ask("cancel", ids=[delayed])


def check_dealer_in_flight(client: Client) -> None:
    """200 requests before the first reply is read; the frame before the empty one tells which reply is whose."""
    wanted: dict[bytes, str] = {}
    for number in range(200):
        tag, op = b"%d" % number, ("submit", "status", "hello", "types")[number % 4]
        fields: dict[str, Body] = {
            "submit": {"request_key": new_key(), "jobs": [job_of("swap", f"number {number}")]},
            "status": {"ids": [client.first_job, NEVER_GIVEN - number]},
        }
        client.dealer.send_multipart([tag, b"second", b"", request(op, **fields.get(op, {}))])
        wanted[tag] = op
    ids = set()
    while wanted:
        expect(client.dealer.poll(REPLY_MS), f"every request gets a reply; {len(wanted)} are missing")
        tag, second, empty, body = client.dealer.recv_multipart()
        expect((second, empty) == (b"second", b"") and tag in wanted, "one reply each, with the frames sent", tag)
        op, reply = wanted.pop(tag), client.checked(body)
        expect(reply["op"] == op, "the frames and the body belong together", reply)
        if op == "submit":
            ids.add(reply["first_id"])
        elif op == "status":
            expect(reply["missing"][0]["id"] == NEVER_GIVEN - int(tag), "this status was asked", reply)
    expect(len(ids) == 50, "50 submits made 50 jobs", len(ids))
    client.watch(max(ids))


def check_status(client: Client) -> None:
    asked = [NEVER_GIVEN, client.first_job + 1, client.first_job]
    reply = client.ask("status", ids=asked)
    expect([job["id"] for job in reply["jobs"]] == asked[1:], "jobs in the order asked", reply)
    expect(reply["missing"] == [{"id": NEVER_GIVEN, "code": "not_found"}], "an id never given is missing", reply)
    expect(fits(reply["queued"], int) and reply["worker"] in WORKER_STATES, "queued and worker", reply)
    for job in reply["jobs"]:
        check_status_map(job)


def check_texts(client: Client) -> None:
    """Names and comments are part of the jobs; who submits is not, and is only told."""
    key, job = new_key(), {**job_of("reverse", "named"), "name": "scan 3", "comment": "after the new lens"}
    job_id = client.ask("submit", request_key=key, jobs=[job], submitter="alice@lab3")["first_id"]
    again = client.ask("submit", request_key=key, jobs=[job], submitter="bob@lab3")
    expect(again["first_id"] == job_id, "whoever repeats a request gets the same ids", again)
    for name in ("name", "comment"):
        client.ask_for_error("key_conflict", "submit", request_key=key, jobs=[{**job, name: "other"}])
    final = client.watch(job_id)[-1]["job"]
    expect(not {"name", "comment", "submitter"} & set(final), "events have no texts", final)
    (told,) = client.ask("status", ids=[job_id])["jobs"]
    expect((told["name"], told["submitter"]) == ("scan 3", "alice@lab3"), "status has name and submitter", told)
    expect("comment" not in told, "status has no comment", told)
    for asked, found in (({"name": "scan*"}, True), ({"name": "scan"}, False), ({"submitter": "alice@*"}, True)):
        jobs = client.ask("list", since_ms=3_600_000, limit=1000, **asked)["jobs"]
        expect((job_id in [job["id"] for job in jobs]) == found, "list finds by texts", asked)
    shown, listed = client.ask("show", id=job_id)["job"], client.ask("list", limit=1)["jobs"][0]
    expect(shown == listed == {**told, "comment": "after the new lens"}, "show and list have all", (shown, listed))
    for wrong in ({"name": "x" * 201}, {"comment": "x" * 2001}, {"name": 7}):
        client.ask_for_error("bad_request", "submit", request_key=new_key(), jobs=[{**job, **wrong}])
    client.ask_for_error("bad_request", "submit", request_key=new_key(), jobs=[job], submitter="x" * 201)


def check_busy_queue(client: Client) -> None:
    """While slow jobs run: the queue, not_finished, and afterwards a job that failed by bad_result."""
    ids = client.submit(*[job_of("repeat", SLOW_TEXT)] * 4, *[job_of("reverse", "x")] * 30)
    client.ask_for_error("not_finished", "result", id=ids[-1])
    reply = client.ask("queue")
    states = [job["state"] for job in reply["jobs"]]
    expect(states[-20:] == ["queued"] * 20 and len(states) <= 21, "the running job and the next 20", states)
    expect(states[:-20] in ([], ["in_progress"]), "the running job comes first", states)
    told = [job["id"] for job in reply["jobs"]]
    expect(told == sorted(told) and set(told) <= set(ids), "in the order in which they start", told)
    expect(reply["queued"] > 20, "more are queued than are told", reply["queued"])
    few = [job["state"] for job in client.ask("queue", limit=1)["jobs"]]
    expect(few in (["queued"], ["in_progress", "queued"]), "the running job and as many as asked for", few)
    for place, job in enumerate(reply["jobs"]):
        check_status_map(job)
        expect(job.get("ahead") in (None, place), "ahead counts those before, the running one too", job)
    expect(client.watch(ids[-1])[-1]["job"]["state"] == "completed", "the last job completed")
    if client.limits["result_bytes"] == 16 * 1024 * 1024:
        (failed,) = client.ask("status", ids=ids[:1])["jobs"]
        expect((failed["state"], failed["reason"]) == ("failed", "bad_result"), "a result too large", failed)


def check_failed_job(client: Client) -> None:
    """Data that the type does not take: the job fails, has no result, and show tells the run."""
    (job_id,) = client.submit(job_of("reverse", 7))
    final = client.watch(job_id)[-1]["job"]
    expect((final["state"], final["reason"]) == ("failed", "bad_data"), "the job failed by its data", final)
    reply = client.ask("result", id=job_id)
    expect((reply["state"], reply["reason"], reply["size_bytes"]) == ("failed", "bad_data", 0), "no result", reply)
    expect(reply["message"] == final["message"] and not reply.get("body"), "the reason is told, no piece", reply)
    shown = client.ask("show", id=job_id)
    expect(shown["result_bytes"] is None and len(shown["attempts"]) == 1, "one run, no result", shown)
    run = shown["attempts"][0]
    expect((run["number"], run["outcome"], run["reason"]) == (1, "failed", "bad_data"), "the run that failed", run)
    expect(run["started_at"] <= run["ended_at"] and run["message"] == final["message"], "its times, its message", run)


def check_large_result(client: Client) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    text = (letters * 120)[:3_000]
    (job_id,) = client.submit(job_of("repeat", text))
    expect(client.watch(job_id)[-1]["job"]["state"] == "completed", "the large job completed")
    value, pieces = client.result(job_id)
    expect(value == "".join(char * count for count, char in enumerate(text, 1)), "the pieces make the text", value[:80])
    expect(pieces == -(-(len(value) + 5) // PIECE_BYTES), "as few pieces as 256 KiB allow", pieces)
    expect(client.ask("show", id=job_id)["result_bytes"] == len(value) + 5, "show tells the size of the packed result")


def check_show(client: Client) -> None:
    key, job = new_key(), job_of("reverse", "shown")
    job_id = client.ask("submit", request_key=key, jobs=[job])["first_id"]
    final = client.watch(job_id)[-1]["job"]
    reply = client.ask("show", id=job_id)
    expect(
        reply["job"] == final and reply["request_key"] == key and reply["attempts"] == [], "job, key, no bad run", reply
    )
    expect((reply["data_bytes"], reply["result_bytes"]) == (6, 6), "the packed sizes", reply)


def check_data(client: Client) -> None:
    """Data is read back in pieces; a preview is the beginning of it."""
    text = "x" * (PIECE_BYTES + 100)
    large, none = client.submit(job_of("swap", text), {"type": "swap"})
    first = client.ask("data", id=large)
    rest = client.ask("data", id=large, offset=len(first["body"]))
    expect(len(first["body"]) == PIECE_BYTES and rest["offset"] == PIECE_BYTES, "a piece has at most 256 KiB", rest)
    expect(msgpack.unpackb(first["body"] + rest["body"]) == text, "the pieces make the data", rest)
    expect(client.ask("data", id=none)["size_bytes"] == 0, "a job without data has none")
    client.ask_for_error("not_found", "data", id=NEVER_GIVEN)
    asked = [client.ask("status", ids=[large, none], preview=True)["jobs"], client.ask("list", preview=True)["jobs"]]
    for with_data, without in (asked[0], asked[1][1::-1]):
        preview = {"body": pack(text)[:128], "size_bytes": len(pack(text))}
        expect(with_data["data_preview"] == preview, "the first 128 bytes, and the size", with_data)
        expect("data_preview" not in without, "no preview without data", without)
    expect("data_preview" not in client.ask("show", id=large)["job"], "no preview unless asked for")
    client.watch(none)


def check_types(client: Client) -> None:
    reply = client.ask("types")
    expect(reply["known"] is True, "the worker has announced its types", reply)
    types = {entry["name"]: entry for entry in reply["types"]}
    for name in ("reverse", "swap", "repeat"):
        entry = types.get(name, {})
        expect(fits(entry.get("description"), str), f"{name} is described", entry)
        expect((entry["max_attempts"], entry["max_reruns"]) == (1, 2), f"the defaults of {name}", entry)


def check_info(client: Client) -> None:
    reply = client.ask("info")
    for name in ("server", "libzmq", "sqlite", "python", "journal_file"):
        expect(fits(reply.get(name), str), f"info tells {name}", reply)
    for name in ("pid", "uptime_ms", "journal_bytes", "queued", "in_progress", "completed", "failed", "cancelled"):
        expect(fits(reply.get(name), int), f"info tells {name}", reply)
    expect(reply["limits"] == client.limits and reply["server"] == client.hello["server"], "the same as hello", reply)
    expect(reply.get("read_only") is None, "nil, for jobs are accepted", reply)
    worker = reply["worker"]
    expect(worker["state"] in WORKER_STATES and fits(worker["since_ms"], int), "the worker's state", worker)
    expect(fits(worker["host"], str) and fits(worker["pid"], int), "where the worker is", worker)
    for name in ("running", "warning"):
        expect(name in worker, f"info tells the worker's {name}, nil included", worker)


def check_changes_without_gaps(client: Client) -> None:
    """`jobs.` is answered by `listening`; from then on all changes are told. It comes before the snapshot of a job that
    the same socket subscribes to later."""
    with client.subscribed("jobs.", f"job.{client.first_job}.") as socket:
        events = client.events(socket, "the events of all jobs")
        expect(next(events)[0].startswith(f"job.{client.first_job}."), "first comes the snapshot")
        expect(client.listening_since is not None, "the subscription to all jobs was answered")
        waiting = set(client.submit(*(job_of("swap", f"change {number}") for number in range(100))))
        ids = frozenset(waiting)
        changes: list[int] = []
        newest: dict[int, tuple[int, int]] = {}
        while waiting:
            topic, event = next(events)
            job = event["job"]
            expect(topic.startswith("jobs."), "only jobs. has news now", topic)
            if job["id"] not in newest:
                expect(job["state"] == "queued" and event["change"] is not None, "news begins with the submit", event)
            expect(age(job) >= newest.get(job["id"], (0, 0)), "the news of a job come in order", event)
            newest[job["id"]] = age(job)
            if event.get("change") is not None:
                expect(job["state"] != "in_progress", "a start is not journaled", event)
                changes.append(event["change"])
            if job["state"] in FINAL:
                expect(event.get("change") is not None, "an end is journaled", event)
                waiting.discard(job["id"])
    first = (client.listening_since or 0) + 1
    expect(changes == list(range(first, first + len(changes))), "change numbers without gaps", changes)
    expect(set(newest) == ids and len(changes) == 2 * len(ids), "a submit and an end for each job", len(changes))


def check_bad_bodies(client: Client) -> None:
    bodies = {
        "not msgpack": b"\xc1",
        "cut off": request("hello")[:-1],
        "bytes after the map": request("hello") + b"\x00",
        "an empty body": b"",
        "a list": pack([1, "hello"]),
        "a text": pack("hello"),
        "a key that is no text": pack({"v": 1, "op": "hello", 7: 7}),
        "a binary key": pack({"v": 1, "op": "hello", b"x": 7}),
        "a key that stands twice": b"\x83\xa1v\x01\xa2op\xa5hello\xa2op\xa4info",
        "another version in what is no map of texts": pack({"v": 2, "op": "hello", 7: 7}),
        "an extension type": request("hello", more=msgpack.ExtType(5, b"x")),
    }
    for what, body in bodies.items():
        before, reply = client.raw(b"tag", b"", body)
        expect(before == [b"tag", b""], f"{what}: the frames come back", before)
        expect(reply.get("code") == "bad_request", f"{what} is a bad_request", reply)


def check_bad_fields(client: Client) -> None:
    good = job_of("reverse", "x")
    for key in (None, "", "k" * 65, 7):
        client.ask_for_error("bad_request", "submit", request_key=key, jobs=[good])
    for jobs in (None, [], good, ["reverse"], [{"data": None}], [{"type": ""}], [{"type": "t" * 129}], [{"type": 7}]):
        client.ask_for_error("bad_request", "submit", request_key=new_key(), jobs=jobs)
    client.ask_for_error("bad_request", "submit", request_key=new_key(), jobs=[{"type": "reverse", "data": "text"}])
    for ids in (7, ["7"], [-1], [2**63]):
        client.ask_for_error("bad_request", "status", ids=ids)
    for op in ("result", "show"):
        for job_id in (None, "7", -1):
            client.ask_for_error("bad_request", op, id=job_id)
    for offset in (-1, "0"):
        client.ask_for_error("bad_request", "result", id=client.first_job, offset=offset)


def check_frames(client: Client) -> None:
    """The page does not say which frames precede an error about frames, so only the body of it is looked at."""
    most = [b"%d" % number for number in range(client.limits["frames"] - 2)]
    before, reply = client.raw(*most, b"", request("hello"))
    expect(before == [*most, b""] and reply["op"] == "hello", "as many frames as allowed", (before, reply))
    wrong = {
        "one frame more than allowed": [*most, b"more", b"", request("hello")],
        "no empty frame": [request("hello")],
        "no empty frame after a tag": [b"tag", request("hello")],
        "two body frames": [b"tag", b"", request("hello"), request("hello")],
        "no body frame": [b"tag", b""],
    }
    for what, frames in wrong.items():
        reply = client.raw(*frames)[1]
        expect(reply.get("code") == "bad_request", f"{what} is a bad_request", reply)


def check_unknown(client: Client) -> None:
    for version in (0, 2):
        reply = client.exchange(pack({"v": version, "op": "hello"}))
        expect(reply.get("code") == "unsupported_version", f"version {version} is not spoken", reply)
    client.ask_for_error("unknown_op", "fly")
    message = client.ask_for_error("unknown_type", "submit", request_key=new_key(), jobs=[{"type": "no such type"}])
    expect(all(name in message for name in ("reverse", "swap", "repeat")), "the message lists the types", message)
    key, good = new_key(), job_of("reverse", "x")
    client.ask_for_error("unknown_type", "submit", request_key=key, jobs=[good, {"type": "no such type"}])
    client.ask(
        "submit", request_key=key, jobs=[good]
    )  # all or none: the refused request left nothing behind under its key
    for op in ("result", "show"):
        client.ask_for_error("not_found", op, id=NEVER_GIVEN)
    expect(client.ask("hello", of_a_later_version=1)["op"] == "hello", "a field that is not known is ignored")


def check_too_large(client: Client) -> None:
    limits = client.limits
    client.ask_for_error(
        "too_large",
        "submit",
        request_key=new_key(),
        jobs=[{"type": "reverse", "data": bytes(limits["data_bytes"] + 1)}],
    )
    small = {"type": "reverse", "data": None}
    client.ask_for_error("too_large", "submit", request_key=new_key(), jobs=[small] * (limits["request_jobs"] + 1))
    client.ask_for_error("too_large", "hello", padding=bytes(limits["request_bytes"]))


def check_giant_frame(client: Client) -> None:
    """More than twice request_bytes: the connection ends without a reply."""
    socket = client.connected(zmq.DEALER)
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    socket.send_multipart([b"tag", b"", bytes(2 * client.limits["request_bytes"] + 1)])
    expect(monitor.poll(10_000), "the connection ends within 10 s")
    expect(recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED, "the connection ended")
    expect(not socket.poll(0), "there is no reply")
    socket.disable_monitor()
    socket.close()
    client.ask("hello")


CHECKS: tuple[Callable[[Client], None], ...] = (
    check_hello,
    check_packed_form,
    check_submit_and_repeat,
    check_watch_to_the_end,
    check_watch_after_the_end,
    check_predefined_results,
    check_waiting_for_a_result,
    check_waiting_for_some,
    check_dealer_in_flight,
    check_status,
    check_texts,
    check_busy_queue,
    check_failed_job,
    check_large_result,
    check_show,
    check_data,
    check_types,
    check_info,
    check_changes_without_gaps,
    check_bad_bodies,
    check_bad_fields,
    check_frames,
    check_unknown,
    check_too_large,
    check_giant_frame,
)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(f"usage: python {os.path.basename(__file__)} ENDPOINT", file=sys.stderr)
        return 2
    name, client = "check_hello", None
    try:
        client = Client(arguments[0])
        for check in CHECKS:
            name = check.__name__
            check(client)
            print("ok", name.removeprefix("check_"), flush=True)
    except (Difference, KeyError, TypeError, ValueError, IndexError, zmq.ZMQError) as error:
        print(f"DIFFERS {name.removeprefix('check_')}: {type(error).__name__}: {error}", flush=True)
        return 1
    finally:
        if client is not None:
            client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
