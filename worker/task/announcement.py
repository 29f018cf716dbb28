"""The types of tasks, as a task process announces them, without serving any: for `zworker --check`."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time

from zjobs.messages.records import TaskType
from zjobs.messages.units import Ms
from zjobs.worker.core.interfaces import Printed
from zjobs.worker.task.process import TaskProcesses

LOOK_EVERY_S = 1.0

log = logging.getLogger("zworker")


class Unstartable(Exception):
    """A task process that does not start; the text is a sentence."""


def announced_types(modules: tuple[str, ...]) -> tuple[TaskType, ...]:
    """Return the types of the tasks in these modules. Raises Unstartable, OSError."""
    with contextlib.ExitStack() as stack:
        no_lock = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, no_lock)
        processes = TaskProcesses(modules, 1.0, no_lock, lambda marks: None)
        stack.callback(processes.close)
        processes.start()
        while processes.types is None:
            for event in processes.events():
                if isinstance(event, Printed):
                    log.info("%s", event.data.decode(errors="backslashreplace").rstrip())
            death = processes.died(Ms(time.monotonic_ns() // 1_000_000))
            if death is not None:
                raise Unstartable(processes.refusal or f"{death.how} before it was ready")
            select.select(processes.descriptors(), (), (), LOOK_EVERY_S)
        return processes.types
