"""A bound on the journal: no more jobs are taken, and those that were are carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack


def test_a_full_journal_takes_no_jobs_and_finishes_those_it_has(new_service: Callable[..., Any]) -> None:
    """`info` warns before; forgetting makes room."""
    service = new_service()
    service.start_broker("--max-journal", "1MiB")
    job = {"type": "reverse", "data": msgpack.packb("x" * 10_000)}
    codes = []
    while not codes or codes[-1] is None:
        codes.append(service.ask("submit", request_key=f"k{len(codes)}", jobs=[job]).get("code"))
    assert codes[-1] == "queue_full" and 50 < len(codes) < 100
    assert any("1048576" in warning for warning in service.ask("info")["warnings"])
    service.start_worker()
    taken = len(codes) - 1
    service.until(lambda: service.ask("info")["completed"] == taken, "the jobs that were taken are carried out")
    assert service.ask("submit", request_key="more", jobs=[job])["code"] == "queue_full"
    service.ask("forget", ids=list(range(1, taken + 1)))
    assert service.ask("submit", request_key="more", jobs=[job])["op"] == "submit"
