"""The command line of the benchmarks."""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import run, table
from benchmarks.bench import FULL, QUICK, Bench, placements
from benchmarks.program import ROOT
from zjobs.program.cli import options
from zjobs.program.cli.options import Command, Option, Program, integer
from zjobs.program.cli.parse import UsageError, parse
from zjobs.program.version import VERSION

PAGE = ROOT / "docs" / "performance.md"
MOST_REPETITIONS = 100

BENCHMARKS = Program(
    "benchmarks",
    f"benchmarks of zjobs {VERSION}",
    """\
Benchmarks of zjobs, beside the floor (pyzmq and msgpack alone) and what people would
use instead. Run them as `python -m benchmarks` in the root of the repository, where
zjobs is installed, on a machine that does nothing else.""",
    (Command("", "", ""),),
    (
        Option("--only", "NAMES", "the figures to measure, with commas between, or none", default="all"),
        Option("--peers", "NAMES", "the peers to measure, with commas between, or none", default="all"),
        Option(
            "--repeat",
            "NUMBER",
            "how often everything is measured; the median counts",
            read=partial(integer, low=1, high=MOST_REPETITIONS),
            default="3",
        ),
        Option("--quick", "", "shorter and smaller: up to 100,000 jobs queued and not a million"),
        Option("--folder", "FOLDER", "where journals are written; if omitted, the system's temporary folder"),
        Option("--json", "FILE", "write what was measured into FILE"),
        Option("--from", "FILE", "measure nothing, show what --json wrote into FILE"),
        Option("--write-docs", "", "put the tables into docs/performance.md"),
    ),
    {0: "measured", 64: "wrong usage"},
    f"""\
Figures: {", ".join(run.FIGURES)}. The floor is always measured.
Peers: {", ".join(run.PEERS)}.
What a peer or figure lacks (pip install '.[bench]', redis-server, beanstalkd, strace) is said.""",
)


def main(argv: list[str]) -> int:
    """Run the benchmarks. Return 0, or 64 for wrong usage."""
    try:
        _, values = parse(BENCHMARKS, argv)
        record = _recorded(values) if values["--from"] else _measured(values)
    except UsageError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 64
    if values["--json"]:
        Path(values["--json"]).write_text(json.dumps(record, indent=1) + "\n")
    if values["--write-docs"]:
        table.write_docs(record, PAGE)
    print(table.text(record))
    return 0


def _recorded(values: dict[str, Any]) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(Path(values["--from"]).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"--from: {error}") from None
    return record


def _measured(values: dict[str, Any]) -> dict[str, Any]:
    figures = _chosen(values, "--only", run.FIGURES)
    wanted = _chosen(values, "--peers", run.PEERS)
    repeat = values["--repeat"]
    lacks = {name: why for name in [*figures, *wanted] if (why := run.missing(name)) is not None}
    figures, peers = ([name for name in names if name not in lacks] for names in (figures, wanted))
    with tempfile.TemporaryDirectory(prefix="zjobs-benchmarks.", dir=values["--folder"]) as folder:
        bench = Bench(QUICK if values["--quick"] else FULL, Path(folder), *placements())
        measured = run.measure(bench, figures, peers, repeat, lambda line: print(line, file=sys.stderr, flush=True))
        return {**run.circumstances(bench, values["--quick"]), "missing": lacks, "figures": measured}


def _chosen(values: dict[str, Any], option: str, names: tuple[str, ...]) -> list[str]:
    """Return the given names in the order of measuring."""
    given = {"all": list(names), "none": []}.get(values[option], values[option].split(","))
    for name in given:
        if name not in names:
            near = options.nearest(name, names)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(names)}"
            raise UsageError(f"{option}: there is no {name!r}; {hint}")
    return [name for name in names if name in given]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
