"""A worker that knows docs/protocol.md and nothing of zjobs, with a real broker."""

from __future__ import annotations

import ast
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from zjobs.client import Client

if TYPE_CHECKING:
    from tests.conftest import Program, Service

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/contract/plain_worker.py"
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")


class Plain:
    """A service whose worker is the plain one. What it said and heard is in its `log`."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def start_worker(self, *key: str) -> Program:
        lock = str(self.service.place / "plain.lock")
        words = (self.service.pipe, self.service.reports, lock, *key)
        worker = self.service.worker = self.service.start_script("plain_worker", SCRIPT, *words)
        worker.ready()
        return worker

    def messages(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(direction, op, fields) of everything that the last worker sent and heard."""
        lines = self.service.worker.log_file.read_text(encoding="utf-8").splitlines()
        split = (line.split(" ", 2) for line in lines if line[:2] in ("→ ", "← ") and line.endswith("}"))
        return [(way, op, ast.literal_eval(fields)) for way, op, fields in split]

    def heard(self, op: str) -> list[dict[str, Any]]:
        return [fields for way, name, fields in self.messages() if (way, name) == ("←", op)]

    def said(self, op: str) -> list[dict[str, Any]]:
        return [fields for way, name, fields in self.messages() if (way, name) == ("→", op)]

    def reports(self) -> list[dict[str, Any]]:
        return [report for message in self.said("reports") for report in message["reports"]]


@pytest.fixture
def plain(new_service: Callable[..., Service]) -> Plain:
    """A broker and a plain worker."""
    plain = Plain(new_service())
    plain.service.start_broker()
    plain.start_worker()
    plain.service.until_worker("ready")
    return plain


def test_it_imports_nothing_of_zjobs() -> None:
    """So that what it knows, it knows from the page."""
    assert not re.search(r"^\s*(from|import) zjobs", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_trace_in_the_page_is_what_is_said(plain: Plain) -> None:
    """One job, from the first heartbeat to the acknowledgement of its end."""
    client = plain.service.client()
    assert client.submit("reverse", "example").result(timeout=20) == "elpmaxe"
    plain.service.until(lambda: plain.said("heartbeat")[-1]["acked"] == 1, "the acknowledgement has come")
    (told,) = re.findall(r"^```trace\n(.*?)^```", PROTOCOL, re.MULTILINE | re.DOTALL)
    assert "\n".join(trace(plain.messages())) == told.rstrip("\n")


def trace(messages: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    """The messages as the page has them: with names for what is different each time, and one type of several."""
    names: dict[Any, str] = {}
    lines: list[str] = []
    for way, op, fields in messages:
        if op == "sent":
            continue
        if op == "heartbeat":
            fields = {name: value for name, value in fields.items() if name not in ("round", "sent", "arrived")}
        for field in ("incarnation", "session", "journal"):
            value = (fields.get("broker") or {}).get(field) if field == "journal" else fields.get(field)
            if value is not None:
                names.setdefault(value, f"<{field}>")
        line = f"{way} {op:9}" + "".join(f" {name}={shown(name, value, names)}" for name, value in fields.items())
        in_between = op == "heartbeat" and (fields["running"] or fields["taken"] != fields["acked"])
        if line not in lines and not in_between:
            lines.append(line)
    return lines


def shown(name: str, value: Any, names: dict[Any, str]) -> str:
    if name == "types":
        return f"[{value[0]}, …]"
    if name in ("host", "pid") or (name == "round" and value > 1000):  # the broker's first one is the time
        return f"<{name}>"
    if name == "broker" and value is not None:
        return "{'host': <host>, 'frontend': <frontend>, 'journal': <journal>}"
    text = names.get(value) if isinstance(value, str) else None
    return text or re.sub(r"('elapsed_us': )\d+", r"\1…", repr(value))


def test_jobs_come_back_when_they_shall(plain: Plain) -> None:
    """A long job returns what is behind it, to run afterwards; a cancel reaches a job that waits and one that runs."""
    client = plain.service.client()
    for number in range(3):  # so that the broker knows that these are short, and hands over several
        client.submit("reverse", f"{number}").result(timeout=20)
    gate = client.submit("sleep", 30.0)
    jobs = client.submit_many("reverse", ["a", "bc", "def"])
    plain.service.until_state(gate.id, "in_progress")
    assert jobs[1].cancel().state == "cancelled"
    gate.cancel()
    assert gate.wait(timeout=20).state == "cancelled"
    assert [jobs[0].result(timeout=20), jobs[2].result(timeout=20)] == ["a", "fed"]


def test_a_window_of_jobs_is_returned_on_a_pause(plain: Plain) -> None:
    """`return_jobs`: what has not begun goes back, and starts when the pause is over."""
    client = plain.service.client()
    jobs = client.submit_many("reverse", [f"{number}x" for number in range(30)])
    plain.service.until(lambda: jobs[5].status().state == "completed", "some have run")
    client.pause()
    plain.service.until(lambda: client.info().in_progress == 0, "what began has ended")
    client.resume()
    assert [job.result(timeout=60) for job in jobs] == [f"{number}x"[::-1] for number in range(30)]
    assert {job.status().reruns for job in jobs} == {0}


@pytest.mark.parametrize(("type_", "what"), [("lie", "outcome must be"), ("huge", "more than the limit of 16,777,216")])
def test_a_report_that_cannot_be_kept_stalls_nothing(type_: str, what: str, plain: Plain) -> None:
    """Its job has failed and says why, the worker is told, both logs have it, and the next job runs."""
    client = plain.service.client()
    job, following = client.submit(type_, None), client.submit("reverse", "ab")
    assert following.result(timeout=30) == "ba"
    status = job.status()
    assert (status.state, status.reason) == ("failed", "bad_result") and what in (status.message or "")
    (rejected,) = plain.heard("rejected")
    assert (rejected["report"], rejected["message"]) == (1, status.message)
    plain.service.until(
        lambda: f"number 1 was rejected: {status.message}" in plain.service.broker.log, "the log has it"
    )


def test_a_broker_that_is_killed_hears_everything_later(plain: Plain) -> None:
    """The worker goes on, and repeats what was not acknowledged; nothing runs twice."""
    client = plain.service.client()
    job = client.submit("sleep", 0.3)
    plain.service.until_state(job.id, "in_progress")
    plain.service.broker.kill()
    plain.service.until(lambda: [one["kind"] for one in plain.reports()] == ["ended"], "the job has ended")
    plain.service.start_broker()
    assert plain.service.client().job(job.id).result(timeout=20) == 0.3
    assert plain.service.client().job(job.id).status().reruns == 0


def test_a_replaced_journal_makes_it_start_anew(plain: Plain) -> None:
    """`take_over`: the running job is killed, a new incarnation begins, and serves the other journal."""
    client = plain.service.client()
    job = client.submit("sleep", 60.0)
    plain.service.until_state(job.id, "in_progress")
    plain.service.broker.kill()
    plain.service.start_broker(journal=str(plain.service.place / "other.db"))
    assert plain.service.client().submit("reverse", "ab").result(timeout=20) == "ba"
    assert len({heartbeat["incarnation"] for heartbeat in plain.said("heartbeat")}) == 2


@pytest.mark.parametrize("signals", [1, 2])
def test_it_stops_in_order(signals: int, plain: Plain) -> None:
    """Once: the running job ends. Twice: it is interrupted. The rest goes back uncounted, to zworker or another one."""
    client = plain.service.client()
    for number in range(3):
        client.submit("reverse", f"{number}").result(timeout=20)
    first = client.submit("sleep", 0.5 if signals == 1 else 60.0)
    rest = client.submit_many("reverse", ["ab", "cd"])
    plain.service.until_state(first.id, "in_progress")
    for _ in range(signals):
        plain.service.worker.signal(signal.SIGTERM)
        plain.service.until_worker("stopping")
    assert plain.service.worker.ended() == 0
    status = first.status()
    assert (status.state, status.reason) == (("completed", None) if signals == 1 else ("failed", "worker_lost"))
    plain.start_worker()
    assert [job.result(timeout=20) for job in rest] == ["ba", "dc"] and {job.status().reruns for job in rest} == {0}


def test_with_keys_it_admits_its_broker_and_nobody_else(new_service: Callable[..., Service]) -> None:
    """It is the CURVE server of both sockets."""
    plain = Plain(new_service())
    service, keys = plain.service, plain.service.place / "keys"
    for words in (("init",), ("add", "ann", "--role", "operator", "--out", str(keys / "ann.key"))):
        assert service.run("broker", "keys", *words, "--keys", str(keys)).returncode == 0
    service.start_broker("--keys", str(keys))
    plain.start_worker(str(keys / "worker.key"))
    with Client(service.endpoint, 20, key=keys / "ann.key") as client:
        assert client.submit("reverse", "example").result(timeout=20) == "elpmaxe"
    (worker_key,) = re.findall(r"^public: (.+)$", (keys / "worker.key").read_text(), re.MULTILINE)
    intruder = service.context.socket(zmq.SUB)
    intruder.linger = 0
    intruder.curve_publickey, intruder.curve_secretkey = zmq.curve_keypair()
    intruder.curve_serverkey = worker_key.encode()
    monitor = intruder.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    monitor.rcvtimeo = 20_000
    intruder.connect(service.reports)
    assert recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    intruder.disable_monitor()
    monitor.close(linger=0)
    intruder.close()
