"""What the broker asks of its storage. Each implementation passes tests/unit/broker/storage/test_contract.py.

Every method but the attributes may cost a round trip, so the reads take lists and a turn is one commit. Foreign
errors are translated: a caller meets those declared here, and nothing else.
"""

from __future__ import annotations

from typing import Protocol

from zjobs.broker.core.jobs import Changes, Job, Loaded
from zjobs.broker.core.needs import Found, Needs
from zjobs.broker.credentials import Credentials
from zjobs.messages.records import AuditEntry
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId


class StorageError(Exception):
    """The storage does not answer or does not take a commit, at present; the text says why."""


class NotOwner(StorageError):
    """This process does not own the journal, or no longer: it can commit nothing."""


class JournalError(Exception):
    """The journal cannot be used; it is left as it is. The text is a sentence for people."""


class Claimed(JournalError):
    """Another broker owns the journal; `holder` is what it said about itself."""

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class CannotCreate(JournalError):
    """There is no journal and none can be made there, or it cannot be written at present."""


class Unreadable(JournalError):
    """The storage does not give the journal out, or may not: that says nothing about what is in it."""


class Misplaced(JournalError):
    """A backup where a journal is meant, or the other way round."""


class MaintenanceError(Exception):
    """It cannot be done; the text is a sentence. `claimed`: because a running broker has the journal."""

    def __init__(self, message: str, claimed: bool = False) -> None:
        super().__init__(message)
        self.claimed = claimed


class Journal(Protocol):
    """Jobs and everything that belongs to them, for the one broker that owns the journal.

    Claim it, load it, announce yourself, then read and commit; release it at the end. The reads see what was committed,
    and nothing else.
    """

    @property
    def name(self) -> str:
        """Where the journal is, as `info` shows it: without secrets."""
        ...

    @property
    def engine(self) -> str:
        """The version of the database."""
        ...

    @property
    def journal_id(self) -> str:
        """The identity of the journal, which never changes. Known once it is claimed."""
        ...

    @property
    def read_only(self) -> str | None:
        """Why nothing can be committed since a commit failed, or None."""
        ...

    @property
    def owned(self) -> bool:
        """Whether this process is certain to own the journal now, without a round trip; if not, it must send nothing.

        A lock lasts until it is released. A lease ends by itself, unless a commit or `renew` extends it.
        """
        ...

    @property
    def renew_at_ms(self) -> int | None:
        """When `renew` is due (monotonic) if no commit comes before; None: never."""
        ...

    @property
    def files(self) -> Files | None:
        """The care that the broker takes of the journal's files; None where the database does all of it by itself."""
        ...

    # --- ownership ---------------------------------------------------------------------------------------------------

    def claim(self, holder: str) -> None:
        """Make this process the one owner. `holder`: who that is, told to whoever is refused meanwhile.

        Creates the journal where there is none, and brings an older format up to date; nothing else is written before
        `announce`. Raises Claimed when another broker owns it (then it may be tried again), and JournalError.
        """
        ...

    def announce(self, holder: str) -> None:
        """Begin to serve: from here on `release` is the way to end. `holder` says now where requests are taken.

        Raises CannotCreate when the storage does not take it.
        """
        ...

    def renew(self) -> None:
        """Extend the lease, if there is one. Raises NotOwner when it was lost, and StorageError."""
        ...

    def release(self) -> None:
        """End in an orderly way: another broker may claim the journal, also when this raises StorageError.

        Without `announce` before, the journal stays as it was.
        """
        ...

    # --- reading -----------------------------------------------------------------------------------------------------
    # Each raises StorageError when the storage does not answer or a record is damaged.

    def load(self) -> Loaded:
        """Everything that the core keeps in memory. Raises JournalError when the journal turns out to be damaged."""
        ...

    def read(self, needs: Needs) -> Found:
        """The records named, in one round trip."""
        ...

    def page(self, below: JobId, state: JobState | None, most: int) -> tuple[list[Job], JobId]:
        """At most `most` jobs with ids below `below`, newest first, and the id to go on below, 0 at the end.

        For the rare states, failed and cancelled, these jobs alone; for others those of all states may come.
        """
        ...

    def audit(self, below: int, since_at: int, who: str | None, most: int) -> list[AuditEntry]:
        """At most `most` entries of the audit trail with numbers below `below`, newest first, none older than
        `since_at`. `who`: only theirs; None: everybody's."""
        ...

    def ended(self, after: JobId, most: int) -> tuple[list[Job], JobId]:
        """Of the next `most` jobs with ids above `after`, those that ended; and the id to go on after, 0 at the end."""
        ...

    def size_bytes(self) -> int:
        """What the journal takes on disk, or in memory."""
        ...

    def used_bytes(self) -> int:
        """How much of that is in use: what was forgotten is free again. May be some seconds old."""
        ...

    # --- writing -----------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Write down one turn, all or nothing, in one round trip; on return it is on disk.

        Raises NotOwner, and StorageError: then nothing of it may be told to anybody, `read_only` says why, and the core
        is loaded anew. Settled deliveries go before new ones are added: a number may come again in one turn.
        """
        ...

    def recover(self) -> None:
        """Make commits possible again after one failed; the core is loaded anew after it, for the outcome of that
        commit may have been unknown until now. Raises StorageError while it is not possible."""
        ...


class Files(Protocol):
    """What a broker does about the journal's files between its turns. Each raises StorageError."""

    def disk_bytes(self) -> tuple[int, int] | None:
        """How much of the disk is free for this user, and all of it; None without a disk."""
        ...

    def give_back_space(self, pages: int) -> None:
        """Let the file shrink by at most `pages` of those that are free."""
        ...

    def pause_checkpoints(self) -> None:
        """From now on the file stays as it is and only its log grows, so that both can be copied.

        Raises MaintenanceError when there is nothing to copy.
        """
        ...

    def resume_checkpoints(self) -> None:
        """End that."""
        ...


class Maintenance(Protocol):
    """What an operator does with a journal from outside, where it lies in files of ours: `zbroker check` and so on.

    Each returns what to tell, and raises MaintenanceError, JournalError, and OSError with the file's name.
    """

    def check(self) -> str:
        """Look through a journal that no broker owns, and change nothing."""
        ...

    def backup(self, target: str, keys: Credentials | None) -> str:
        """Copy the journal to `target`, also while a broker runs on it. `keys`: to ask that broker with."""
        ...

    def restore(self, source: str) -> str:
        """Put the backup `source` in the place of the journal, under a new identity and paused."""
        ...
