"""A copy of a journal that is cut at an exact message to PostgreSQL, or killed at an exact step on a file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from tests.copied import Place, claimed, closed, loaded
from tests.postgres_link import Link
from zjobs.broker import journals
from zjobs.broker.core.records.jobs import Loaded
from zjobs.broker.storage.api import JournalError, MaintenanceError, Misplaced
from zjobs.broker.storage.sqlite import opening


class Copies:
    """Copies in one direction, each of which is interrupted; `found`: what could be used afterwards."""

    def __init__(self, place: Place, direction: str) -> None:
        """The journal is in the source already."""
        self._place, self._direction = place, direction
        self._source, self._target = place.ends(direction)
        place.save()
        self._whole: Loaded = loaded(self._source)
        self.found: set[str] = set()
        self.fired = 0

    def cut(self, link: Link, how: str, points: Iterable[int]) -> None:
        """The session breaks before, during or after each of these messages, as far as there are any."""
        broken = [link.through(name) for name in (self._source, self._target)]
        for nth in points:
            self._place.again(self._direction)
            link.how, link.left = how, nth
            try:
                journals.copy(broken[0], broken[1])
            except (MaintenanceError, JournalError):
                self._look(*broken)
            else:
                fired, link.left = link.left is None, None
                self._look(*broken)
                if not fired:
                    return

    def messages(self, link: Link) -> int:
        """How many there are in a copy that nothing interrupts."""
        self._place.again(self._direction)
        before = link.carried
        journals.copy(link.through(self._source), link.through(self._target))
        return link.carried - before

    def steps(self) -> int:
        """How many there are in a copy that nobody kills, as `kill` counts them."""
        self._place.again(self._direction)
        return killed_at(None, lambda: journals.copy(self._source, self._target))[1]

    def kill(self, points: Iterable[int]) -> None:
        """The process is killed at each of these steps, as far as there are any."""
        for nth in points:
            self._place.again(self._direction)
            if not killed_at(nth, lambda: journals.copy(self._source, self._target))[0]:
                return
            self._look(self._source, self._target)

    def _look(self, source: str, target: str) -> None:
        """At most one can be used; the same command again does the rest, and everything is there."""
        closed()
        self.fired += 1
        found = self._place.usable(self._source), self._place.usable(self._target)
        assert found != (True, True), "both can be used"
        if not any(found):
            assert "does the rest" in refusal(target)
        if found[1]:
            assert "was moved" in refusal(source)
        else:
            journals.copy(source, target)
        closed()
        assert self._place.usable(self._target) and not self._place.usable(self._source)
        assert loaded(self._target) == self._whole
        self.found.add("source" if found[0] else "target" if found[1] else "neither")


def refusal(name: str) -> str:
    """What a broker says that is to start there."""
    try:
        claimed(name)
    except Misplaced as error:
        return str(error)
    finally:
        closed()
    raise AssertionError(f"a broker starts on {name}")


def killed_at(nth: int | None, act: Callable[[], object]) -> tuple[bool, int]:
    """Act in a process that is killed at the nth step of a file, each statement and each new name. Return whether it
    came to that, and the number of steps."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        steps = 0

        def step(*_: object) -> None:
            nonlocal steps
            steps += 1
            if steps == nth:
                os._exit(9)

        connect, replace = opening.connect, os.replace

        def traced(*args: Any) -> sqlite3.Connection:
            connection = connect(*args)
            connection.set_trace_callback(step)
            return connection

        def renamed(*args: Any) -> None:
            step()
            replace(*args)
            step()

        opening.connect, os.replace = traced, renamed  # type: ignore[assignment]
        act()
        os.write(writing, b"%d" % steps)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9), f"the copy ended with {code}"
        return code == 9, int(told.read() or 0)
