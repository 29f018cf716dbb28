"""A turn with a journal: read, decide, commit, and only then send."""

from __future__ import annotations

from zjobs.broker.core.records.jobs import Instant, Loaded
from zjobs.broker.core.records.needs import NOTHING, Read, TurnNeeds
from zjobs.broker.storage.api import Journal, StorageError
from zjobs.broker.turn import Inputs, Said, Turn


def take_turn(turn: Turn, journal: Journal, inputs: Inputs, now: Instant) -> Said:
    """Take one turn. While the journal cannot be written, refuse all changes."""
    if journal.read_only:
        return turn.refuse(inputs, journal.read_only)
    try:
        decided = turn.decide(inputs, read(journal, turn.needs(inputs, now)), now)
        if decided.changes:
            journal.commit(decided.changes)
        if decided.free_pages and journal.files is not None:
            journal.files.give_back_space(decided.free_pages)
    except StorageError as error:
        return turn.failed(error, _loaded(journal), inputs, now)
    return turn.committed(decided, now)


def try_writing(turn: Turn, journal: Journal, now: Instant) -> bool:
    """Try again to write to a journal that could not be written. If it succeeds, load the state anew and return True:
    the outcome of the commit that failed may have been unknown until now."""
    try:
        journal.recover()
        loaded = journal.load()
    except StorageError as error:
        turn.still_failing(error, now)
        return False
    turn.recovered(loaded, now)
    return True


def _loaded(journal: Journal) -> Loaded | None:
    """Return the committed state, or None while the storage does not answer."""
    try:
        return journal.load()
    except StorageError:
        return None


def read(journal: Journal, needs: TurnNeeds) -> Read:
    """Read the records that a turn needs. Raises StorageError."""
    records = needs.records
    return Read(
        records,
        journal.read(records) if any(records) else NOTHING,
        None if needs.ended is None else journal.ended(*needs.ended),
        journal.used_bytes() if needs.used_bytes else 0,
    )
