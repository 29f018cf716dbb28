"""The task of Procrastinate's worker."""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCHMARK_POSTGRESQL"]))


@app.task(name="reverse")
def reverse(text: str) -> str:
    """Return the text backwards."""
    return text[::-1]
