"""The options of zworker, from which its command line is parsed and its help page is made."""

from __future__ import annotations

import math
from pathlib import Path

from zjobs.program import endpoints, logs
from zjobs.program.cli.options import Command, Option, Program, duration
from zjobs.program.version import VERSION

EX_OK, EX_USAGE, EX_UNAVAILABLE, EX_CANTCREAT, EX_TEMPFAIL, EX_CONFIG = 0, 64, 69, 73, 75, 78


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = -1.0
    if not 0 <= factor < math.inf:
        raise ValueError(f"{text!r} must be a number, 0 or more")
    return factor


def _module(name: str) -> str:
    """Return a module's name as `import` needs it. Raises ValueError for a file, naming the module that was probably
    meant."""
    if name.endswith(".py") or "/" in name:
        meant = name.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
        raise ValueError(f"{name} is a file; name the module instead: --tasks {meant}")
    return name


ZWORKER = Program(
    "zworker",
    f"zworker {VERSION}",
    "zworker runs the jobs of a zjobs broker, strictly one at a time.",
    (Command("", "", ""),),
    (
        Option(
            "--pipe",
            "ENDPOINT",
            "where the broker sends jobs: the second port after its own",
            read=endpoints.checked,
            default=endpoints.after(endpoints.FRONTEND, endpoints.PIPE),
        ),
        Option(
            "--reports",
            "ENDPOINT",
            "where the broker receives reports; if omitted, the port after --pipe",
            read=endpoints.checked,
        ),
        Option(
            "--tasks",
            "MODULE",
            "a Python module with tasks of your own, such as package.module; looked for in the current directory first",
            read=_module,
            repeatable=True,
        ),
        Option(
            "--commands",
            "",
            "also run programs as jobs, as this account (zclient run); with keys, only operators may submit them,"
            " unless zbroker --commands-for names another role",
        ),
        Option(
            "--time-scale",
            "FACTOR",
            "multiply the durations of the predefined tasks; 0: no waiting",
            read=_factor,
            default="1",
        ),
        Option(
            "--logs",
            "DIR",
            "also write everything a run prints to a file of its own in DIR, on a local disk; zclient show names it",
            read=Path,
        ),
        Option(
            "--farewell",
            "TIME",
            "how long a stopping worker waits for the broker to accept its last results; then it keeps them in a"
            " file, which the next worker at this --pipe delivers first",
            read=duration,
            default="5s",
        ),
        Option(
            "--key",
            "FILE",
            "the worker's key (worker.key, made by zbroker keys init on the broker's host): only the broker it"
            " belongs to may connect",
        ),
        Option(
            "--insecure",
            "",
            "listen on addresses that other hosts can reach, without a key: anybody there can run any job",
        ),
        Option(
            "--check",
            "",
            "import the tasks, print their types and exit; another worker may be running meanwhile",
        ),
        logs.LEVEL,
    ),
    {
        EX_OK: "stopped in order, or --check found nothing wrong",
        EX_USAGE: "wrong usage",
        EX_UNAVAILABLE: "an address is in use",
        EX_CANTCREAT: "an address or file cannot be made, or the last results could be neither delivered nor kept",
        EX_TEMPFAIL: "another worker, named in the message, has the address",
        EX_CONFIG: "the tasks cannot be loaded, or the configuration is refused",
    },
    """\
A task of your own is a function with the decorator zjobs.task. What may run twice:
a job that failed runs again until its type's max_attempts (default 1) is used up; a job
whose worker died while running it runs again until max_reruns is used up (default 0 for
your own tasks; 2 for reverse, swap and repeat).

The first SIGTERM or SIGINT (Ctrl+C) lets the running job finish; the others go back
to the broker. The second kills the running job, which goes back unless its type's
max_reruns is used up; then it has failed. The third stops waiting for the broker;
results that the broker has not accepted by then are kept for the next worker.""",
)
