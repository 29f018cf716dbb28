"""zclient on a real (pseudo) terminal: what jobs wrote cannot act on it, and the live line shows progress."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zjobs.client.cli import wait
from zjobs.client.protocol.events import watch
from zjobs.client.wording import text
from zjobs.messages.records import Paused, TaskType
from zjobs.messages.requests.changes import PauseReply, Submit, SubmitReply
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import Info, Status, TypesReply
from zjobs.messages.states import ErrorCode, JobState

QUEUED, RUNNING, COMPLETED, FAILED = (
    JobState.QUEUED,
    JobState.IN_PROGRESS,
    JobState.COMPLETED,
    JobState.FAILED,
)
# Clears the screen, sets the title, rewrites the line, as one byte, and what is only text.
EVIL = "a\x1b[2J\x1b]0;t\x07\rb\x9b2Jc\td\né漢👩\u200d🚀"
SHOWN = "a\\x1b[2J\\x1b]0;t\\x07\\rb\\x9b2Jc\td\r\né漢👩\u200d🚀"

Start = Callable[..., "subprocess.Popen[str]"]


class Terminal:
    """A pseudo terminal of 80 columns. `shown`: all that was written to it."""

    def __init__(self) -> None:
        self._controller, self.end = pty.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        modes = termios.tcgetattr(self.end)
        modes[1] &= ~termios.XTABS if hasattr(termios, "XTABS") else -1
        termios.tcsetattr(self.end, termios.TCSANOW, modes)
        self.shown = ""
        self._open = True

    def begun(self) -> None:
        """The program has it: our own end of it must not keep it open."""
        os.close(self.end)

    def read_until(self, wanted: str) -> None:
        while wanted not in self.shown:
            assert self._read(), f"{wanted!r} is not in {self.shown!r}"

    def read_to_the_end(self) -> str:
        while self._read():
            pass
        return self.shown

    def _read(self) -> bool:
        try:
            data = os.read(self._controller, 1 << 16)
        except OSError:  # that is how Linux tells the end of a terminal
            return False
        self.shown += data.decode(errors="surrogateescape")
        return bool(data)

    def close(self) -> None:
        os.close(self._controller)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def on_terminal(start: Start, terminal: Terminal) -> Callable[..., str]:
    """What zclient with these words shows when stdout and stderr are a terminal."""

    def shown(*argv: str) -> str:
        process = start(*argv, stdout=terminal.end, stderr=terminal.end)
        terminal.begun()
        whole = terminal.read_to_the_end()
        process.wait(30)
        return whole

    return shown


@pytest.mark.parametrize("argv", [("result", "17"), ("log", "17")])
def test_what_jobs_wrote_is_harmless(broker: Any, on_terminal: Callable[..., str], argv: tuple[str, ...]) -> None:
    """Control characters are shown, not sent; newlines, tabs and all that can be seen are as they are."""
    broker.add(17, COMPLETED, EVIL)
    broker.logs[17] = EVIL.encode()
    assert on_terminal(*argv).removesuffix("\r\n") == SHOWN


@pytest.mark.parametrize("argv", [("result", "17"), ("log", "17")])
def test_raw(broker: Any, on_terminal: Callable[..., str], argv: tuple[str, ...]) -> None:
    """--raw sends them as they are to a terminal too."""
    broker.add(17, COMPLETED, EVIL)
    broker.logs[17] = EVIL.encode()
    assert on_terminal(*argv, "--raw").removesuffix("\r\n") == EVIL.replace("\n", "\r\n")


@pytest.mark.parametrize("argv", [("result", "17"), ("log", "17"), ("log", "-f", "17")])
def test_through_a_pipe(start: Start, broker: Any, argv: tuple[str, ...]) -> None:
    """Through a pipe the bytes are those of the job, without an option."""
    broker.add(17, COMPLETED, EVIL)
    broker.logs[17] = EVIL.encode()
    out, err = start(*argv).communicate(timeout=30)
    assert (out.removesuffix("\n"), err) == (EVIL.replace("\r", "\n"), "")  # text mode reads \r as a newline


def test_bytes_on_a_terminal(broker: Any, on_terminal: Callable[..., str]) -> None:
    """A result of bytes is shown as text where it is text."""
    broker.add(17, COMPLETED, b"ok \x1b[2J \xff")
    assert on_terminal("result", "17") == "ok \\x1b[2J \\xff\r\n"


def test_a_log_that_is_not_text(broker: Any, on_terminal: Callable[..., str]) -> None:
    """Bytes that are no text are shown as such, an unfinished character at the end too."""
    broker.add(17, COMPLETED, "x")
    broker.logs[17] = b"ok \xff \xe2\x82"
    assert on_terminal("log", "17") == "ok \\xff \\xe2\\x82"


EVERYWHERE = [
    ("show", "17"),
    ("status", "17"),
    ("result", "17"),
    ("wait", "17"),
    ("watch", "17"),
    ("cancel", "17"),
    ("list",),
    ("batch", "t", "--max-wait", "9"),
    ("batch", "t", "--lines", "/dev/fd/0"),
    ("types",),
    ("info",),
    ("pause", "x"),
    ("status", "99"),
]


@pytest.mark.parametrize("argv", EVERYWHERE, ids=" ".join)
def test_no_text_of_a_job_reaches_a_terminal(
    broker: Any, start: Start, terminal: Terminal, argv: tuple[str, ...], tmp_path: Any
) -> None:
    """No command sends a control character that a job, a worker or a broker has put into a text."""
    evil = EVIL[:-5]

    def submitted(request: Submit) -> Any:
        broker.add(18, FAILED if len(request.jobs) == 1 else COMPLETED, evil, message=evil, type=evil)
        return SubmitReply(broker.journal, 18, 1, True)

    broker._submit = submitted
    broker.add(17, FAILED, message=evil, type=evil)
    broker._types = lambda _: TypesReply("j", True, (TaskType(evil, evil),))
    broker._pause = lambda _: PauseReply("j", Paused(1, evil), 17, (18,))
    broker.paused = Paused(1, evil)
    if argv[-1] == "99":
        broker.script = [lambda request: Error(ErrorCode.INTERNAL, evil)]
    lines = tmp_path / "lines"
    lines.write_text("a\n")
    with open(lines) as stdin:
        process = start(*argv, stdin=stdin, stdout=terminal.end, stderr=terminal.end)
    terminal.begun()
    shown = terminal.read_to_the_end()
    assert process.wait(30) in (0, 1, 5)
    for ours in ("\x1b[K", "\r\n"):  # of the live line and of the terminal itself
        shown = shown.replace(ours, "")
    shown = shown.replace("\r", "") if argv[0] in ("batch", "wait", "result", "cancel") else shown
    assert "a" in shown and not set(shown) & {"\x1b", "\x07", "\r", "\x9b"}


def test_a_table_on_a_terminal(broker: Any, on_terminal: Callable[..., str]) -> None:
    """list has a head and fits the width."""
    broker.add(9, FAILED, message="long " * 30)
    head, row, _ = on_terminal("list").split("\r\n")
    assert head.split() == ["ID", "STATE", "TYPE", "SUBMITTED", "TOOK", "MESSAGE"][: len(head.split())]
    assert row.startswith("9   failed  reverse  20") and len(row) == 80 >= len(head)


@pytest.mark.parametrize(("no_color", "kind"), [("", "xterm"), ("1", "xterm"), ("", "dumb")])
def test_the_queue_on_a_terminal(
    broker: Any, on_terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, no_color: str, kind: str
) -> None:
    """status fits the width, in colour unless NO_COLOR is set or the terminal has none."""
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", kind)
    coloured = not no_color and kind != "dumb"
    broker.add(16, FAILED, message="long " * 30, ended_at=1)
    broker.add(17, RUNNING, fraction=0.5)
    shown = on_terminal("status")
    plain = re.sub(r"\x1b\[\d+m", "", shown)
    assert ("\x1b[31m✗\x1b[0m" if coloured else "✗") + "  16" in shown and (plain == shown) == (not coloured)
    assert f"▶ 17  reverse\r\n  {'━' * 30}{'─' * 30}  50 %\r\n" in plain
    assert max(map(len, plain.split("\r\n"))) <= 80


def test_services_on_a_terminal(
    broker: Any, on_terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A table with a head; what is said of each service comes before its address where there is no room for both."""
    (tmp_path / "zjobs").mkdir()
    named = {"laser": broker.address, "a-mill-with-a-long-name": "tcp://127.0.0.1:1"}
    tables = [f'[services.{name}]\nbroker = "{address}"\nkey = ""\n' for name, address in named.items()]
    (tmp_path / "zjobs/config.toml").write_text('default = "laser"\n' + "".join(tables))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    broker.paused = Paused(1, "the lens cap is on")
    head, laser, mill, _ = on_terminal("services", "--timeout", "1").split("\r\n")
    assert head.split() == ["SERVICE", "STATE"] and "*  laser " in laser
    assert "paused: the lens cap is on, worker ready" in laser and mill.endswith("no answer (nothing listens there)")
    assert max(map(len, (head, laser, mill))) <= 80


def test_the_bar(start: Start, broker: Any, terminal: Terminal) -> None:
    """The live line of batch shows a bar, and the note, which a request fetches when an event tells of progress."""
    process = start("batch", "t", "x", stderr=terminal.end)
    terminal.begun()
    broker.subscribed.get(timeout=30)
    broker.wait_for(Status, 1)
    broker.add(1, RUNNING, elapsed_ms=1200, fraction=0.42, note="aligning\x1b[2J", progress=2)
    terminal.read_until("[########------------] 1 in progress for 1.")
    terminal.read_until(", 42 % (aligning\\x1b[2J)")
    assert len(broker.asked(Status)) == 2, "one at first, one for the note"
    broker.add(1, COMPLETED, "y")
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "1\ny\n")
    assert terminal.read_to_the_end().endswith("\r\x1b[K1 completed\r\n")
    assert max(len(line) for line in terminal.shown.replace("\x1b[K", "").split("\r")) < 80


def test_notes_of_a_task_that_reports_without_end(
    broker: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note is asked for though events never cease, and not again before some time has passed."""
    monkeypatch.setattr("zjobs.client.cli.show.console._is_terminal", lambda stream: True)
    monkeypatch.setattr(watch, "CHECK_EVERY_S", 3600.0)
    monkeypatch.setattr(wait, "NOTE_S", 3600.0)
    monkeypatch.setattr(wait, "LIVE_S", 0.05)

    def reports() -> None:
        broker.subscribed.get(timeout=30)
        more = 200
        for step in range(2, 5000):
            broker.add(1, RUNNING, progress=step, fraction=0.5, note=f"step {step}")
            never.wait(0.002)
            more -= len(broker.asked(Status)) > 1
            if not more:
                break
        broker.add(1, COMPLETED, "y")

    never = threading.Event()
    thread = threading.Thread(target=reports)
    thread.start()
    ran = run("batch", "t", "x")
    thread.join(30)
    assert ran.code == 0 and "50 % (step " in ran.err
    assert len(broker.asked(Status)) == 2


def test_a_paused_queue_in_the_live_line(start: Start, broker: Any, terminal: Terminal) -> None:
    """Whoever waits for a queued job sees that the queue is paused."""
    broker.paused = Paused(1, "lens cap")
    process = start("batch", "t", "x", stderr=terminal.end)
    terminal.begun()
    terminal.read_until("1 queued, 0 ahead (paused) (0.")
    broker.add(1, COMPLETED, "y")
    assert process.wait(30) == 0
    assert not broker.asked(Info), "the status says it"


def test_waiting_for_many_on_a_terminal(start: Start, broker: Any, terminal: Terminal) -> None:
    """wait shows how many have ended; for one job what it does."""
    for job_id in (1, 2):
        broker.add(job_id)
    process = start("wait", "1", "2", stderr=terminal.end)
    terminal.begun()
    terminal.read_until("0/2 ended")
    broker.add(2, COMPLETED, "x")
    terminal.read_until("1/2 ended")
    broker.add(1, COMPLETED, "x")
    out, _ = process.communicate(timeout=30)
    assert out == "2 completed\n1 completed\n"


@pytest.mark.parametrize("evil", ["\x1b", "\x9b", "\x07", "\r", "\x00", "\x7f", "\x85"])
def test_harmless(evil: str) -> None:
    """Every control character is shown as an escape; text of every script is left alone."""
    assert text.harmless(f"a{evil}b") == f"a{ascii(evil)[1:-1]}b"
    assert text.harmless("a\tb\né שלום 👩\u200d🚀") == "a\tb\né שלום 👩\u200d🚀"
