"""The command `run`: queues a program, and with --wait follows it to its end."""

from __future__ import annotations

import os

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, chosen_request_key
from zjobs.client.cli.follow import OutputPrinter
from zjobs.client.cli.show import format
from zjobs.client.cli.submit import submitted_like
from zjobs.client.cli.wait import Resumable, until_ended
from zjobs.client.command import command_data
from zjobs.client.job import Watch
from zjobs.client.protocol.job import ended_without_result
from zjobs.client.protocol.submission import checked
from zjobs.messages.records import COMMAND, JobStatus
from zjobs.messages.requests.changes import SubmitReply
from zjobs.messages.states import JobState
from zjobs.program.cli.parse import UsageError

SHELL = "/bin/sh"
BY_SIGNAL = 128  # and its number: the exit code that shells give


def run(call: Call) -> int:
    """Queue a program; with --wait, print its output, and exit as it does."""
    data = command_data(_argv(call), call.args["--cwd"], dict(map(_variable, call.args["--env"])))
    (accepted,) = submitted_like(call, chosen_request_key(call), COMMAND, [data], checked)
    if call.args["--wait"] or call.args["--max-wait"] is not None:
        return _followed(call, accepted)
    call.output.line(str(accepted.first_id), {"id": accepted.first_id})
    return exit_codes.DONE


def _argv(call: Call) -> list[str]:
    program, arguments = call.args["PROGRAM"], call.args["ARG"]
    if not call.args["--shell"]:
        return [program, *arguments]
    if arguments:
        raise UsageError("--shell takes one line; quote it: zclient run --shell 'make && make test'")
    return [SHELL, "-c", program]


def _variable(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if equals:
        return name, value
    if name not in os.environ:
        raise UsageError(f"--env {name}: the variable is not set here; give its value, --env {name}=VALUE")
    return name, os.environ[name]


def _followed(call: Call, accepted: SubmitReply) -> int:
    job_id = accepted.first_id
    call.output.note(f"job {job_id}")
    hint = f"job {job_id} goes on: {call.program} log -f {job_id}"
    with Resumable(call, hint), call.client.watch([job_id], journal=accepted.journal) as watching:
        until_ended(call, watching, _Followed(call, watching, job_id))
    job = watching.jobs[job_id]
    if job.state is JobState.COMPLETED:
        return exit_codes.DONE
    error = ended_without_result(job)
    call.output.error(error.code, str(error), prefix="", id=job_id)
    if job.exit_code is None:
        return exit_codes.JOB_FAILED
    return job.exit_code if job.exit_code >= 0 else BY_SIGNAL - job.exit_code


class _Followed:
    """Shows what a command prints and, on a terminal until it starts, what it waits for."""

    def __init__(self, call: Call, watching: Watch, job_id: int) -> None:
        self._output = call.output
        self._watching = watching
        self._printer = OutputPrinter(call, job_id)

    def changed(self, job: JobStatus) -> None:
        self._printer.follow(job)
        if job.state.final:
            self._printer.finish()

    def tick(self) -> None:
        for job in self._watching.jobs.values():
            if job.state is JobState.QUEUED:
                self._output.show_live(format.watch_line(job, self._watching.worker, paused=self._watching.paused))
