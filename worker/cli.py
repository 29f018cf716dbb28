"""zworker - runs the jobs of a zjobs broker, strictly in turn.

Usage:
  zworker [options] [--tasks MODULE]...

Options:
  --pipe ENDPOINT      where the broker sends jobs, the port 2 after its own [default: {pipe}]
  --reports ENDPOINT   where the broker hears of them; if omitted, the port after --pipe
  --time-scale FACTOR  multiplies the durations of the predefined tasks; 0: none [default: 1]
  --tasks MODULE       a Python module with tasks of your own, such as package.module; the current
                       directory is searched first. May be repeated
  --logs DIR           also write all that each run prints to a file of its own in DIR, on a local disk;
                       zclient show names it
  --farewell TIME      how long a worker that stops waits for the broker to take its last results; then it keeps them in
                       a file, and the next worker at this --pipe delivers them first [default: 5s]
  --key FILE           the worker's key (worker.key, made by zbroker keys init on the broker's host): only the broker
                       that belongs to it is let in
  --insecure           listen on other addresses than this host's own without a key: anybody who reaches
                       them can have anything run
  --log-level LEVEL    debug, info, warning or error [default: info]
  --version            print the version and exit
  --help               print this and exit

A task of your own is a function under the decorator zjobs.worker.tasks.task. What may run twice: a job that failed
runs again while its type's max_attempts (1) is not used up; a job whose worker died while running it runs again
while max_reruns is not used up, which is 0 for your own tasks (2 for reverse, swap and repeat).

SIGTERM and SIGINT (Ctrl+C): the running job is finished, the rest goes back to the broker; the second time the running
job is killed: it goes back while its type's max_reruns is not used up, else it has failed. The third time the worker
does not wait for the broker any more. What the broker has not taken by then is kept for the next worker.

Exit codes:
  0 stopped in order  64 wrong usage  69 address in use  73 an address or file cannot be made, or the last results
  could neither be told nor kept
  75 another worker has the address (it is named)  78 the tasks cannot be loaded, or refused configuration
"""

from __future__ import annotations

import logging
import math
import os
import sys
from pathlib import Path
from typing import Any

from zjobs.messages.units import Ms
from zjobs.program import endpoints, keyfiles, logs, options
from zjobs.program.version import VERSION
from zjobs.worker import service
from zjobs.worker.files import worker_lock

EX_OK, EX_USAGE, EX_UNAVAILABLE, EX_CANTCREAT, EX_TEMPFAIL, EX_CONFIG = 0, 64, 69, 73, 75, 78

DOC = (__doc__ or "").format(pipe=endpoints.after(endpoints.FRONTEND, endpoints.PIPE))
_LEVELS = ("debug", "info", "warning", "error")


class _Open(Exception):
    """Anybody could reach an address; the text is a sentence."""


def main(argv: list[str] | None = None) -> int:
    """Runs zworker; returns its exit code (see the help text)."""
    _open_standard_descriptors()
    try:
        values = options.parse(DOC, sys.argv[1:] if argv is None else argv, f"zworker {VERSION}")
        config = _config(values)
        _start_log(_level(values["--log-level"]))
    except (options.UsageError, ValueError) as error:
        return _refused(EX_USAGE, f"{error}")
    except (keyfiles.KeyFileError, _Open) as error:
        return _refused(EX_CONFIG, f"{error}")
    return _served(config)


def _served(config: service.Config) -> int:
    try:
        service.serve(config)
    except worker_lock.Taken as taken:
        return _refused(EX_TEMPFAIL, str(taken))
    except service.Unbindable as unbindable:
        return _refused(EX_UNAVAILABLE if unbindable.in_use else EX_CANTCREAT, str(unbindable))
    except service.Unstartable as unstartable:
        return _refused(EX_CONFIG, str(unstartable))
    except service.Lost as lost:
        return _refused(EX_CANTCREAT, str(lost))
    except OSError as error:
        return _refused(EX_CANTCREAT, f"cannot start: {error}")
    return EX_OK


def _config(values: dict[str, Any]) -> service.Config:
    """Raises ValueError, KeyFileError and _Open with a sentence."""
    pipe = endpoints.checked(values["--pipe"])
    reports = endpoints.checked(values["--reports"] or _after(pipe))
    if pipe == reports:
        raise ValueError(f"--pipe and --reports must differ; both are {pipe}")
    key = None if values["--key"] is None else keyfiles.load(values["--key"])
    for endpoint in (pipe, reports):
        if key is None and not values["--insecure"] and not endpoints.is_local(endpoint):
            raise _Open(
                f"{endpoint} can be reached from other hosts, by anybody: give the worker its key "
                "(zbroker keys init makes it, then --key FILE), or say --insecure if that is what you want"
            )
    farewell_ms = Ms(int(1000 * options.duration(values["--farewell"])))
    logs_at = None if values["--logs"] is None else Path(values["--logs"])
    tasks, scale = tuple(map(_module, values["--tasks"])), _factor(values["--time-scale"])
    return service.Config(pipe, reports, scale, tasks, key, farewell_ms, logs_at)


def _module(name: str) -> str:
    """A module as `import` names it. Raises ValueError for a file, with the name that was probably meant."""
    if name.endswith(".py") or "/" in name:
        meant = name.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
        raise ValueError(f"--tasks takes the name of a module, not a file: --tasks {meant}")
    return name


def _after(pipe: str) -> str:
    """Where the broker looks for the reports of a worker at `pipe`, when its own options follow the defaults too."""
    if pipe.startswith("ipc://"):
        return endpoints.after(pipe.removesuffix(".pipe"), endpoints.REPORTS)
    return endpoints.after(pipe, endpoints.REPORTS - endpoints.PIPE)


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = -1.0
    if not 0 <= factor < math.inf:
        raise ValueError(f"--time-scale must be a number from 0, not {text!r}")
    return factor


def _level(text: str) -> int:
    if text.lower() not in _LEVELS:
        raise ValueError(f"--log-level must be one of {', '.join(_LEVELS)}, not {text!r}")
    return int(getattr(logging, text.upper()))


def _start_log(level: int) -> None:
    logs.start(level, "zworker")
    logging.raiseExceptions = False  # a closed stderr must not end the worker


def _open_standard_descriptors() -> None:
    """A worker started with closed descriptors would give their numbers to its sockets, and tasks print into them."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)


def _refused(code: int, sentence: str) -> int:
    if sys.stderr is not None:
        print(f"zworker: {sentence}", file=sys.stderr)
    return code
