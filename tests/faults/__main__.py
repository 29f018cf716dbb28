"""Exact faults, every one of them:  python -m tests.faults [--seed S] [--only WORD] [--write-docs]

SIGKILL before and after (and in the middle of) each write, flush, commit and send in turn; a full disk and I/O errors
at each write and flush; the session with PostgreSQL cut before, during and after each message (--only session). Prints
how many points were tried and what was wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))
sys.path.insert(0, str(Path(__file__).parents[1] / "history"))

from faulting.campaign import DISK, PYTHON, Campaign
from faulting.disk import NoCompiler, build
from faulting.forge import Forge
from faulting.sessions import HOW, SessionCampaign
from soaking import docs

from tests.postgres import Postgres, running_postgres
from tests.postgres_link import Link, broken_link

# In one life of a program; what comes later repeats what came before: a broker answers as long as somebody asks.
MOST_POINTS = {"send": 50, "commit": 50, "write": 100, "flush": 50, "message": 400}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="campaigns whose name has this in it, such as 'flush EIO'")
    parser.add_argument("--write-docs", action="store_true", help="puts the figures into docs/reliability.md")
    given = parser.parse_args()
    began = time.monotonic()
    rows: list[tuple[object, ...]] = []
    wrong = 0
    trials: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        library = None
        try:
            library = build(Path(folder))
        except NoCompiler as error:
            print(f"FAULTS OF THE DISK ARE LEFT OUT: {error}")
        with Forge(library) as forge, database() as link:
            for name, kind, campaign in campaigns(forge, library is not None, link):
                if given.only not in name:
                    continue
                outcome = campaign().run(most=MOST_POINTS[kind])
                print(f"{outcome.fired:5} points: {name}", flush=True)
                for sentence in [*outcome.troubles, *(f"{b.kind}: {b.sentence}" for b in outcome.verdict.breaches)]:
                    print(f"      {sentence}")
                    wrong += 1
                trials += outcome.verdict.trials
                rows.append((name, outcome.fired, outcome.refused or ""))
    rows.append(("all of them", sum(int(str(row[1])) for row in rows), sum(int(str(row[2] or 0)) for row in rows)))
    table = docs.table(("fault", "points tried", "of these: said `read_only`, answered on, recovered"), rows)
    zeros = ", ".join(f"0 × {kind} in {trials[kind]}" for kind in ("lost", "false acknowledgement", "overlap", "order"))
    print(*table, f"wrong: {wrong}", zeros, sep="\n")
    if given.write_docs and not wrong:
        docs.write("faults", [docs.occasion(f"{time.monotonic() - began:.0f} s"), "", *table, "", zeros + "."])
    return 1 if wrong else 0


@contextlib.contextmanager
def database() -> Iterator[tuple[Postgres, Link] | None]:
    """A server and the link to it; None without PostgreSQL."""
    try:
        with running_postgres() as server, broken_link(server) as link:
            yield server, link
    except pytest.skip.Exception as error:
        print(f"CUTS OF THE SESSION WITH POSTGRESQL ARE LEFT OUT: {error}")
        yield None


def campaigns(
    forge: Forge, disk: bool, link: tuple[Postgres, Link] | None
) -> Iterator[tuple[str, str, Callable[[], Campaign]]]:
    """The name of each, its kind of call, and how it is made."""
    for row in PYTHON + (DISK if disk else ()):
        program, kind, action = row
        yield f"{program}: {kind}, {action}", kind, partial(Campaign, forge, *row)
    if link is not None:
        for how in HOW:
            yield f"broker: session cut, {how} a message", "message", partial(SessionCampaign, forge, *link, how)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
