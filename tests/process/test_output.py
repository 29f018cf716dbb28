"""What tasks print, for real: kept by the broker, and complete in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Service

MIB = 1 << 20
A_MEGABYTE = 16 * 65_537  # of what `prints` prints


def test_output_is_complete_up_to_the_bound_and_in_a_file_beyond(new_service: Callable[..., Service]) -> None:
    """Nothing is missing and nothing doubled; of more than the bound the end is kept; show names the file."""
    service = new_service()
    service.start_broker("--max-output", "2MiB")
    service.start_worker("--logs", "logs")
    client = service.client()
    job = client.submit("prints", 1)
    job.wait(60)
    printed = job.log()
    assert len(printed) == A_MEGABYTE and printed.count(b"x" * 65_536) == printed.count(b"y" * 65_536) == 8
    job = client.submit("prints", 5)
    job.wait(60)
    end, shown = job.log(), client.show(job.id)
    assert shown.job.output_bytes == 5 * A_MEGABYTE and 2 * MIB <= len(end) <= 2 * MIB + (64 << 10)
    assert shown.output_file == str(service.place / f"work/logs/{job.journal}/job-{job.id}-run-1.log")
    whole = Path(shown.output_file).read_bytes()
    assert len(whole) == 5 * A_MEGABYTE and whole.endswith(end)
    log = service.zclient("log", str(job.id))
    assert end.endswith(log.stdout.encode()) and 0 < len(end) - len(log.stdout) <= 65_537 and "left out" in log.stderr
    assert shown.output_file in service.zclient("show", str(job.id)).stdout


@pytest.mark.parametrize("victim", ["broker", "worker"])
def test_what_was_printed_is_there_after_a_kill(service: Service, victim: str) -> None:
    """What the broker had heard before; of a broker also what comes after, once."""
    client = service.client()
    job = client.submit("prints_gate", victim)
    service.until(lambda: job.log() == b"before\n", "its output is there")
    if victim == "broker":
        service.broker.kill()
        service.start_broker()
        service.until(lambda: client.job(job.id).log() == b"before\n", "its output is still there")
        service.open_gate(victim)
        assert job.wait(20).output_bytes == 13 and job.log() == b"before\nafter\n"
    else:
        service.worker.kill()
        service.start_worker()
        assert job.wait(20).reason == "worker_lost" and job.log() == b"before\n"


def test_a_log_is_followed(service: Service) -> None:
    """To its end, over pieces, each once."""
    client = service.client()
    job = client.submit("prints_gate", "followed")
    service.until(lambda: job.status().output_bytes, "it has printed")
    service.open_gate("followed")
    assert service.zclient("log", "-f", str(job.id)).stdout == "before\nafter\n"
