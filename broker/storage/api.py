"""The interface between the broker and its storage. Each implementation passes
tests/unit/broker/storage/test_contract.py.

Every method may cost a round trip (attributes do not), so reads take lists and a turn is one commit. Foreign errors are
translated: a caller meets only those declared here.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import Job, Loaded
from zjobs.broker.core.records.needs import Found, Needs
from zjobs.broker.credentials import Credentials
from zjobs.messages.records import AuditEntry
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId


class StorageError(Exception):
    """A failure of the storage to answer or to accept a commit, at present; the text says why."""


class NotOwner(StorageError):
    """A use of a journal that this process does not own, or no longer owns. It can commit nothing."""


class JournalError(Exception):
    """A journal that cannot be used, and is left as it is. The text is a sentence for people."""


class Claimed(JournalError):
    """A journal that another broker owns. `holder`: what that broker said about itself."""

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class CannotCreate(JournalError):
    """A journal that does not exist and cannot be created there, or cannot be written at present."""


class Unreadable(JournalError):
    """A journal that cannot be read, or not by this user. That says nothing about its contents."""


class Misplaced(JournalError):
    """A backup in place of a journal, or the other way round; or a journal that was moved, or is not yet complete."""


class NotSafe(JournalError):
    """A storage that guarantees less than was asked for."""


class MaintenanceError(Exception):
    """A maintenance command that cannot be carried out; the text is a sentence. `claimed`: because a running broker has
    the journal."""

    def __init__(self, message: str, claimed: bool = False) -> None:
        super().__init__(message)
        self.claimed = claimed


class Guarantee(NamedTuple):
    """The guarantee of a commit: a sentence, and one for each setting that weakens it. `on_standby`: True if a commit
    waits until another server has it as well."""

    text: str
    warnings: tuple[str, ...] = ()
    on_standby: bool = False


class Journal(Protocol):
    """The jobs, and everything that belongs to them, for the one broker that owns the journal.

    Claim it, load it, announce yourself, then read and commit; release it at the end. Reads see what was committed, and
    nothing else.
    """

    @property
    def name(self) -> str:
        """The place of the journal, as `info` shows it: without secrets."""
        ...

    @property
    def engine(self) -> str:
        """The version of the database."""
        ...

    @property
    def journal_id(self) -> str:
        """The identity of the journal, which never changes. Known once the journal is claimed."""
        ...

    @property
    def guarantee(self) -> Guarantee:
        """The guarantee of a commit. Known once the journal is claimed."""
        ...

    @property
    def read_only(self) -> str | None:
        """The reason why nothing can be committed since a commit failed, or None."""
        ...

    @property
    def owned(self) -> bool:
        """True if this process certainly owns the journal now, known without a round trip. If not, it must send
        nothing."""
        ...

    @property
    def files(self) -> Files | None:
        """The broker's care of the journal's files; None if the database takes all of it."""
        ...

    # --- ownership ---------------------------------------------------------------------------------------------------

    def claim(self, holder: str) -> None:
        """Make this process the one owner. `holder`: who that is, for whoever is refused meanwhile.

        Creates the journal if there is none, and upgrades an older format; no record is written before `announce`.
        Raises Claimed if another broker owns it (trying again later may succeed), and JournalError.
        """
        ...

    def announce(self, holder: str) -> None:
        """Begin to serve; from here on, end with `release`. `holder` now also says where requests are received.

        Raises CannotCreate if the storage does not accept it.
        """
        ...

    def release(self) -> None:
        """End in an orderly way. Another broker may then claim the journal, even if this raises StorageError.

        Without `announce` before, the journal stays as it was.
        """
        ...

    # --- reading -----------------------------------------------------------------------------------------------------
    # Each raises StorageError if the storage does not answer or a record is damaged.

    def load(self) -> Loaded:
        """Return everything that the core keeps in memory. Raises JournalError if the journal turns out to be
        damaged."""
        ...

    def read(self, needs: Needs) -> Found:
        """Return the named records, in one round trip."""
        ...

    def page(self, below: JobId, state: JobState | None, most: int) -> tuple[list[Job], JobId]:
        """Return at most `most` jobs with ids below `below`, newest first, and the id to continue below, 0 at the end.

        For the rare states, failed and cancelled, it returns only such jobs; for other states, it may return jobs of
        any.
        """
        ...

    def audit(self, below: int, since_at: int, who: str | None, most: int) -> list[AuditEntry]:
        """Return at most `most` entries of the audit trail with numbers below `below`, newest first, none older than
        `since_at`. `who`: only the entries of this person, None for everybody's."""
        ...

    def ended(self, after: JobId, most: int) -> tuple[list[Job], JobId]:
        """Return those of the next `most` jobs with ids above `after` that ended, and the id to continue after, 0 at
        the end."""
        ...

    def size_bytes(self) -> int:
        """Return the size of the journal on disk, or in memory."""
        ...

    def used_bytes(self) -> int:
        """Return how much of that is in use: the space of forgotten jobs is free again. May be some seconds old."""
        ...

    # --- writing -----------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Write one turn, all or nothing, in one round trip; on return it is on disk.

        Raises NotOwner, and StorageError: then nothing of the turn may be sent, `read_only` says why, and the core is
        loaded anew. Settled deliveries are removed before new ones are added, because a number may come again in one
        turn.
        """
        ...

    def recover(self) -> None:
        """Make commits possible again after one failed. Raises StorageError while that is impossible. The core is
        loaded anew after it, because the outcome of the failed commit may have been unknown until now."""
        ...


class Files(Protocol):
    """The care that a broker takes of the journal's files between its turns. Each method raises StorageError."""

    def disk_bytes(self) -> tuple[int, int] | None:
        """Return the bytes of the disk that are free for this user, and those of the whole disk; None without a
        disk."""
        ...

    def give_back_space(self, pages: int) -> None:
        """Shrink the file by at most `pages` free pages."""
        ...

    def pause_checkpoints(self) -> None:
        """Leave the file unchanged from now on, and let only its log grow, so that both can be copied.

        Raises MaintenanceError if there is nothing to copy.
        """
        ...

    def resume_checkpoints(self) -> None:
        """End the checkpoint pause."""
        ...


class Maintenance(Protocol):
    """Maintenance of a journal from outside the broker, as files: `zbroker check` and so on.

    Each method returns a text for the operator, and raises MaintenanceError, JournalError, and OSError with the file's
    name.
    """

    def check(self) -> str:
        """Check a journal that no broker owns, and change nothing."""
        ...

    def backup(self, target: str, keys: Credentials | None) -> str:
        """Copy the journal to `target`, even while a broker runs on it. `keys`: for requests to that broker."""
        ...

    def restore(self, source: str) -> str:
        """Put the backup `source` in the place of the journal, under a new identity and paused."""
        ...
