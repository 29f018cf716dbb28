"""The job as a task of Celery, on the Redis at the port in the environment variable BENCHMARK_REDIS."""

from __future__ import annotations

import os

from celery import Celery

URL = f"redis://127.0.0.1:{os.environ['BENCHMARK_REDIS']}/0"
app = Celery("benchmark", broker=URL, backend=URL)
app.conf.broker_connection_retry_on_startup = True


@app.task  # type: ignore[untyped-decorator]
def reverse(text: str) -> str:
    """Return a string backwards: the job."""
    return text[::-1]
