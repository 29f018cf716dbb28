"""zclient as a process: signals, closed pipes and a real terminal, against a scripted broker."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from zjobs.messages.records import JobStatus
from zjobs.messages.requests.changes import Submit
from zjobs.messages.requests.queries import Queue, Status
from zjobs.messages.states import JobState

Start = Callable[..., "subprocess.Popen[str]"]


def test_interrupted_wait(start: Start, broker: Any) -> None:
    """Ctrl+C in batch ends the wait alone: the job goes on, the command that fetches the result is named; 130."""
    process = start("batch", "reverse", "x")
    assert process.stdout is not None and process.stdout.readline() == "1\n"
    broker.subscribed.get(timeout=30)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.endswith("zclient: interrupted; job 1 goes on: zclient result 1 --wait\n")
    assert "Traceback" not in err


def test_interrupted_submit(start: Start, broker: Any) -> None:
    """Ctrl+C before the answer: whether the job was taken is unknown, so the key is printed."""
    broker.script = [lambda request: None] * 10
    process = start("submit", "reverse", "x", "--once", "mine", "--timeout", "60")
    while not broker.requests:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "repeat with --once mine" in err and "Traceback" not in err


IMPORT_THEN_INTERRUPT = """
import sys, os, signal
class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, AtImport())
from zjobs.client.__main__ import main
sys.exit(main(["info"]))
"""


@pytest.mark.parametrize(
    ("module", "code"), [("zjobs.program.cli.parse", -signal.SIGINT), ("docopt", 130), ("zmq", 130), ("msgpack", 130)]
)
def test_interrupted_import(start: Start, module: str, code: int) -> None:
    """Ctrl+C during the imports leaves no traceback, whether it is still the signal that ends us or our handler."""
    process = start(module, program=("-c", IMPORT_THEN_INTERRUPT))
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (code, "")


def test_an_ignored_interrupt_stays_ignored(start: Start, broker: Any) -> None:
    """Under nohup and the like Ctrl+C is ignored, and zclient leaves it so."""
    process = start("batch", "reverse", "x", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert process.stdout is not None and process.stdout.readline() == "1\n"
    broker.subscribed.get(timeout=30)
    process.send_signal(signal.SIGINT)
    broker.add(1, JobState.COMPLETED, "y")
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "y\n")


def test_a_reader_that_leaves(start: Start, broker: Any) -> None:
    """`zclient ... | head` ends without a word."""
    for job_id in range(1, 20_000):
        broker.jobs[job_id] = JobStatus(job_id, "t", JobState.QUEUED, 0, 0, 1, 0, 0, ahead=job_id)
    process = start("status", *map(str, broker.jobs), "--timeout", "30")
    assert process.stdout is not None and process.stdout.readline() == "1 queued, 1 ahead\n"
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr is not None and process.stderr.read() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk(start: Start) -> None:
    """Output that cannot be written is said, once, without a traceback."""
    with open("/dev/full", "w") as full:
        process = start("types", stdout=full)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (74, "zclient: cannot write the output: No space left on device\n")


def test_closed_streams(start: Start, broker: Any) -> None:
    """Without stdout, stderr or stdin zclient still does its work, or says what it lacks."""
    shell = {"program": ("-c", "import os, sys; os.execv('/bin/sh', ['sh', '-c', sys.argv[2], sys.argv[1]])")}
    client = f"{sys.executable} -m zjobs.client"
    assert start("x", f"{client} submit reverse x >&-", **shell).wait(30) == 0
    assert start("x", f"{client} batch nosuch --max-wait 0 2>&-", **shell).wait(30) == 4
    assert len(broker.asked(Submit)) == 2
    process = start("x", f"{client} submit reverse - <&-", **shell)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (2, "zclient: standard input is closed\n")


def test_a_terminal(start: Start, broker: Any) -> None:
    """On a real terminal the live line counts on by itself, without a request."""
    controller, terminal = pty.openpty()
    process = start("batch", "reverse", "x", stderr=terminal)
    os.close(terminal)
    broker.subscribed.get(timeout=30)
    shown = ""
    while not re.search(r"\r1 queued, 0 ahead \((0\.[4-9]|[1-9]\d*\.\d) s\)\x1b\[K", shown):
        shown += os.read(controller, 4096).decode()
    assert len(broker.asked(Status)) == 1
    broker.add(1, JobState.COMPLETED, "y")
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "1\ny\n")
    os.close(controller)


HEAVY = {"dataclasses", "inspect", "json.tool", "asyncio", "logging", "uuid", "tempfile", "subprocess"}


def test_submit_imports_little(start: Start, broker: Any) -> None:
    """A cold submit does not import what it does not need (some of it zmq imports by itself)."""
    listed = "import sys; from zjobs.client.__main__ import main; main(sys.argv[1:]); print(*sys.modules)"
    process = start("submit", "reverse", "x", program=("-c", listed))
    out, _ = process.communicate(timeout=30)
    base = subprocess.run([sys.executable, "-c", "import sys, zmq, msgpack; print(*sys.modules)"], stdout=-1, text=True)
    extra = set(out.split()) - set(base.stdout.split())
    assert not extra & {*HEAVY, "json", "base64", "difflib", "importlib.metadata"}


def test_ctrl_c_while_a_pause_waits(start: Start, broker: Any) -> None:
    """The pause stays on, and that is said."""
    broker.add(1, JobState.IN_PROGRESS)
    broker.dispatched = [1]
    process = start("pause", "lens cap", "--wait")
    broker.wait_for(Queue, 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and out == "paused: lens cap\n" and broker.paused is not None
    assert "zclient: interrupted; the pause stays on until zclient" in err and " resume" in err
