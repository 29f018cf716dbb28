"""Figures in docs/reliability.md: blocks between markers, each written by the command that measured it."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/reliability.md"


def occasion(*facts: str) -> str:
    """Where and when: the date, the commit, the machine, and `facts` such as the seed."""
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    return ", ".join([today, f"commit {commit.stdout.strip() or 'unknown'}", *facts, machine])


def write(block: str, lines: list[str], page: Path = PAGE) -> None:
    """Replaces what stands between the markers of `block`. Raises ValueError when the page has no such block."""
    begin, end = f"<!-- figures: {block} -->", f"<!-- /figures: {block} -->"
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page} has no block {block}")
    body = "\n".join([begin, *lines, end])
    page.write_text(re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: body, text, flags=re.DOTALL))


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(map(str, row)) + " |" for row in [head, tuple("---" for _ in head), *rows]]
