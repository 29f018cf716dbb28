"""The surroundings of every command of zclient: its options and words, its client, its output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, BinaryIO

from zjobs.client.cli.show.console import Output
from zjobs.client.cli.usage.options import job_id
from zjobs.client.client import Client
from zjobs.client.job import new_request_key
from zjobs.client.protocol.job import gone
from zjobs.client.wording import text
from zjobs.messages.named import NamedTuple
from zjobs.messages.records import Missing
from zjobs.program.cli.parse import UsageError


class Call(NamedTuple):
    """One run of zclient: the parsed options and words, the broker's client, and the output."""

    args: dict[str, Any]
    client: Client
    output: Output

    @property
    def program(self) -> str:
        """The call of zclient up to the command, for hints that name commands."""
        from shlex import quote  # not at the top: few commands name others

        given = [(name, self.args[name]) for name in ("--service", "--broker", "--key") if self.args[name] is not None]
        return " ".join(["zclient", *(f"{name} {quote(value)}" for name, value in given)])


def say_missing(call: Call, missing: Iterable[Missing]) -> None:
    """Print an error for each id without a job."""
    call.output.flush()
    for each in missing:
        call.output.error(each.code.value, str(gone(each)), id=each.id)


def print_value(call: Call, value: Any, fields: dict[str, Any]) -> None:
    """Print a result or data, or write it to the file of --output. The last of `fields`, for --json, is the value."""
    path = call.args.get("--output")
    if path is None:
        call.output.result(value, fields)
        return
    data = value if isinstance(value, bytes) else text.result_text(value).encode(errors="backslashreplace")
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    if call.output.as_json:
        call.output.line("", {**dict(list(fields.items())[:-1]), "file": path, "bytes": len(data)})


def job_id_of(word: str) -> int:
    """Return the job id in a word. Raises UsageError."""
    try:
        return job_id(word)
    except ValueError as error:
        raise UsageError(str(error)) from None


def open_bytes(path: str) -> BinaryIO:
    """Open the file to read bytes from; `-` is standard input. Raises UsageError."""
    if path == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def decoded(data: bytes, where: str) -> str:
    """Decode UTF-8. Raises UsageError."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 text (byte {error.start})") from None


def repeat_hint(request_key: str) -> str:
    """Return how to repeat a submit whose outcome is unknown."""
    import shlex  # not at the top: only needed when something went wrong

    return f"repeat with --once {shlex.quote(request_key)} to know: that makes no second job"


def chosen_request_key(call: Call) -> str:
    """Return the request key: that of --once, or a new one."""
    request_key = call.args["--once"]
    return new_request_key() if request_key is None else str(request_key)
