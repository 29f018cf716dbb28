"""The program zclient: parses the command line, runs the command, and turns every error into a sentence and an exit
code."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Callable
from functools import partial

from zjobs.client.cli import exit_codes, usage
from zjobs.client.cli.show.console import Output, silence
from zjobs.client.errors import JobEndedWithoutResult, ZjobsError
from zjobs.program.cli.parse import UsageError, parse, with_end_of_options

COMPLETE = "__complete"  # the shells' command for completions

# The modules and functions of the commands: only the one that runs is imported. Those in LOCAL get no client.
LOCAL = {
    "completion": ("local.completion", "completion"),
    "help": ("local.completion", "show_help"),
    "services": ("local.services", "services"),
    "top": ("top.command", "top"),
}
RUN_BY = {
    "submit": ("submit", "submit"),
    "status": ("query", "status"),
    "result": ("wait", "result"),
    "data": ("query", "data"),
    "batch": ("wait", "batch"),
    "run": ("run", "run"),
    "show": ("query", "show"),
    "log": ("follow", "log"),
    "list": ("control", "list_jobs"),
    "watch": ("follow", "watch"),
    "wait": ("follow", "wait"),
    "cancel": ("control", "cancel"),
    "hold": ("edit", "hold"),
    "release": ("edit", "release"),
    "edit": ("edit", "edit"),
    "retry": ("control", "retry"),
    "forget": ("control", "forget"),
    "pause": ("control", "pause"),
    "resume": ("control", "resume"),
    "audit": ("query", "audit"),
    "types": ("query", "types"),
    "info": ("query", "info"),
}


def main(argv: list[str]) -> int:
    """Run one command; return the exit code. Only SystemExit leaves, for --help and --version."""
    before = signal.getsignal(signal.SIGINT)
    try:
        if before != signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return _run_and_flush(argv)
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)


def _run_and_flush(argv: list[str]) -> int:
    argv = with_end_of_options(usage.ZCLIENT, argv)
    options_given = argv[: argv.index("--")] if "--" in argv else argv
    output = Output("--json" in options_given, "--raw" in options_given)
    try:
        try:
            return _run(argv, output)
        finally:
            output.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        silence(sys.stderr)
        return exit_codes.BROKEN_PIPE
    except OSError as error:
        silence(sys.stdout)
        output.error("output", f"cannot write the output: {error.strerror}")
        return exit_codes.NO_OUTPUT


def _run(argv: list[str], output: Output) -> int:
    try:
        return _command(argv, output)
    except UsageError as error:
        output.error("usage", str(error))
        return exit_codes.USAGE
    except ZjobsError as error:
        _say(error, output)
        return exit_codes.code_of(error)
    except RecursionError:
        output.error("too_deep", "the value is nested too deeply to be shown; a program can read it with zjobs.Client")
        return exit_codes.USAGE


def _say(error: ZjobsError, output: Output) -> None:
    from zjobs.client.cli.call import repeat_hint

    if error.request_key is None:
        output.error(error.code, str(error))
    elif output.as_json:
        output.error(error.code, str(error), request_key=error.request_key)
    else:
        output.error(error.code, f"{error}; {repeat_hint(error.request_key)}")


def _command(argv: list[str], output: Output) -> int:
    if argv[:1] == [COMPLETE]:
        return int(_function("local.complete", "main")(argv[1:]))
    name, args = parse(usage.ZCLIENT, argv)
    if name in LOCAL:
        return int(_function(*LOCAL[name])(args, output))
    timeout = args["--timeout"]

    from zjobs.client.cli.call import Call  # not at the top: help and mistakes need no ZeroMQ
    from zjobs.client.client import Client

    run = _function(*RUN_BY[name])
    with Client(args["--broker"], timeout, key=args["--key"], service=args["--service"]) as client:
        client.connection.on_trouble = partial(_say_trouble, output, client.addresses.named, timeout)
        call = Call(args, client, output)
        try:
            return int(run(call))
        except JobEndedWithoutResult as error:
            from zjobs.client.cli.show import format  # not at the top: most commands do not fail

            hint = "" if output.as_json else format.traceback_hint(error.status, call.program)
            output.error(error.code, f"{error}{hint}", prefix="", id=error.status.id)
            return exit_codes.code_of(error)


def _function(module: str, name: str) -> Callable[..., int]:
    function: Callable[..., int] = getattr(importlib.import_module(f"zjobs.client.cli.{module}"), name)
    return function


def _say_trouble(output: Output, address: str, timeout: float, why: str) -> None:
    from zjobs.client.net.reach import NOTHING_LISTENS

    if why == NOTHING_LISTENS:
        sentence = f"nothing listens at {address}: start zbroker, or choose another with --broker"
    else:
        sentence = f"{address}: {why}; choose another with --broker"
    output.note(f"{sentence} (trying for {timeout:g} s)")
