"""Key files: one pair of CURVE keys each, and the public key of the other side.

    # zjobs key of alice (submitter). Whoever has this file is alice: keep it to yourself.
    name: alice
    public: <40 characters>
    secret: <40 characters>
    server: <40 characters>

`server` is the public key of the other side: the broker, for clients and for the worker.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

_KEY = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # Z85, rfc.zeromq.org/spec/32
_FIELDS = ("name", "public", "secret", "server")


class KeyFileError(Exception):
    """A key file that cannot be used; the text is a sentence."""


class Credential(NamedTuple):
    """A pair of keys in Z85 (40 characters each), its name, and the public key of the other side."""

    name: str
    public: str
    secret: str
    server: str


def load(path: str | Path) -> Credential:
    """Read a key file. Raises KeyFileError, also if others can read the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyFileError(f"the key file {path} is a link; links are not followed") from None
        raise KeyFileError(f"the key file {path} cannot be read: {error.strerror}") from None
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        status = os.fstat(descriptor)
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise KeyFileError(f"the key file {path} can be read by others: chmod 600 {path}")
        if status.st_uid not in (os.geteuid(), 0):
            raise KeyFileError(f"the key file {path} belongs to another user")
        fields = parse(file.read(10_000))
    if not all(fields.get(field) for field in _FIELDS) or not all(
        map(_KEY.fullmatch, [fields[f] for f in _FIELDS[1:]])
    ):
        raise KeyFileError(f"{path} is not a key file of zjobs; zbroker keys add makes one")
    return Credential(*(fields[field] for field in _FIELDS))


def save(path: str | Path, credential: Credential, comment: str) -> None:
    """Write a new key file that only its owner can read. Raises OSError, also if the file exists."""
    lines = [f"# {comment}", *(f"{field}: {value}" for field, value in zip(_FIELDS, credential))]
    write_new(path, "\n".join(lines) + "\n", 0o600)


def write_new(path: str | Path, content: str, mode: int) -> None:
    """Write a new file, never over an existing one. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def parse(content: str) -> dict[str, str]:
    """Return the `word: value` lines of a file."""
    lines = (line.partition(":") for line in content.splitlines() if not line.startswith("#"))
    return {word.strip(): value.strip() for word, _, value in lines}


def is_key(text: str) -> bool:
    """Return True if this is a key in Z85."""
    return _KEY.fullmatch(text) is not None
