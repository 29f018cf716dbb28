"""The type `command`: programs as jobs. `zworker --commands` imports this module; docs/protocol.md defines its data."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from shlex import quote
from typing import Annotated

from msgspec import Meta

from zjobs.messages.records import COMMAND
from zjobs.worker.tasks import BadData, CommandFailed, run, task

STOP_S = 5.0
GRACE_S = STOP_S + 1
# What a command must not learn from the worker's environment.
SECRET = ("ZJOBS_KEY", "PGPASSWORD", "ZGATEWAY_ADMIN_PASSWORD")
NO_DIRECTORY, NOT_EXECUTABLE, NO_PROGRAM = 125, 126, 127  # the codes of env(1), known from shells


@task(name=COMMAND, grace=GRACE_S)
def command(
    argv: Annotated[list[str], Meta(min_length=1)], cwd: str | None = None, env: dict[str, str] | None = None
) -> int:
    """Run a program on the worker's host, as the worker's account.

    argv: the program, and its arguments
    cwd: the directory in which it runs, if not the worker's
    env: variables that are added to the worker's environment
    """
    environment = _environment(cwd, env or {})
    try:
        code = run(argv, check=False, stop=STOP_S, cwd=cwd, env=environment)
    except OSError as error:
        raise _not_started(error, argv[0], cwd, environment) from None
    except ValueError as error:  # NUL in a text, '=' in the name of a variable
        raise BadData(f"{COMMAND}: {error}") from None
    if code:
        raise CommandFailed(f"exited with code {code}" if code > 0 else f"ended by {_signal_name(-code)}", code)
    return code


def _environment(cwd: str | None, added: Mapping[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in SECRET}
    return {**own, "PWD": os.getcwd() if cwd is None else cwd, **added}


def _not_started(error: OSError, program: str, cwd: str | None, environment: Mapping[str, str]) -> CommandFailed:
    """Return what keeps the program from being started. `error`: what Popen raised; it names the directory, if that is
    to blame."""
    why, host = error.strerror or str(error), socket.gethostname()
    if cwd is not None and error.filename == cwd:
        missing = error.errno == errno.ENOENT
        how = f"there is no directory {quote(cwd)}" if missing else f"the directory {quote(cwd)} cannot be entered"
        return CommandFailed(f"{how} on {host}" if missing else f"{how} on {host}: {why}", NO_DIRECTORY)
    name = quote(program)
    if error.errno == errno.ENOENT and not _exists(program, cwd, environment):
        where = f"in {quote(environment['PWD'])}" if "/" in program else "in PATH"
        return CommandFailed(f"there is no program {name} {where} on {host}", NO_PROGRAM)
    if error.errno == errno.ENOENT:
        why = "the interpreter that its first line names does not exist"
    elif error.errno == errno.EACCES:
        why = "it is not executable"
    elif error.errno == errno.ENOEXEC:
        why = "it is neither a binary nor a script that begins with #!"
    return CommandFailed(f"{name} cannot be run on {host}: {why}", NOT_EXECUTABLE)


def _exists(program: str, cwd: str | None, environment: Mapping[str, str]) -> bool:
    if "/" in program:
        return os.path.exists(os.path.join(cwd or "", program))
    return shutil.which(program, path=environment.get("PATH", os.defpath)) is not None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
