"""`zbroker check`, and what it shares with `backup` and `restore`: keeping brokers away, and copying files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zjobs.broker.storage.sqlite import Journal, JournalError, Kind
from zjobs.program import lock

PIECE_BYTES = 1 << 20
LOG = "-wal"


class MaintenanceError(Exception):
    """It cannot be done; the text is a sentence. `held` : because a running broker has the journal."""

    def __init__(self, message: str, held: bool = False) -> None:
        super().__init__(message)
        self.held = held


def check(file: str) -> str:
    """Looks through a journal or a backup that no broker has open, and changes nothing. Returns a sentence.

    Raises JournalError with what is wrong, UpkeepError, OSError.
    """
    must_exist(file)
    try:
        with kept_from_brokers(file), _in_a_readable_place(file) as place:
            return _told(file, _looked_through(place))
    except lock.Locked as error:
        raise MaintenanceError(
            f"a running broker has {file} open ({error.holder}); check a backup of it", True
        ) from None


def _looked_through(place: str) -> Journal:
    journal = Journal.open(place, "", as_it_is=True, kind=None)
    journal.check()
    return journal


def _told(file: str, journal: Journal) -> str:
    loaded = journal.load()
    counters = loaded.counters
    queued, waiting = sum(map(len, loaded.ready.values())), len(loaded.waiting)
    what = "a sound backup of" if journal.kind is Kind.BACKUP else "sound:"
    return (
        f"{file} is {what} journal {journal.journal_id}, {counters.next_id - 1} ids given, {queued} queued, "
        f"{waiting} waiting, {counters.completed} completed, {counters.failed} failed, {counters.cancelled} cancelled"
    )


@contextlib.contextmanager
def _in_a_readable_place(file: str) -> Iterator[str]:
    """SQLite reads a log only where it may write. Elsewhere a copy is looked at, if there is a log."""
    writable = os.access(file, os.W_OK) and os.access(Path(file).absolute().parent, os.W_OK)
    if writable or not _has_content(file + LOG):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="zjobs-check-") as folder:
        place = str(Path(folder, "journal.db"))
        copy_both(file, place)
        try:
            yield place
        except JournalError as error:
            raise type(error)(str(error).replace(place, file)) from error


def _has_content(file: str) -> bool:
    return os.path.exists(file) and os.stat(file).st_size > 0


def must_exist(file: str) -> None:
    if not Path(file).exists():
        raise MaintenanceError(f"there is no file {file}")


@contextlib.contextmanager
def kept_from_brokers(file: str) -> Iterator[None]:
    """No broker takes the journal up meanwhile. Raises lock.Locked when one has it, OSError when that cannot be said.

    Where no lock can be made, as on read-only media, one that is there is shared; where there is none, no broker came.
    """
    path = Path(file + ".lock")
    try:
        held: lock.Lock | None = lock.acquire(path)
    except OSError:
        held = lock.share(path)
    try:
        yield
    finally:
        if held is not None:
            held.release()


# --- copies ---------------------------------------------------------------------------------------------------------


def copy_both(file: str, target: str, head: bytes = b"", head_at: int = 0) -> None:
    """Copies the file first, then its log: what is committed in between stands whole in the log.

    `head` takes the place of the file's bytes from `head_at` on.
    """
    copy(file, target, head, head_at)
    if Path(file + LOG).exists():
        copy(file + LOG, target + LOG)


def copy(file: str, target: str, head: bytes = b"", head_at: int = 0) -> None:
    """Copies one file to one that must not exist, for its owner alone, and flushes it to disk.

    Raises OSError with the name of that file which failed, and UpkeepError.
    """
    with open(file, "rb") as source, _made(target) as made:
        first = True
        while piece := _read(source.fileno(), file):
            if first and head:
                piece = piece[:head_at] + head + piece[head_at + len(head) :]
            first = False
            _write(made, piece, target)
        with _naming(target):
            os.fsync(made)


@contextlib.contextmanager
def _made(target: str) -> Iterator[int]:
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int, file: str) -> bytes:
    with _naming(file):
        return os.read(descriptor, PIECE_BYTES)


def _write(descriptor: int, piece: bytes, target: str) -> None:
    rest = memoryview(piece)
    with _naming(target):
        while rest:
            rest = rest[os.write(descriptor, rest) :]


@contextlib.contextmanager
def _naming(file: str) -> Iterator[None]:
    """Reads and writes do not say of which file they failed."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, file) from error


def flush_folder(file: str) -> None:
    """Makes the names in the folder of `file` last."""
    descriptor = os.open(Path(file).absolute().parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(file: str) -> None:
    for suffix in ("", LOG):
        Path(file + suffix).unlink(missing_ok=True)
