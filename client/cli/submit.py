"""The command `submit`, and submitting for `batch`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, chosen_request_key, decoded, open_bytes, repeat_hint
from zjobs.client.errors import ZjobsError
from zjobs.client.protocol.job import NO_DATA, ids_of, job_like
from zjobs.messages import values
from zjobs.messages.requests import SubmitReply
from zjobs.program.cli.parse import UsageError


def submit(call: Call) -> int:
    """Runs `zclient submit`."""
    for accepted in submitted(call, chosen_request_key(call)):
        for job_id in ids_of(accepted):
            call.output.line(str(job_id), {"id": job_id})
        call.output.flush()
    return exit_codes.DONE


def submitted(call: Call, request_key: str) -> Iterator[SubmitReply]:
    """Submits what the command line says; yields what is accepted, request by request.

    An error names the line of --lines that was not taken.
    """
    args = call.args
    datas = _datas(args)
    like = job_like(args["TYPE"], args["--priority"], args["--delay"], args["--time-limit"])
    taken = 0
    checked = True
    try:
        for accepted in call.client.submit_in_parts(like, datas, request_key):
            if checked and not accepted.checked:
                call.output.note("no worker has announced its types yet: the type was not checked")
            checked = accepted.checked
            taken += accepted.count
            yield accepted
    except (ZjobsError, UsageError) as error:
        if call.args["--lines"] is not None:
            error.args = (f"line {taken + 1}: {error}",)
            if isinstance(error, ZjobsError) and error.request_key is not None:
                error.request_key = request_key  # that of the whole: under it everything is repeated
        raise
    except KeyboardInterrupt:
        call.output.note(f"interrupted before an answer; {repeat_hint(request_key)}")
        raise


def _datas(args: dict[str, Any]) -> Iterable[Any]:
    """What the jobs get: the one thing that DATA or --arg say, or the lines of --lines, read as they are used."""
    data, arguments, lines = args["DATA"], args["--arg"], args["--lines"]
    if (data is not None) + bool(arguments) + (lines is not None) > 1:
        raise UsageError("DATA, --arg and --lines exclude each other: give one of them")
    for value in (args["TYPE"], args["--once"], data, *arguments):
        _check_text(value)
    if lines is not None:
        return _lines(open_bytes(lines), lines)
    if arguments:
        return [_named(arguments)]
    if data == "-":
        return [decoded(open_bytes("-").read(), "standard input")]
    return [NO_DATA if data is None else data]


def _check_text(value: str | None) -> None:
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise UsageError(f"{value!a} is not UTF-8 text") from None


def _named(arguments: list[str]) -> dict[str, Any]:
    """The map that `NAME=VALUE` words make: values are JSON where they parse as such, else text."""
    import json  # not needed to submit text

    named: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise UsageError(f"--arg {argument}: this is not NAME=VALUE")
        if name in named:
            raise UsageError(f"--arg {name} is given twice")
        try:
            named[name] = json.loads(value)
        except (ValueError, RecursionError):
            named[name] = value
    try:
        values.pack_value(named)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--arg: {error}") from None
    return named


def _lines(file: BinaryIO, path: str) -> Iterator[str]:
    """Each line without its newline; only a newline ends a line."""
    with file:
        try:
            for line in file:
                yield decoded(line.removesuffix(b"\n"), path)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None
