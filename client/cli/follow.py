"""The commands of zclient that follow jobs: wait, watch, log."""

from __future__ import annotations

import codecs
import time
from collections.abc import Sequence
from typing import Any

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, job_id_of, say_missing
from zjobs.client.cli.selection.ids import NO_MATCH, ids_of_words, selected
from zjobs.client.cli.show import format
from zjobs.client.cli.wait import Resumable, say_link, until_ended
from zjobs.client.errors import BrokerUnreachable
from zjobs.client.job import Watch
from zjobs.client.protocol.waiting import Ends
from zjobs.client.wording import text
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import LogReply
from zjobs.messages.states import JobState

# Remember the last line for this many jobs, to skip duplicates.
MOST_LINES_KEPT = 10_000
# Name the command that continues a wait only if its ids fit on a line.
IDS_IN_A_HINT = 10


def wait(call: Call) -> int:
    """Wait until jobs have ended, and print how each did."""
    if not (chosen := selected(call, "wait").ids):
        call.output.note(NO_MATCH)
        return exit_codes.DONE
    ids, journal, missing = _existing(call, chosen)
    ended = print_ends(call, ids, journal) if ids else []
    if missing:
        return exit_codes.NO_SUCH_JOB
    return exit_codes.DONE if all(job.state is JobState.COMPLETED for job in ended) else exit_codes.JOB_FAILED


def watch(call: Call) -> int:
    """Print the changes of some jobs, or of all, as they happen."""
    if not call.args["ID"]:
        with call.client.watch() as watching:
            call.output.note("watching all jobs; Ctrl+C ends it")
            _print_changes(call, watching)
        return exit_codes.DONE
    ids, journal, missing = _existing(call, ids_of_words(call))
    with call.client.watch(ids, journal=journal) as watching:
        _print_changes(call, watching)
    return exit_codes.NO_SUCH_JOB if missing else exit_codes.DONE


def log(call: Call) -> int:
    """Print what a job has printed; with --follow, until it ends."""
    job_id = job_id_of(call.args["ID"])
    printed = OutputPrinter(call, job_id)
    if not call.args["--follow"]:
        printed.fetch()
        printed.finish()
        return exit_codes.DONE
    with call.client.watch([job_id]) as watching:
        for event in watching:
            say_link(call, event)
            printed.follow(watching.jobs[job_id])
    printed.finish()
    return exit_codes.DONE


def print_ends(call: Call, ids: Sequence[int], journal: str) -> list[JobStatus]:
    """Wait until these jobs have ended, print a line for each as it ends, and return their final statuses."""
    go_on = "the jobs go on" if len(ids) > 1 else f"job {ids[0]} goes on"
    if len(ids) <= IDS_IN_A_HINT:
        go_on += f": {call.program} wait {' '.join(map(str, ids))}"
    with Resumable(call, go_on):
        if call.output.live:
            with call.client.watch(ids, journal=journal) as watching:
                until_ended(call, watching, _Ends(call, watching, len(ids)))
                return list(watching.jobs.values())
        ends = Ends(call.client, ids, journal, call.args["--max-wait"])
        while ended := call.client._run(ends.next()):
            for job in ended:
                print_end(call, job)
        return list(ends.ended.values())


def print_end(call: Call, job: JobStatus) -> None:
    """Print a line that says how the job ended."""
    call.output.line(format.end_line(job, call.program), job)
    call.output.flush()


class _Ends:
    """Prints how each job ended; on a terminal, meanwhile, how many have, or the state of the only one."""

    def __init__(self, call: Call, watching: Watch, count: int) -> None:
        self._call = call
        self._output = call.output
        self._watch = watching
        self._count = count

    def changed(self, job: JobStatus) -> None:
        if job.state.final:
            print_end(self._call, job)

    def tick(self) -> None:
        unfinished = self._watch.unfinished
        if self._count == 1:
            for job in self._watch.jobs.values():
                self._output.show_live(format.watch_line(job, self._watch.worker))
        elif unfinished:
            self._output.show_live(f"{self._count - len(unfinished)}/{self._count} ended")


def _existing(call: Call, ids: Sequence[int]) -> tuple[list[int], str, bool]:
    """Return those of `ids` that have a job, their journal, and True if others have none."""
    reply = call.client.status(ids)
    say_missing(call, reply.missing)
    without = {missing.id for missing in reply.missing}
    return [job_id for job_id in ids if job_id not in without], reply.journal, bool(without)


def _print_changes(call: Call, watching: Watch) -> None:
    last_lines: dict[int, str] = {}
    for event in watching:
        say_link(call, event)
        if event.missed is not None:
            call.output.note(f"{event.missed} changes were missed; the present state of the jobs follows")
        if event.service is not None:
            for line in format.service_lines(event.service, event.before):
                _print_now(call, line, {"service": event.service})
        if event.job is None:
            continue
        line = format.watch_line(event.job._replace(elapsed_ms=None), watching.worker, program=call.program)
        if line != last_lines.pop(event.job.id, None):
            shown = f"{text.printable(event.job.type)} {line}"
            _print_now(call, shown, {**event.job._asdict(), "worker": watching.worker})
        last_lines[event.job.id] = line
        if len(last_lines) > MOST_LINES_KEPT:
            del last_lines[next(iter(last_lines))]


def _print_now(call: Call, line: str, fields: dict[str, Any]) -> None:
    """Print a line that begins with the time; with --json the time is `at`."""
    at = time.time()
    call.output.line(f"{text.clock_time(at)} {line}", {"at": int(at * 1000), **fields})
    call.output.flush()


class OutputPrinter:
    """Prints the output of a job from its beginning, or as much as is kept. Runs have numbers."""

    def __init__(self, call: Call, job_id: int) -> None:
        self._call = call
        self._id = job_id
        self._begin(0)

    def _begin(self, run: int) -> None:
        self._run = run
        self._offset = 0
        self._printed_bytes = 0  # how much the run is known to have printed
        # A character may be cut in two between pieces, so the decoder must remember.
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def follow(self, job: JobStatus) -> None:
        """Print what is new, after a change of the job."""
        if not self._follows(job.run):
            return
        self._printed_bytes = max(self._printed_bytes, job.output_bytes)
        if job.output_bytes > self._offset or job.state.final:
            try:
                self.fetch()
            except BrokerUnreachable:
                if job.state.final:
                    raise
                # the watch waits for the broker, and its next event leads here again

    def fetch(self) -> None:
        """Print everything that the job had printed when this began."""
        until: int | None = None
        while until is None or self._offset < until:
            asked = self._offset
            piece = self._call.client.log(self._id, asked)
            if not self._follows(piece.run):
                return
            if self._offset != asked:  # another run, whose beginning must be requested
                until = None
                continue
            until = until or piece.size_bytes
            self._show(piece)
            if not piece.body:
                return

    def finish(self) -> None:
        """Print a character that was never completed."""
        rest = self._decoder.decode(b"", final=True)
        if rest and not self._call.output.as_json:
            self._call.output.write(b"", rest, {})
        self._call.output.flush()

    def _follows(self, run: int) -> bool:
        """Return True if the output of this run is to be printed. A later run is followed from now on, an earlier one
        is not."""
        if run > self._run:
            if self._run:
                self.finish()
                missed = max(0, self._printed_bytes - self._offset)
                gone = f"; the last {missed} bytes of run {self._run} are gone" if missed else ""
                self._call.output.note(f"job {self._id}: run {run} begins{gone}")
            self._begin(run)
        return run == self._run

    def _show(self, piece: LogReply) -> None:
        body, offset = piece.body, piece.offset
        if offset > self._offset:
            cut = body.find(b"\n") + 1  # to begin with a whole line, unless there is none
            if cut < len(body):
                body, offset = body[cut:], offset + cut
            left_out = offset - self._offset
            self._call.output.note(f"{left_out} bytes are left out: only the end of long output is kept")
        self._offset = offset + len(body)
        if body:
            decoded = self._decoder.decode(body)
            fields = {"id": self._id, "run": self._run, "offset": offset, "output": decoded}
            self._call.output.write(body, decoded, fields)
            self._call.output.flush()
