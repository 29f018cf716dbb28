"""Copies of a journal's files, made such that the folder never shows half of one, and no broker interferes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from zjobs.broker.storage.api import CannotCreate, JournalError, MaintenanceError, StorageError, Unreadable
from zjobs.broker.storage.sqlite.header import LOG
from zjobs.program import lock

PIECE_BYTES = 1 << 20


def must_exist(file: str) -> None:
    """Raise MaintenanceError if there is no such file."""
    if not Path(file).exists():
        raise MaintenanceError(f"there is no file {file}")


@contextlib.contextmanager
def kept_from_brokers(file: str) -> Iterator[None]:
    """Keep brokers from claiming the journal meanwhile. Raises lock.Locked if one has it, OSError if that cannot be
    told.

    Where no lock can be made, as on read-only media, share the one that exists; if there is none, no broker has run
    there.
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


@contextlib.contextmanager
def in_the_making(file: str) -> Iterator[str]:
    """Yield a name beside `file` that nobody else uses; nothing is left there afterwards."""
    making = f"{file}.{os.urandom(4).hex()}.making"
    try:
        yield making
    finally:
        for suffix in ("", LOG):
            Path(making + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def blaming(making: str, source: str, target: str) -> Iterator[None]:
    """Name the file that is at fault: the source if the copy is not sound, the target if the disk does not accept
    it."""
    try:
        yield
    except (CannotCreate, Unreadable, StorageError) as error:
        raise MaintenanceError(f"{target} cannot be written: {str(error).replace(making, target)}") from error
    except JournalError as error:
        raise type(error)(str(error).replace(making, source)) from error


def copy_both(file: str, target: str, head: bytes = b"", head_at: int = 0) -> None:
    """Copy the file first, then its log: commits made in between are complete in the log.

    `head` replaces the file's bytes from `head_at` on.
    """
    copy(file, target, head, head_at)
    if Path(file + LOG).exists():
        copy(file + LOG, target + LOG)


def copy(file: str, target: str, head: bytes = b"", head_at: int = 0) -> None:
    """Copy one file to one that must not exist, readable by its owner only, and flush it to disk.

    Raises OSError with the name of the file that failed.
    """
    with open(file, "rb") as source, _created(target) as made:
        first = True
        while piece := _read(source.fileno(), file):
            if first and head:
                piece = piece[:head_at] + head + piece[head_at + len(head) :]
            first = False
            _write(made, piece, target)
        with _naming(target):
            os.fsync(made)


def flush_folder(file: str) -> None:
    """Flush the names in the folder of `file` to disk."""
    descriptor = os.open(Path(file).absolute().parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _created(target: str) -> Iterator[int]:
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
    """Add the file's name to errors of reads and writes, which lack it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, file) from error
