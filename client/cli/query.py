"""The commands of zclient that only ask: status, data, show, audit, types, info."""

from __future__ import annotations

import time

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, job_id_of, print_value, say_missing
from zjobs.client.cli.schema.files import SchemaFiles
from zjobs.client.cli.selection.ids import ids_of_words
from zjobs.client.cli.show import format
from zjobs.client.errors import NotPermitted
from zjobs.client.protocol.job import NO_DATA
from zjobs.client.protocol.schemas import Schemas
from zjobs.messages.records import JobStatus
from zjobs.program.cli.options import nearest
from zjobs.program.cli.parse import UsageError

# How many jobs `status` shows without ids.
NEXT_JOBS, DELAYED_JOBS, ENDED_JOBS = 20, 5, 5


def status(call: Call) -> int:
    """Run `zclient status`."""
    if not call.args["ID"]:
        return _queue(call)
    reply = call.client.status(ids_of_words(call), preview=True)
    for job in reply.jobs:
        line = format.status_line(job, reply.worker, paused=reply.paused, program=call.program)
        fields = {**format.fields(job), "worker": reply.worker, "paused": reply.paused}
        about = "" if call.output.columns is None else format.about(job)  # scripts read the state alone
        call.output.line(line + about, fields)
    say_missing(call, reply.missing)
    return exit_codes.NO_SUCH_JOB if reply.missing else exit_codes.DONE


def _queue(call: Call) -> int:
    from zjobs.client.cli.overview import page, plain, snapshot  # not for the status of one job, which scripts ask for
    from zjobs.client.cli.show import styled

    output = call.output
    overview = call.client._run(snapshot.overview(call.client, NEXT_JOBS, DELAYED_JOBS, ENDED_JOBS))
    if output.as_json:
        around = {"worker": overview.info.worker.state, "paused": overview.info.paused is not None}
        for job in filter(None, (overview.running, *overview.next, *overview.delayed)):
            output.line("", {**format.fields(job), **around})
    elif output.columns is None:
        for line in plain.plain_lines(overview, time.time()):
            output.line(line, None)
    else:
        glyphs = styled.UNICODE if output.in_unicode else styled.ASCII
        for row in page.page(overview, output.columns, glyphs, time.time()):
            output.styled(row.line)
    return exit_codes.DONE


def data(call: Call) -> int:
    """Run `zclient data`."""
    job_id = job_id_of(call.args["ID"])
    value = call.client.data(job_id)
    if value is not NO_DATA:
        print_value(call, value, {"id": job_id, "data": value})
        return exit_codes.DONE
    call.output.note(f"job {job_id} has no data")
    if call.output.as_json:
        call.output.line("", {"id": job_id})
    return exit_codes.DONE


def show(call: Call) -> int:
    """Run `zclient show`."""
    reply = call.client.show(job_id_of(call.args["ID"]), preview=True)
    if call.output.as_json:
        call.output.line("", {**reply._asdict(), "job": format.fields(reply.job)})
        return exit_codes.DONE
    now = call.client.status([reply.job.id])
    kind = next((kind for kind in call.client.types().types if kind.name == reply.job.type), None)
    for line in format.show_lines(reply, now.worker, now.paused, call.output.raw, kind):
        call.output.line(line, None)
    return exit_codes.DONE


def types(call: Call) -> int:
    """Run `zclient types`."""
    from zjobs.client.cli.schema import describe  # not for the other commands, which know no schemas

    reply = call.client.types()
    if not reply.known:
        call.output.note("no worker has announced its types yet")
    call.client.schemas = Schemas(SchemaFiles(call.client.addresses.text))
    name = call.args["TYPE"]
    chosen = [task for task in reply.types if name in (None, task.name)]
    if name is not None and not chosen:
        near = nearest(name, [task.name for task in reply.types])
        raise UsageError(f"there is no type {name}" + (f"; did you mean {near}?" if near else ""))
    for task in chosen:
        schema = call.client.schema(task.name, task.schema_digest)
        lines = describe.everything(task, schema) if name else describe.briefly(task, schema)
        call.output.line("\n".join(lines), {**task._asdict(), "schema": schema})
    return exit_codes.DONE


def info(call: Call) -> int:
    """Run `zclient info`."""
    reply = call.client.info()
    if call.output.as_json:
        call.output.line("", reply)
        return exit_codes.DONE
    for line in format.info_lines(reply, call.client.address, _running(call, reply.worker.running)):
        call.output.line(line, None)
    return exit_codes.DONE


def _running(call: Call, job_id: int | None) -> JobStatus | None:
    """Return the job that runs, if there is one and we may see it."""
    try:
        jobs = () if job_id is None else call.client.status([job_id]).jobs
    except NotPermitted:
        return None
    return next(iter(jobs), None)


def audit(call: Call) -> int:
    """Run `zclient audit`."""
    for entry in call.client.audit(call.args["--limit"], call.args["--since"]):
        call.output.line(format.audit_line(entry), entry)
    return exit_codes.DONE
