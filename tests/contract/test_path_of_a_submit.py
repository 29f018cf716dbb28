"""`The path of a submit` in docs/architecture.md is compared with calls recorded in real programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.conftest import Service

HERE = Path(__file__).parent
MOST_MODULES = 26
JOBS = 5
SUBMITS = f"""
from zjobs import Client

with Client() as client:
    for _ in range({JOBS}):
        assert client.submit("reverse", "abc").result() == "cba"
"""

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="frames do not tell qualified names")


class Call(NamedTuple):
    """A call or a return of a function; `who` is the program that ran it."""

    at_ns: int
    event: str
    who: str
    file: str
    function: str


def section() -> str:
    """The section of the page."""
    page = (HERE.parents[1] / "docs/architecture.md").read_text(encoding="utf-8")
    return page.split("\n## The path of a submit\n")[1].split("\n## ")[0]


def steps() -> list[tuple[str, str, str]]:
    """The rows of its table: program, file, function."""
    return re.findall(r"^\| ([\w ]+) \| `([\w/]+\.py)` `([\w.]+)` \|", section(), re.MULTILINE)


def named(heading: str) -> set[str]:
    """The files that the paragraph beginning with `heading` names."""
    paragraph = section().split(f"**{heading}**")[1].split("\n\n")[0]
    return set(re.findall(r"`([\w/]+\.py)`", paragraph))


def read_trace(folder: Path) -> list[Call]:
    """All calls of all programs, in the order of time."""
    calls = []
    for path in folder.iterdir():
        lines = [line.split(" ", 3) for line in path.read_text().splitlines()]
        files = {line[2] for line in lines}
        who = next(
            who
            for mark, who in (
                ("worker/task/inside/main.py", "task process"),
                ("worker/service.py", "worker"),
                ("broker/service.py", "broker"),
                ("", "client"),
            )
            if not mark or mark in files
        )
        calls += [Call(int(at), event, who, file, function) for at, event, file, function in lines]
    return sorted(calls)


def trips(calls: list[Call]) -> list[list[Call]]:
    """The calls from each submit to the next, of the broker those since the turn that admitted the job."""
    begins = [
        call.at_ns for call in calls if call[1:] == ("call", "client", "client/submitting.py", "Submitting.submit")
    ]
    found = []
    for begin, end in zip(begins, [*begins[1:], calls[-1].at_ns + 1]):
        trip = [call for call in calls if begin <= call.at_ns < end]
        turn = 0
        for call in trip:
            if call[1:] == ("call", "broker", "broker/service.py", "Broker._take_turn"):
                turn = call.at_ns
            elif call.function == "Core.submit":
                break
        found.append([call for call in trip if call.who != "broker" or call.at_ns >= turn])
    return found


def admitting_turn(trip: list[Call]) -> list[Call]:
    """What the broker calls in the first of its turns."""
    broker = [call for call in trip if call.who == "broker"]
    over = next(n for n, call in enumerate(broker) if call[1::3] == ("return", "Broker._take_turn"))
    return broker[:over]


def off_the_page(trip: list[Call]) -> list[str]:
    """What the page says otherwise than this trip: functions not called in the order of the page, files not named."""
    wrong = []
    for who in ("client", "broker", "worker", "task process"):
        first: dict[tuple[str, str], int] = {}
        for n, call in enumerate(trip):
            if call.who == who and call.event == "call":
                first.setdefault((call.file, call.function), n)
        last = -1
        for _, *step in (row for row in steps() if row[0] == who):
            place = first.get((step[0], step[1]))
            if place is None or place < last:
                wrong.append(f"{who}: {step[1]} is {'not called' if place is None else 'called earlier'}")
            last = max(last, place or 0)
    turn = {call.file for call in admitting_turn(trip)}
    page = named("On the path") | named("In every turn")
    wrong += [f"the turn calls {file}, which the page does not name" for file in sorted(turn - page)]
    wrong += [f"the turn does not call {file}" for file in sorted(page - turn)]
    return wrong


def traced(service: Service, place: Path) -> list[list[Call]]:
    """The trips of some jobs through a client, a broker and a worker, one after the other."""
    (place / "calls").mkdir()
    script = place / "submits.py"
    script.write_text(SUBMITS)
    service.env |= {"PYTHONPATH": str(HERE / "traced"), "TRACE": str(place / "calls")}
    service.start_broker()
    service.start_worker(tasks=False)
    service.until_worker("ready")
    ran = service.script(script)
    assert ran.returncode == 0, ran.stderr
    return trips(read_trace(place / "calls"))


def test_the_page_and_the_code_agree(new_service: Callable[..., Service], tmp_path: Path) -> None:
    """On one trip at least (in others, a heartbeat may have come in between); and few modules are on the path."""
    found = traced(new_service(), tmp_path)
    assert len(found) == JOBS and len(steps()) > 20
    wrong = min(map(off_the_page, found), key=len)
    assert not wrong, "\n".join(wrong)
    assert len(named("On the path")) <= MOST_MODULES
