"""The results as text for a terminal and as Markdown for docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import GOALS, Goal

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

# Figures whose name does not end with a unit are rates a second.
UNITS = {"_us": "µs", "_ms": "ms", "_s": "s", "_mb": "MB", "_kb": "KB"}
Rows = list[tuple[str, ...]]


def text(record: dict[str, Any]) -> str:
    """Return the whole record for a terminal."""
    head = [f"{name}: {record[name]}" for name in ("date", "commit", "machine", "versions")]
    head += [f"cores, {placement}" for placement in record["placement"]]
    head += [f"not measured, {name}: {why}" for name, why in record["missing"].items()]
    if record["quick"]:
        head.append("quick: shortened, so rough")
    return "\n".join([*head, "", *_aligned(_figure_rows(record)), "", *_aligned(_goal_rows(record))])


def write_docs(record: dict[str, Any], page: Path) -> None:
    """Put the tables between the markers of `page`. Raises ValueError if it has none."""
    write_between(page, BEGIN, END, _markdown(record))


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put `text` between two markers of `page`. Raises ValueError if it has none."""
    before, begins, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise ValueError(f"{page} has no lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _markdown(record: dict[str, Any]) -> str:
    repeated = max(map(len, record["figures"].values()))
    head = (
        f"Measured on {record['date']} at commit `{record['commit']}`, {repeated} repetitions"
        f"{' (shortened)' if record['quick'] else ''}: {record['machine']}; {record['versions']}."
    )
    cores = [f"Cores, {placement}." for placement in record["placement"]]
    absent = [f"Not measured, {name}: {why}." for name, why in record["missing"].items()]
    goals, figures = _piped(_goal_rows(record)), _piped(_figure_rows(record))
    return "\n".join([head, *cores, *absent, "", *goals, "", *figures])


def _figure_rows(record: dict[str, Any]) -> Rows:
    rows: Rows = [("figure", "median", "lowest to highest", "unit")]
    for name, values in record["figures"].items():
        rows.append((name, _number(statistics.median(values)), _spread(values), unit_of(name)))
    return rows


def _goal_rows(record: dict[str, Any]) -> Rows:
    rows: Rows = [("goal", "median", "lowest to highest", "aim", "")]
    for goal in GOALS:
        values = list(_values_of(goal, record["figures"]))
        if values:
            median = statistics.median(values)
            reached = "reached" if goal.reached(median) else "not reached"
            rows.append((goal.title, _number(median), _spread(values), str(goal), reached))
    return rows


def _values_of(goal: Goal, figures: dict[str, list[float]]) -> Iterator[float]:
    """Return the goal's value in each repetition, where everything it needs was measured."""
    for repetition in range(max(map(len, figures.values()))):
        try:
            yield goal.measure({name: values[repetition] for name, values in figures.items()})
        except KeyError:
            return


def unit_of(name: str) -> str:
    """Return the unit of a figure, by the end of its name."""
    if ".us_per_job" in name or name.endswith((".p50", ".p99")):
        return "µs"
    if name.endswith("bytes_per_job"):
        return "bytes"
    if name.startswith("calls."):
        return "calls"
    ends = (unit for end, unit in UNITS.items() if name.endswith(end) and not name.endswith("_per_s"))
    return next(ends, "/s")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _spread(values: Sequence[float]) -> str:
    return f"{_number(min(values))} to {_number(max(values))}"


def _aligned(rows: Rows) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _piped(rows: Rows) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]
