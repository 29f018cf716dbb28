"""Whether this program runs inside a task, and of which service: known by the journal's identity.

An environment variable, so that programs which a task starts know it, too.
"""

from __future__ import annotations

import os

VARIABLE = "ZJOBS_TASK_OF"


def enter(journal: str) -> None:
    """From now on this process and what it starts run tasks of the service with this journal."""
    os.environ[VARIABLE] = journal


def runs_task_of(journal: str) -> bool:
    """Whether this is inside a task of the service with this journal."""
    return bool(journal) and os.environ.get(VARIABLE) == journal
