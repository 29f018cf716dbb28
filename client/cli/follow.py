"""The commands of zclient that follow what goes on: wait, watch, log."""

from __future__ import annotations

import codecs
import time
from collections.abc import Sequence
from typing import Any

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, ids_of_words, job_id_of, say_missing
from zjobs.client.cli.show import format, text
from zjobs.client.cli.wait import Resumable, say_link, until_ended
from zjobs.client.errors import BrokerUnreachable
from zjobs.client.job import Watch
from zjobs.messages.records import JobStatus
from zjobs.messages.requests import LogReply
from zjobs.messages.states import JobState

# Of so many jobs it is remembered what was said last, so that nothing is said twice.
MOST_SAID = 10_000
# A command to go on with is named only when it fits into a line.
IDS_IN_A_HINT = 10


def wait(call: Call) -> int:
    ids, journal, missing = _existing(call)
    ended = print_ends(call, ids, journal) if ids else []
    if missing:
        return exit_codes.NO_SUCH_JOB
    return exit_codes.DONE if all(job.state is JobState.COMPLETED for job in ended) else exit_codes.JOB_FAILED


def watch(call: Call) -> int:
    if not call.args["ID"]:
        with call.client.watch() as watching:
            call.output.note("watching all jobs; Ctrl+C ends it")
            _print_changes(call, watching)
        return exit_codes.DONE
    ids, journal, missing = _existing(call)
    with call.client.watch(ids, journal=journal) as watching:
        _print_changes(call, watching)
    return exit_codes.NO_SUCH_JOB if missing else exit_codes.DONE


def log(call: Call) -> int:
    job_id = job_id_of(call.args["ID"])
    printed = _Printed(call, job_id)
    if not call.args["--follow"]:
        printed.fetch()
        printed.finish()
        return exit_codes.DONE
    with call.client.watch([job_id]) as watching:
        for news in watching:
            say_link(call, news)
            printed.follow(watching.known[job_id])
    printed.finish()
    return exit_codes.DONE


def print_ends(call: Call, ids: Sequence[int], journal: str) -> list[JobStatus]:
    """Waits for the end of these jobs and prints a line for each as it ends; returns how they ended."""
    go_on = "the jobs go on" if len(ids) > 1 else f"job {ids[0]} goes on"
    if len(ids) <= IDS_IN_A_HINT:
        go_on += f": {call.program} wait {' '.join(map(str, ids))}"
    with Resumable(call, go_on), call.client.watch(ids, journal=journal) as watching:
        until_ended(call, watching, _Ends(call, watching, len(ids)))
        return list(watching.known.values())


class _Ends:
    """Prints how each job ended; on a terminal shows meanwhile how many, or what the only one does."""

    def __init__(self, call: Call, watching: Watch, count: int) -> None:
        self._output = call.output
        self._program = call.program
        self._watch = watching
        self._count = count

    def changed(self, job: JobStatus) -> None:
        if job.state.final:
            self._output.line(format.end_line(job, self._program), job)
            self._output.flush()

    def tick(self) -> None:
        unfinished = self._watch.unfinished
        if self._count == 1:
            for job in self._watch.known.values():
                self._output.show_live(format.watch_line(job, self._watch.worker))
        elif unfinished:
            self._output.show_live(f"{self._count - len(unfinished)}/{self._count} ended")


def _existing(call: Call) -> tuple[list[int], str, bool]:
    """(the ids of the command line that have a job, the journal they belong to, whether others have none)."""
    reply = call.client.status(ids := ids_of_words(call))
    say_missing(call, reply.missing)
    without = {missing.id for missing in reply.missing}
    return [job_id for job_id in ids if job_id not in without], reply.journal, bool(without)


def _print_changes(call: Call, watching: Watch) -> None:
    said: dict[int, str] = {}
    for news in watching:
        say_link(call, news)
        if news.missed is not None:
            call.output.note(f"{news.missed} changes were missed; what became of the jobs is asked for")
        if news.service is not None:
            for line in format.service_lines(news.service, news.before):
                _print_now(call, line, {"service": news.service})
        if news.job is None:
            continue
        line = format.watch_line(news.job._replace(elapsed_ms=None), watching.worker, program=call.program)
        if line != said.pop(news.job.id, None):
            shown = f"{text.printable(news.job.type)} {line}"
            _print_now(call, shown, {**news.job._asdict(), "worker": watching.worker})
        said[news.job.id] = line
        if len(said) > MOST_SAID:
            del said[next(iter(said))]


def _print_now(call: Call, line: str, fields: dict[str, Any]) -> None:
    """A line that begins with the time; with --json the time is `at`."""
    at = time.time()
    call.output.line(f"{text.clock_time(at)} {line}", {"at": int(at * 1000), **fields})
    call.output.flush()


class _Printed:
    """What a job has printed, shown from its beginning, or from where that is still kept. Runs go by their number."""

    def __init__(self, call: Call, job_id: int) -> None:
        self._call = call
        self._id = job_id
        self._begin(0)

    def _begin(self, run: int) -> None:
        self._run = run
        self._offset = 0
        self._told_bytes = 0  # how much the run is known to have printed
        # A character may be cut in two between pieces, so the decoder must remember.
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def follow(self, job: JobStatus) -> None:
        """Shows what there is more, by news of the job."""
        if not self._is_shown(job.run):
            return
        self._told_bytes = max(self._told_bytes, job.output_bytes)
        if job.output_bytes > self._offset or job.state.final:
            try:
                self.fetch()
            except BrokerUnreachable:
                if job.state.final:
                    raise
                # the watch waits for the broker; its next news lead here again

    def fetch(self) -> None:
        """Shows everything up to what was printed when this began."""
        until: int | None = None
        while until is None or self._offset < until:
            asked = self._offset
            piece = self._call.client.log(self._id, asked)
            if not self._is_shown(piece.run):
                return
            if self._offset != asked:  # another run, whose beginning was not asked for
                until = None
                continue
            until = until or piece.size_bytes
            self._show(piece)
            if not piece.body:
                return

    def finish(self) -> None:
        """Shows a character that was never completed."""
        rest = self._decoder.decode(b"", final=True)
        if rest and not self._call.output.as_json:
            self._call.output.write(b"", rest, {})
        self._call.output.flush()

    def _is_shown(self, run: int) -> bool:
        """Whether the output of this run is shown, if need be from now on. News of an earlier run may come late."""
        if run > self._run:
            if self._run:
                self.finish()
                missed = max(0, self._told_bytes - self._offset)
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
            self._call.output.note(f"{left_out} bytes are left out: of long output only the end is kept")
        self._offset = offset + len(body)
        if body:
            decoded = self._decoder.decode(body)
            fields = {"id": self._id, "run": self._run, "offset": offset, "output": decoded}
            self._call.output.write(body, decoded, fields)
            self._call.output.flush()
