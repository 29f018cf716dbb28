"""The start of zworker: its configuration from the command line, and an exit code for each reason to end."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from zjobs.messages.records import TaskType
from zjobs.messages.units import Ms
from zjobs.program import endpoints, keyfiles, logs
from zjobs.program.cli.parse import UsageError, parse
from zjobs.worker import service
from zjobs.worker.files import worker_lock
from zjobs.worker.task.announcement import Unstartable, announced_types
from zjobs.worker.usage import (
    EX_CANTCREAT,
    EX_CONFIG,
    EX_OK,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
    ZWORKER,
)

log = logging.getLogger("zworker")

COMMANDS = "zjobs.worker.commands"  # the module with the type that --commands adds


class _Open(Exception):
    """An address that anybody could reach; the text is a sentence."""


def main(argv: list[str] | None = None) -> int:
    """Run zworker; return its exit code (see the help text)."""
    _open_standard_descriptors()
    try:
        _, values = parse(ZWORKER, sys.argv[1:] if argv is None else argv)
        config = _config(values)
        _start_log(values["--log-level"])
        _warn_of_commands(config)
    except (UsageError, ValueError) as error:
        return _refused(EX_USAGE, f"{error}")
    except (keyfiles.KeyFileError, _Open) as error:
        return _refused(EX_CONFIG, f"{error}")
    return _served(config, only_check=values["--check"])


def _served(config: service.Config, only_check: bool) -> int:
    try:
        if only_check:
            print(*map(_described, announced_types(config.tasks)), sep="\n")
        else:
            service.serve(config)
    except worker_lock.Taken as taken:
        return _refused(EX_TEMPFAIL, str(taken))
    except service.Unbindable as unbindable:
        return _refused(EX_UNAVAILABLE if unbindable.in_use else EX_CANTCREAT, str(unbindable))
    except Unstartable as unstartable:
        return _refused(EX_CONFIG, str(unstartable))
    except service.Lost as lost:
        return _refused(EX_CANTCREAT, str(lost))
    except OSError as error:
        return _refused(EX_CANTCREAT, f"cannot start: {error}")
    return EX_OK


def _described(type: TaskType) -> str:
    return f"{type.name}  {type.description}".rstrip()


def _config(values: dict[str, Any]) -> service.Config:
    """Return the configuration. Raises ValueError, KeyFileError and _Open with a sentence."""
    pipe = values["--pipe"]
    reports = values["--reports"] or endpoints.checked(_after(pipe))
    if pipe == reports:
        raise ValueError(f"--pipe and --reports must differ; both are {pipe}")
    key = None if values["--key"] is None else keyfiles.load(values["--key"])
    for endpoint in (pipe, reports):
        if key is None and not values["--insecure"] and not endpoints.is_local(endpoint):
            raise _Open(
                f"{endpoint} can be reached from other hosts, by anybody: give the worker its key "
                "(zbroker keys init makes it, then --key FILE), or say --insecure if that is what you want"
            )
    return service.Config(
        pipe,
        reports,
        values["--time-scale"],
        ((COMMANDS,) if values["--commands"] else ()) + tuple(values["--tasks"]),
        key,
        Ms(int(1000 * values["--farewell"])),
        values["--logs"],
    )


def _warn_of_commands(config: service.Config) -> None:
    if COMMANDS in config.tasks and config.key is None and not config.pipe.startswith("ipc://"):
        log.warning(
            "--commands without keys: whoever reaches the broker or this worker, such as any user of this host, can"
            " run programs as user %s; keys, or ipc:// addresses in a folder of yours, prevent that",
            os.geteuid(),
        )


def _after(pipe: str) -> str:
    """Return where the broker looks for the reports of a worker at `pipe`, if its own options follow the defaults
    too."""
    if pipe.startswith("ipc://"):
        return endpoints.after(pipe.removesuffix(".pipe"), endpoints.REPORTS)
    return endpoints.after(pipe, endpoints.REPORTS - endpoints.PIPE)


def _start_log(level: str) -> None:
    logs.start(level, "zworker")
    logging.raiseExceptions = False  # a closed stderr must not end the worker


def _open_standard_descriptors() -> None:
    """Open descriptors 0 to 2. If they were closed, sockets would get their numbers, and tasks would print into
    them."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)


def _refused(code: int, sentence: str) -> int:
    if sys.stderr is not None:
        print(f"zworker: {sentence}", file=sys.stderr)
    return code
