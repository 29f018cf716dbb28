"""The commands of zclient that ask or submit; `batch` and `result`, which wait, are in `waiting`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from zjobs.client.cli import exit_codes, format, usage
from zjobs.client.cli.console import Output
from zjobs.client.client import Client
from zjobs.client.errors import NotPermitted, ZjobsError
from zjobs.client.job import new_request_key
from zjobs.client.protocol.job import NO_DATA, gone, ids_of, job_like
from zjobs.messages import values
from zjobs.messages.records import JobStatus, Missing
from zjobs.messages.requests import QueueReply, StatusReply, SubmitReply
from zjobs.program.cli.parse import UsageError


class Call(NamedTuple):
    """One run of zclient: the options and words as parsed, the broker's client, where to write."""

    args: dict[str, Any]
    client: Client
    output: Output

    @property
    def program(self) -> str:
        """zclient as it was called, up to the command: for commands that it names."""
        from shlex import quote  # most commands name none

        given = [(name, self.args[name]) for name in ("--broker", "--key") if self.args[name] is not None]
        return " ".join(["zclient", *(f"{name} {quote(value)}" for name, value in given)])


def submit(call: Call) -> int:
    for accepted in submitted(call, chosen_request_key(call)):
        for job_id in ids_of(accepted):
            call.output.line(str(job_id), {"id": job_id})
        call.output.flush()
    return exit_codes.DONE


def status(call: Call) -> int:
    if not call.args["ID"]:
        return _queue(call)
    reply = call.client.status(ids_of_words(call))
    _status_lines(call, reply)
    say_missing(call, reply.missing)
    return exit_codes.NO_SUCH_JOB if reply.missing else exit_codes.DONE


def _queue(call: Call) -> int:
    reply = call.client.queue()
    _status_lines(call, reply)
    if reply.queued > len(reply.jobs):
        call.output.note(f"{reply.queued} jobs are ready in all")
    elif not reply.jobs:
        call.output.note("nothing is in progress or ready to be (info counts what waits for its time)")
    return exit_codes.DONE


def _status_lines(call: Call, reply: StatusReply | QueueReply) -> None:
    around = {"worker": reply.worker, "paused": reply.paused}
    for job in reply.jobs:
        call.output.line(
            format.status_line(job, reply.worker, paused=reply.paused, program=call.program),
            {**job._asdict(), **around},
        )


def show(call: Call) -> int:
    reply = call.client.show(job_id_of(call.args["ID"]))
    if call.output.as_json:
        call.output.line("", reply)
        return exit_codes.DONE
    now = call.client.status([reply.job.id])
    kind = next((kind for kind in call.client.types().types if kind.name == reply.job.type), None)
    for line in format.show_lines(reply, now.worker, now.paused, call.output.raw, kind):
        call.output.line(line, None)
    return exit_codes.DONE


def types(call: Call) -> int:
    reply = call.client.types()
    if not reply.known:
        call.output.note("no worker has announced its types yet")
    for task, line in zip(reply.types, format.type_lines(reply.types)):
        call.output.line(line, task)
    return exit_codes.DONE


def info(call: Call) -> int:
    reply = call.client.info()
    if call.output.as_json:
        call.output.line("", reply)
        return exit_codes.DONE
    for line in format.info_lines(reply, call.client.address, _running(call, reply.worker.running)):
        call.output.line(line, None)
    return exit_codes.DONE


def _running(call: Call, job_id: int | None) -> JobStatus | None:
    """The job that runs, if there is one and it is ours to see."""
    try:
        jobs = () if job_id is None else call.client.status([job_id]).jobs
    except NotPermitted:
        return None
    return next(iter(jobs), None)


def say_missing(call: Call, missing: Iterable[Missing]) -> None:
    call.output.flush()
    for each in missing:
        call.output.error(each.code.value, str(gone(each)), id=each.id)


def ids_of_words(call: Call) -> list[int]:
    """The ids of the command line, each once; `-` stands for those on standard input."""
    words: list[str] = []
    for word in call.args["ID"]:
        words += _utf8(_open("-").read(), "standard input").split() if word == "-" else [word]
    if call.args["ID"] and not words:
        raise UsageError("there are no ids on standard input")
    return list(dict.fromkeys(map(job_id_of, words)))


def job_id_of(word: str) -> int:
    try:
        return usage.job_id(word)
    except ValueError as error:
        raise UsageError(str(error)) from None


# --- submitting, for `batch` too -----------------------------------------------------------------------------


def chosen_request_key(call: Call) -> str:
    request_key = call.args["--once"]
    return new_request_key() if request_key is None else str(request_key)


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


def repeat_hint(request_key: str) -> str:
    import shlex  # only where something went wrong

    return f"repeat with --once {shlex.quote(request_key)} to know: that makes no second job"


def _datas(args: dict[str, Any]) -> Iterable[Any]:
    """What the jobs get: the one thing that DATA or --arg say, or the lines of --lines, read as they are used."""
    data, arguments, lines = args["DATA"], args["--arg"], args["--lines"]
    if (data is not None) + bool(arguments) + (lines is not None) > 1:
        raise UsageError("DATA, --arg and --lines exclude each other")
    for value in (args["TYPE"], args["--once"], data, *arguments):
        _check_text(value)
    if lines is not None:
        return _lines(_open(lines), lines)
    if arguments:
        return [_named(arguments)]
    if data == "-":
        return [_utf8(_open("-").read(), "standard input")]
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
            raise UsageError(f"--arg {argument}: NAME=VALUE is expected")
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


def _open(path: str) -> BinaryIO:
    """The file to read bytes from; `-` is standard input."""
    if path == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _lines(file: BinaryIO, path: str) -> Iterator[str]:
    """Each line without its newline; only a newline ends a line."""
    with file:
        try:
            for line in file:
                yield _utf8(line.removesuffix(b"\n"), path)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _utf8(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 text (byte {error.start})") from None
