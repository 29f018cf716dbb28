"""Plays made-up scenarios: python -m tests.sim [--seeds N] [--seed FIRST] [--length LINES] [--restoring]
           python -m tests.sim --postgresql [--seeds N] …            on a server that is started for it

Prints what was seen in all of them, and for a broken promise the seed and the scenario, cut down to the lines that
matter. Exit code 1 when one was broken.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from simulation.play import broken, shortened
from simulation.schedule import made_up
from simulation.store import DatabaseStore, MemoryStore, Store

from tests.postgres import running_postgres


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many scenarios")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--length", type=int, default=120, help="lines in each")
    parser.add_argument("--restoring", action="store_true", help="older journals are put in place, too")
    parser.add_argument("--postgresql", action="store_true", help="the journal is in PostgreSQL")
    given = parser.parse_args()
    if not given.postgresql:
        return search(given, MemoryStore)
    with running_postgres() as server:
        return search(given, lambda: DatabaseStore(server))


def search(given: argparse.Namespace, new_store: Callable[[], Store]) -> int:
    counts: Counter[str] = Counter()
    for seed in range(given.seed, given.seed + given.seeds):
        lines = made_up(seed, given.length, given.restoring)
        sentence = broken(lines, counts, new_store)
        if sentence is not None:
            print(f"seed {seed}: {sentence}", *shortened(lines, new_store), sep="\n  ")
            return 1
    print(
        f"{given.seeds} scenarios, none broke a promise;",
        ", ".join(f"{delivery} {what}" for what, delivery in counts.items()),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
