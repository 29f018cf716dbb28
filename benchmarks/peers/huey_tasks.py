"""The job as a task of Huey, on the SQLite file named by the environment variable BENCHMARK_HUEY."""

from __future__ import annotations

import os

from huey import SqliteHuey

huey = SqliteHuey(filename=os.environ["BENCHMARK_HUEY"])


@huey.task()  # type: ignore[untyped-decorator]
def reverse(text: str) -> str:
    """Return a string backwards: the job."""
    return text[::-1]
