"""Copies of a journal, cut at every message and killed at every step:  python -m tests.faults.copies"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit/broker/storage"))

from faulting.copies import Copies
from journal_sample import everything

from tests.copied import DIRECTIONS, Place, claimed
from tests.postgres import running_postgres
from tests.postgres_link import broken_link


def filled(name: str) -> None:
    """Make a journal with something of everything in it, that nobody has open."""
    journal = claimed(name)
    journal.commit(everything())
    journal.release()


def main() -> int:
    with running_postgres() as server, tempfile.TemporaryDirectory() as folder, broken_link(server) as link:
        for direction in DIRECTIONS:
            for how in ("before", "during", "after", "kill"):
                place = Place(server, Path(folder))
                filled(place.ends(direction)[0])
                copies = Copies(place, direction)
                if how == "kill":
                    copies.kill(itertools.count(1))
                else:
                    copies.cut(link, how, itertools.count(1))
                print(f"{copies.fired:5} points: {direction}, {how}; usable: {sorted(copies.found)}", flush=True)
                place.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
