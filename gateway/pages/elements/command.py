"""The command line that would submit a job like another. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from zjobs.client.protocol.job import NO_DATA
from zjobs.client.wording import text
from zjobs.messages.records import JobStatus

# A longer one is no use to anybody.
MOST_CHARS = 4_000


def command_of(job: JobStatus, data: Any, time_limit_ms: int | None) -> str:
    """Return the command, or nothing where it would be too long for one. `time_limit_ms`: the job's own."""
    command = " ".join(_quoted(word) for word in _words(job, data, time_limit_ms))
    return command if len(command) <= MOST_CHARS else ""


def _words(job: JobStatus, data: Any, time_limit_ms: int | None) -> Iterator[str]:
    yield from ("zclient", "submit")
    if job.name:
        yield from ("--name", job.name)
    if job.comment:
        yield from ("--comment", job.comment)
    if job.priority:
        yield f"--priority={job.priority}"
    if time_limit_ms is not None:
        yield f"--time-limit={time_limit_ms / 1000:g}s"
    if isinstance(data, dict) and all(isinstance(name, str) and name and "=" not in name for name in data):
        for name, value in data.items():
            if isinstance(value, bytes):
                yield from ("--arg", f"{name}=@{name}.bin")
            else:
                word = _word(value)
                yield from ("--arg", f"{name}=@{word}" if word.startswith("@") else f"{name}={word}")
        yield job.type
    elif isinstance(data, bytes):
        yield from ("--file", "data.bin", job.type)
    else:
        word = "" if data is NO_DATA else _word(data)
        if word.startswith("-"):
            yield "--"
        yield job.type
        if data is not NO_DATA:
            yield word


def _word(value: Any) -> str:
    return value if isinstance(value, str) else text.json_text(value, ascii_only=False)


def _quoted(word: str) -> str:
    """Return a word for a shell: bash and zsh read a word with control characters only as $'…'."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = "".join(c if c.isprintable() and c not in "\\'" else _escape(c) for c in word)
    return f"$'{escaped}'"


def _escape(character: str) -> str:
    if (short := {"\n": "\\n", "\t": "\\t", "\\": "\\\\", "'": "\\'"}.get(character)) is not None:
        return short
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\U{code:08x}"
