"""The command `submit`, and the submits of `batch`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, chosen_request_key, decoded, open_bytes, repeat_hint
from zjobs.client.cli.schema.files import SchemaFiles
from zjobs.client.errors import ZjobsError
from zjobs.client.protocol.arguments import Given, data_of
from zjobs.client.protocol.job import NO_DATA, ids_of, job_like
from zjobs.client.protocol.schemas import Schemas
from zjobs.client.protocol.submission import Make
from zjobs.messages import values
from zjobs.messages.requests.changes import SubmitReply
from zjobs.program.cli.parse import UsageError

if TYPE_CHECKING:
    from zjobs.program.schema.parameters import Parameters


def submit(call: Call) -> int:
    """Run `zclient submit`."""
    for accepted in submitted(call, chosen_request_key(call)):
        for job_id in ids_of(accepted):
            call.output.line(str(job_id), {"id": job_id})
        call.output.flush()
    return exit_codes.DONE


def submitted(call: Call, request_key: str) -> Iterator[SubmitReply]:
    """Submit the jobs of the command line. Yield the replies, request by request.

    An error names the line of --lines that was not accepted.
    """
    return submitted_like(call, request_key, call.args["TYPE"], _givens(call.args), _data)


def submitted_like(
    call: Call, request_key: str, job_type: str, givens: Iterable[Any], make: Make
) -> Iterator[SubmitReply]:
    """Submit a job of this type, with the options of the command line, for each of `givens`. make: as in `Maker`."""
    args = call.args
    call.client.schemas = Schemas(SchemaFiles(call.client.addresses.text))
    for text in (job_type, args["--once"], args["--name"], args["--comment"]):
        _check_text(text)
    name, comment = args["--name"] or "", args["--comment"] or ""
    waits = args["--after"] or (), args["--after-any"] or ()
    limits = args["--priority"], args["--delay"], args["--time-limit"]
    like = job_like(job_type, *limits, name, comment, *waits, args["--at"], args["--start-by"])
    taken = 0
    checked = True
    try:
        for accepted in call.client.submit_in_parts(like, givens, request_key, make):
            if checked and not accepted.checked:
                call.output.note("no worker has announced its types yet: the type was not checked")
            checked = accepted.checked
            taken += accepted.count
            yield accepted
    except (ZjobsError, UsageError) as error:
        if call.args.get("--lines") is not None:
            error.args = (f"line {taken + 1}: {error}",)
            if isinstance(error, ZjobsError) and error.request_key is not None:
                error.request_key = request_key  # that of the whole: under it everything is repeated
        raise
    except KeyboardInterrupt:
        call.output.note(f"interrupted before an answer; {repeat_hint(request_key)}")
        raise


def _givens(args: dict[str, Any]) -> Iterable[Given]:
    """Return what is given for each job: words, --arg and --file for one, or the lines of --lines, read as they are
    used."""
    words, arguments, file, lines = args["ARG"], args["--arg"], args["--file"], args["--lines"]
    if lines is not None and (words or arguments or file is not None):
        raise UsageError("--lines excludes ARG, --arg and --file: each line is the ARG of a job")
    for value in (*words, *arguments):
        _check_text(value)
    if lines is not None:
        return (Given([line]) for line in _lines(open_bytes(lines), lines))
    read = [open_bytes("-").read() if word == "-" else word for word in words]
    return [Given(read, _named(arguments), None if file is None else _contents(file))]


def _data(given: Given, parameters: Parameters | None) -> Any:
    """Return the data that is meant, once it is certain that it can be sent."""
    data = data_of(given, parameters)
    try:
        values.pack_value(data if data is not NO_DATA else None)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"this cannot be sent: {error}") from None
    return data


def _check_text(value: str | None) -> None:
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise UsageError(f"{value!a} is not UTF-8 text") from None


def _named(arguments: list[str]) -> dict[str, str | bytes]:
    """Return what `NAME=VALUE` words give; bytes are the content of a file."""
    named: dict[str, str | bytes] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise UsageError(f"--arg {argument}: this is not NAME=VALUE")
        if name in named:
            raise UsageError(f"--arg {name} is given twice")
        is_file = value.startswith("@") and not value.startswith("@@")
        named[name] = _contents(value[1:]) if is_file else value.removeprefix("@")
    return named


def _contents(path: str) -> bytes:
    with open_bytes(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _lines(file: BinaryIO, path: str) -> Iterator[str]:
    """Yield each line without its newline; only a newline ends a line."""
    with file:
        try:
            for line in file:
                yield decoded(line.removesuffix(b"\n"), path)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None
