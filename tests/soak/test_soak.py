"""The soak in short: a few seconds of load and faults, and a sound history; for more see python -m tests.soak."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import msgpack
import pytest
import zmq
from checker import KINDS, Record, load, save
from soaking import docs
from soaking.asker import Asker
from soaking.proxy import Proxy
from soaking.recorder import Recorder
from soaking.run import accepted_ids, unanswered
from soaking.schedule import DATABASE, FAULTS, KILLS, steps
from soaking.stage import free_ports

from tests.postgres import programs_of_postgresql

ROOT = Path(__file__).parents[2]
SEED = 7


def soak(*options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.soak", *options]
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)


def test_a_few_kills_under_load_break_no_promise(tmp_path: Path) -> None:
    """Exit code 0, every kind of promise was tried, and the history that was kept gives the same verdict."""
    kept = tmp_path / "history"
    ran = soak("--kills", "1", "--seed", str(SEED), "--clients", "1", "--keep", str(kept))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"seed {SEED}" in ran.stdout
    for kind, of in KINDS.items():
        row = next(line for line in ran.stdout.splitlines() if line.startswith(f"| {kind} |"))
        assert row.startswith(f"| {kind} | 0 | ") and row.endswith(f" {of} |") and "| 0 " + of not in row
    replayed = soak("--replay", str(kept))
    assert replayed.returncode == 0 and replayed.stdout.splitlines()[0] in ran.stdout


@pytest.mark.postgres
def test_kills_of_the_database_break_no_promise_either() -> None:
    """Nor sessions that are ended, between kills of the broker and the worker."""
    programs_of_postgresql()
    ran = soak("--journal", "postgresql", "--kills", "2", "--seed", "9", "--clients", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "| database kills |" in ran.stdout and "| sessions ended |" in ran.stdout


def test_a_history_that_breaks_a_promise_is_told(tmp_path: Path) -> None:
    """Exit code 1, and the sentence says which job."""
    kept = tmp_path / "history"
    run: Record = {"what": "start", "at": 1.0, "token": "a", "pid": 7, "alone": False}
    save([run], kept)
    replayed = soak("--replay", str(kept))
    assert replayed.returncode == 1 and "overlap: a began" in replayed.stdout


def test_a_seed_gives_the_same_schedule_with_every_fault() -> None:
    """So that a failure can be looked for again."""
    assert list(islice(steps(SEED), 300)) == list(islice(steps(SEED), 300)) != list(islice(steps(SEED + 1), 300))
    assert {step.fault for step in islice(steps(SEED), 300)} == set(FAULTS)
    assert {step.fault for step in islice(steps(SEED, kills_only=True), 50)} == set(KILLS)
    assert {step.fault for step in islice(steps(SEED, kills_only=True, database=True), 50)} == set(KILLS + DATABASE)


def test_a_repeated_request_was_begun_when_its_key_was_first_used(tmp_path: Path) -> None:
    """The jobs may have been taken then, and run before the same client asks again."""
    records = tmp_path / "records"
    recorder = Recorder(records)
    with zmq.Context() as context, context.socket(zmq.REP) as broker, ThreadPoolExecutor(1) as threads:
        port = broker.bind_to_random_port("tcp://127.0.0.1")
        asker = Asker(f"tcp://127.0.0.1:{port}", recorder)
        for _ in range(2):
            answer = threads.submit(asker.submit, "key", "soak_once", ["a"])
            broker.recv()
            broker.send(msgpack.packb({"op": "submit", "first_id": 1, "count": 1, "journal": "j"}))
            answer.result(20)
        asker.close()
    recorder.close()
    first, again = (record for record in load(records) if record["what"] == "accepted")
    assert first["asked"] == again["asked"] < first["at"] < again["at"]


def test_what_nobody_answered_is_found() -> None:
    """A client killed in mid-request leaves its intention; only those without an answer are repeated."""
    asking = [{"what": "asking", "at": 1.0, "key": key} for key in ("a", "b")]
    answer = {"what": "accepted", "at": 2.0, "key": "a", "first_id": 4, "count": 2}
    assert list(unanswered([*asking, answer])) == asking[1:]
    assert accepted_ids([*asking, answer]) == {4, 5}


def test_figures_go_between_their_markers(tmp_path: Path) -> None:
    """Nothing else of the page changes; a page without the markers is refused."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: soak -->\nold\n<!-- /figures: soak -->\nafter\n")
    docs.write("soak", ["new \\1"], page)
    assert page.read_text() == "before\n<!-- figures: soak -->\nnew \\1\n<!-- /figures: soak -->\nafter\n"
    with pytest.raises(ValueError, match="no block kills"):
        docs.write("kills", [], page)


# --- the link that breaks ----------------------------------------------------------------------------------------


@pytest.fixture
def link() -> Iterator[tuple[Proxy, socket.socket, int]]:
    """(a proxy, the listener behind it, the port before it)"""
    near, far = free_ports(2)
    with socket.create_server(("127.0.0.1", far)) as listener:
        listener.settimeout(10)
        proxy = Proxy(near, far)
        yield proxy, listener, near
        proxy.close()


def joined(port: int, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(("127.0.0.1", port), timeout=10)
    far, _ = listener.accept()
    far.settimeout(10)
    near.sendall(b"there")
    assert far.recv(100) == b"there"
    far.sendall(b"back")
    assert near.recv(100) == b"back"
    return near, far


def test_a_cut_is_seen_by_both_and_heals(link: tuple[Proxy, socket.socket, int]) -> None:
    """Both ends read the end; who dials meanwhile is dropped; afterwards everything passes again."""
    proxy, listener, port = link
    near, far = joined(port, listener)
    with near, far:
        proxy.cut()
        assert near.recv(100) == far.recv(100) == b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as dropped:
        assert dropped.recv(100) == b""
    proxy.heal()
    for end in joined(port, listener):
        end.close()


def test_a_half_open_link_is_seen_by_one_side_only(link: tuple[Proxy, socket.socket, int]) -> None:
    """Who dialled reads the end; the other side reads nothing until it heals."""
    proxy, listener, port = link
    near, far = joined(port, listener)
    with near, far:
        proxy.half_open()
        assert near.recv(100) == b""
        far.settimeout(0.1)
        with pytest.raises(TimeoutError):
            far.recv(100)
        far.settimeout(10)
        proxy.heal()
        assert far.recv(100) == b""


def test_a_stalled_link_keeps_what_was_sent(link: tuple[Proxy, socket.socket, int]) -> None:
    """Nothing passes, not even the end, and then all of it."""
    proxy, listener, port = link
    near, far = joined(port, listener)
    with near, far:
        proxy.stall()
        near.sendall(b"late")
        far.settimeout(0.1)
        with pytest.raises(TimeoutError):
            far.recv(100)
        far.settimeout(10)
        proxy.heal()
        assert far.recv(100) == b"late"


def test_a_slow_link_passes_everything(link: tuple[Proxy, socket.socket, int]) -> None:
    """In bits, and unharmed; healed in the middle as well."""
    proxy, listener, port = link
    near, far = joined(port, listener)
    sent = bytes(range(256)) * 400
    with near, far:
        proxy.slow()
        near.sendall(sent)
        got = far.recv(100_000)
        assert len(got) < len(sent)
        proxy.heal()
        while len(got) < len(sent):
            got += far.recv(100_000)
        assert got == sent


def test_records_are_lines_that_every_process_appends(tmp_path: Path) -> None:
    """What a record says comes back as it was."""
    first, second = Recorder(tmp_path / "records"), Recorder(tmp_path / "records")
    first.note("start", token="a\n", pid=7, alone=True)
    second.note("end", token="a\n", pid=7, outcome="returned")
    first.close()
    second.close()
    lines = [json.loads(line) for line in (tmp_path / "records").read_text().splitlines()]
    assert [line["what"] for line in lines] == ["start", "end"] and lines[0]["at"] <= lines[1]["at"]
