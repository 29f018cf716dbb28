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

    def kill(self, points: Iterable[int]) -> None:
        """The process is killed at each of these steps, as far as there are any."""
        for nth in points:
            self._place.again(self._direction)
            if not dies(nth, lambda: journals.copy(self._source, self._target)):
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


def dies(nth: int, act: Callable[[], object]) -> bool:
    """Act in a process that is killed at the nth step of a file, each statement and each new name; whether it came to
    that."""
    child = os.fork()
    if child == 0:
        left = nth

        def step(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
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
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), f"the copy ended with {code}"
    return code == 9
