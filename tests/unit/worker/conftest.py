"""Real task processes and a worker's surroundings, cleaned up whatever a test does."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zjobs.messages.dispatch import DispatchedJob, Ended
from zjobs.messages.values import pack_value
from zjobs.worker.core.interfaces import Death, TaskEvent
from zjobs.worker.task.process import TaskProcesses

LIMIT_S = 20.0


class Bench:
    """A runner under test, with what the worker's loop would do around it."""

    def __init__(self, runner: TaskProcesses) -> None:
        self.runner = runner
        self.ended: list[Ended] = []
        self.printed: dict[int, bytes] = {}
        self.death: Death | None = None
        self._next = 1

    def turn(self) -> None:
        self._hear(self.runner.events())
        death = self.runner.died(0)
        if death is not None:
            self.death = death
            self._hear(death.events)
        self.runner.feed()

    def _hear(self, events: list[TaskEvent]) -> None:
        for event in events:
            if isinstance(event, Ended):
                self.ended.append(event)
            else:
                self.printed[event.delivery] = self.printed.get(event.delivery, b"") + event.data

    def until(self, condition: Callable[[], object]) -> None:
        """Turns until the condition holds; fails after LIMIT_S."""
        deadline = time.monotonic() + LIMIT_S
        self.turn()
        while not condition():
            assert time.monotonic() < deadline, (len(self.ended), self.ended[-1:], self.death, self.runner.refusal)
            if self.runner.alive:
                select.select(self.runner.descriptors(), [], [], 0.2)
            self.turn()

    def start_again(self) -> None:
        """A new task process after the death of the last."""
        self.death = None
        self.runner.start()

    @property
    def offered(self) -> int:
        """How many jobs were offered."""
        return self._next - 1

    def offer(self, name: str, *data: object, result_bytes: int = 1 << 24) -> int:
        """Offers one job, with at most one datum; returns its number."""
        delivery, self._next = self._next, self._next + 1
        body = pack_value(data[0]) if data else None
        self.runner.offer(delivery, DispatchedJob(1000 + delivery, name, body, 1), result_bytes)
        return delivery

    def run(self, name: str, *data: object, result_bytes: int = 1 << 24) -> Ended:
        """Runs one job to its end."""
        delivery = self.offer(name, *data, result_bytes=result_bytes)
        self.until(lambda: any(ended.delivery == delivery for ended in self.ended))
        return next(ended for ended in self.ended if ended.delivery == delivery)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Starts a task process that has the given source as the tasks of a module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is held back is part of what is tested
    lock_fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    runners: list[TaskProcesses] = []

    def start(source: str = "", wait: bool = True) -> Bench:
        if source:
            header = "import os, signal, sys\nfrom zjobs.worker.tasks import task\n"
            (tmp_path / "mine.py").write_text(header + source)
        runner = TaskProcesses(("mine",) if source else (), 0, lock_fd, lambda marks: None)
        runners.append(runner)
        runner.start()
        it = Bench(runner)
        if wait:
            it.until(lambda: runner.types is not None)
        return it

    yield start
    for runner in runners:
        runner.close()
    os.close(lock_fd)
