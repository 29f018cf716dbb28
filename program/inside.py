"""The knowledge that this program runs inside a task, and of which service: the one with this journal.

Environment variables carry it. So programs that a task starts know it, too, and find the broker of their own service by
themselves.
"""

from __future__ import annotations

import os

from zjobs.program.endpoints import ENVIRONMENT_VARIABLE as BROKER_VARIABLE

VARIABLE = "ZJOBS_TASK_OF"


def enter(journal: str, broker: str, before: str) -> None:
    """Record that this process, and what it starts, run tasks of the service with this journal.

    `broker` is where clients reach it; `before` is the `broker` of an earlier call; both may be empty. What the user
    has set for the worker stays.
    """
    os.environ[VARIABLE] = journal
    if os.environ.get(BROKER_VARIABLE, "") == before:
        os.environ.pop(BROKER_VARIABLE, None)
        if broker:
            os.environ[BROKER_VARIABLE] = broker


def runs_a_task() -> bool:
    """Return True inside a task of any service."""
    return VARIABLE in os.environ


def runs_task_of(journal: str) -> bool:
    """Return True inside a task of the service with this journal."""
    return bool(journal) and os.environ.get(VARIABLE) == journal
