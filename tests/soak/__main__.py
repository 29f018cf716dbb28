"""Kills, stops and cuts a running service under load, heals it, and checks the history of what everybody saw.

    python -m tests.soak --minutes 10 --seed 1            every kind of fault
    python -m tests.soak --kills 200 --seed 1             kill -9 alone, until there were so many of each
    python -m tests.soak --journal postgresql …            the journal is in a database, which fails, too
    python -m tests.soak --replay FILE                    the verdict over a history that was kept

The seed reproduces the schedule. A history that breaks a promise is kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "history"))

from checker import Verdict, check, load, save
from soaking import docs
from soaking.run import Soak, Soaked
from soaking.soak_tasks import result_of
from soaking.stage import SoakError, Stage

from tests.postgres import Postgres, running_postgres

MOST_SHOWN = 20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2.0, help="how long faults happen (default 2)")
    parser.add_argument("--kills", type=int, help="kill -9 alone, until broker and worker each had so many")
    parser.add_argument("--seed", type=int, help="of the schedule and the load (default: a new one)")
    parser.add_argument(
        "--clients", type=int, default=3, help="submitters, as many watchers and as many who wait (default 3)"
    )
    parser.add_argument("--journal", choices=("file", "postgresql"), default="file", help="where it is (default file)")
    parser.add_argument("--keep", type=Path, help="where the history goes, whatever the verdict")
    parser.add_argument("--replay", type=Path, help="judges a history that was kept, and runs nothing")
    parser.add_argument("--write-docs", action="store_true", help="puts the figures into docs/reliability.md")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    if given.replay is not None:
        return report(check(load(given.replay), result_of))
    if given.journal == "file":
        return soak(given, None)
    with running_postgres() as server:
        return soak(given, server)


def soak(given: argparse.Namespace, server: Postgres | None) -> int:
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    stage = Stage(seed, server)
    kept = given.keep or Path(f"soak-history-{seed}.jsonl").absolute()
    try:
        seconds = 86_400.0 if given.kills is not None else given.minutes * 60
        soaked = Soak(stage, given.clients, say).run(seconds, given.kills is not None, given.kills)
    except (SoakError, KeyboardInterrupt) as error:
        stage.close()
        save(load(stage.records), kept)
        print(f"{error or 'interrupted'}\nthe history so far: {kept}; everything else: {stage.place}")
        return 1
    stage.close()
    code = report(soaked.verdict)
    print(*lines_of(soaked), *soaked.troubles, sep="\n")
    if code or soaked.troubles or given.keep:
        save(load(stage.records), kept)
        print(f"the history: {kept} (judge it again with --replay)")
    if given.write_docs:
        block = "kills" if given.kills is not None else "soak"
        docs.write(block, [docs.occasion(f"seed {seed}", f"{soaked.seconds:.0f} s"), "", *lines_of(soaked)])
    stage.remove()
    return 1 if code or soaked.troubles else 0


def say(sentence: str) -> None:
    print(sentence, flush=True)


def lines_of(soaked: Soaked) -> list[str]:
    """The figures as a Markdown table."""
    rows: list[tuple[object, ...]] = [(name, count, "") for name, count in sorted(soaked.done.items())]
    rows += [(kind, breaches, f"{trials} {of}") for kind, breaches, trials, of in soaked.verdict.table()]
    rows += [("broker's memory at most", f"{soaked.broker_peak_kib / 1024:.0f} MiB", "")]
    rows += [("journal at the end", f"{soaked.journal_bytes / 1e6:.1f} MB", "")]
    return docs.table(("what", "count", "of"), rows)


def report(verdict: Verdict) -> int:
    for breach in verdict.breaches[:MOST_SHOWN]:
        print(f"{breach.kind}: {breach.sentence}")
    if len(verdict.breaches) > MOST_SHOWN:
        print(f"… and {len(verdict.breaches) - MOST_SHOWN} more")
    for kind, breaches, trials, of in verdict.table():
        print(f"{breaches:6} {kind} in {trials} {of}")
    sys.stdout.flush()
    return 1 if verdict.breaches else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads of the links may still wait for bytes
