"""beanstalkd that flushes its log at every write (`-b DIR -f 0`): it acknowledges no job before it is on disk."""

from __future__ import annotations

import tempfile

from benchmarks.bench import Bench, Measured
from benchmarks.peers import beanstalk


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    with tempfile.TemporaryDirectory(prefix="beanstalkd.", dir=bench.directory) as folder:
        yield from beanstalk.measure(bench, "-b", folder, "-f", "0")
