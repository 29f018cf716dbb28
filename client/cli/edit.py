"""The commands of zclient that change jobs before they start: hold, release, edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, say_missing
from zjobs.client.cli.selection.confirm import meant
from zjobs.client.cli.selection.ids import parts
from zjobs.messages.records import Missing
from zjobs.messages.requests.changes import EditReply
from zjobs.messages.units import JobId
from zjobs.program.cli.parse import UsageError

EDITED = ("--priority", "--time-limit", "--name", "--comment", "--at", "--start-by")


def hold(call: Call) -> int:
    """Run `zclient hold`."""
    return _change(call, "hold", "held", call.client.hold)


def release(call: Call) -> int:
    """Run `zclient release`."""
    return _change(call, "release", "released", call.client.release)


def edit(call: Call) -> int:
    """Run `zclient edit`."""
    args = call.args
    if all(args[option] is None for option in EDITED):
        raise UsageError(f"there is nothing to change: give {', '.join(EDITED[:-1])} or {EDITED[-1]}")
    fields = {option.lstrip("-").replace("-", "_"): args[option] for option in EDITED}
    return _change(call, "edit", "changed", lambda ids: call.client.edit(ids, **fields))


def _change(call: Call, command: str, done: str, change: Callable[[Sequence[int]], EditReply]) -> int:
    """Change the jobs that `command` is for, and say what became of each."""
    late: list[JobId] = []
    pending: list[JobId] = []
    missing: list[Missing] = []
    for ids in parts(meant(call, command)):
        reply = change(ids)
        for job_id in reply.changed:
            call.output.line(f"{job_id} {done}", {"id": job_id, "changed": True})
        call.output.flush()
        late += reply.late
        pending += reply.pending
        missing += reply.missing
    for job_id in late:
        call.output.error("too_late", f"job {job_id} has started or ended already, and is as it was", id=job_id)
    for job_id in pending:
        what = f"the worker has job {job_id} and did not say in time whether it has started; repeat this to know"
        call.output.error("pending", what, id=job_id)
    say_missing(call, missing)
    if missing:
        return exit_codes.NO_SUCH_JOB
    return exit_codes.NOT_FINISHED if pending else exit_codes.REFUSED if late else exit_codes.DONE
