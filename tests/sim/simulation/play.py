"""Plays scenarios from their first line to the drain at the end, and cuts those that fail down to what matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from simulation.store import MemoryStore, Store
from simulation.world import World


def play(lines: Sequence[str], store: Store | None = None) -> World:
    """The world after these lines and the drain. Raises AssertionError when a promise is broken on the way."""
    world = World(store or MemoryStore())
    try:
        for line in lines:
            world.do(line)
        if not lines or not lines[-1].startswith(("drain", "expect")):
            world.do("drain")
    finally:
        world.close()
    return world


def broken(
    lines: Sequence[str], counts: Counter[str] | None = None, new_store: Callable[[], Store] = MemoryStore
) -> str | None:
    """What went wrong when these lines were played, in a sentence, or None. `counts` gets what was seen added."""
    try:
        world = play(lines, new_store())
    except Exception as error:  # the cores' own assertions, KeyErrors and all: any of them is a bug
        return f"{type(error).__name__}: {error}"
    if counts is not None:
        counts.update(world.oracle.counts)
    return None


def shortened(lines: Sequence[str], new_store: Callable[[], Store] = MemoryStore) -> list[str]:
    """Fewer lines that go wrong as well."""
    kept = list(lines)
    size = len(kept) // 2
    while size:
        place = 0
        while place < len(kept):
            fewer = kept[:place] + kept[place + size :]
            if broken(fewer, None, new_store) is not None:
                kept = fewer
            else:
                place += size
        size //= 2
    return kept
