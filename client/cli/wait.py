"""The commands of zclient that wait: `result --wait` and `batch`."""

from __future__ import annotations

from time import monotonic
from typing import Any, Protocol

from zjobs.client.cli import exit_codes
from zjobs.client.cli.call import Call, chosen_request_key, job_id_of, print_value
from zjobs.client.cli.show import format
from zjobs.client.cli.submit import submitted
from zjobs.client.errors import BrokerUnreachable, StillRunning, WaitTimeout, ZjobsError
from zjobs.client.job import Watch
from zjobs.client.protocol.events.watch import WatchEvent
from zjobs.client.protocol.job import ended_without_result, ids_of
from zjobs.client.wording import text
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.changes import SubmitReply
from zjobs.messages.states import JobState
from zjobs.program.cli.parse import UsageError

# Rewrite the live line this often; without one, print a counter this often.
LIVE_S = 0.2
COUNTER_S = 2.0
# Fetch a task's note at most this often; events do not carry it.
NOTE_S = 0.5

# The progress number of a run's start; reports of its task have greater ones.
STARTED = 1
# The progress bar takes what the words leave of the line, within these bounds.
BAR_COLUMNS = 22
SMALLEST_BAR_COLUMNS = 8


def result(call: Call) -> int:
    """Print a job's result; with --wait, once it has ended."""
    job_id = job_id_of(call.args["ID"])
    if call.args["--wait"] or call.args["--max-wait"] is not None:
        with Resumable(call, _go_on(call, job_id, job_id)):
            if call.output.live:
                with call.client.watch([job_id]) as watch:
                    until_ended(call, watch, _OneJob(call, watch, prints_changes=False))
            value = call.client.job(job_id).result(call.args["--max-wait"])
    else:
        value = call.client.result(job_id)
    _show_result(call, job_id, value)
    return exit_codes.DONE


def batch(call: Call) -> int:
    """Submit jobs, wait for them, and print their results."""
    request_key = chosen_request_key(call)
    if call.args["--lines"] is not None:
        return _batch_of_lines(call, request_key)
    (accepted,) = submitted(call, request_key)
    job_id = accepted.first_id
    call.output.line(str(job_id), {"id": job_id})
    call.output.flush()
    with Resumable(call, _go_on(call, job_id, job_id)), call.client.watch([job_id], journal=accepted.journal) as watch:
        until_ended(call, watch, _OneJob(call, watch, prints_changes=True))
        _print_result(call, watch.jobs[job_id], watch.journal)
    return exit_codes.DONE


def _batch_of_lines(call: Call, request_key: str) -> int:
    accepted: list[SubmitReply] = []
    try:
        for part in submitted(call, request_key):
            accepted.append(part)
    except (ZjobsError, UsageError) as error:
        if accepted:
            first, last = accepted[0].first_id, ids_of(accepted[-1])[-1]
            error.args = (f"{error}; before it, {_go_on(call, first, last)}",)
        raise
    if not accepted:
        return exit_codes.DONE
    ids = [job_id for part in accepted for job_id in ids_of(part)]
    with Resumable(call, _go_on(call, ids[0], ids[-1])), call.client.watch(ids, journal=accepted[0].journal) as watch:
        lines = _Lines(call, watch, ids)
        until_ended(call, watch, lines)
    return exit_codes.JOB_FAILED if lines.failed else exit_codes.DONE


class Resumable:
    """Surrounds a wait: if it ends early, prints `hint`, which says what goes on and how to wait for it again."""

    def __init__(self, call: Call, hint: str) -> None:
        self._call = call
        self._hint = hint

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._call.output.note(f"interrupted; {self._hint}")
        elif isinstance(error, (BrokerUnreachable, StillRunning, WaitTimeout)):
            error.args = (f"{error}; {self._hint}",)


def _go_on(call: Call, first: int, last: int) -> str:
    which = f"job {first} goes on" if first == last else f"jobs {first} to {last} go on"
    return f"{which}: {resume_command(call, first)}"


def resume_command(call: Call, job_id: int) -> str:
    """Return the command that waits for this job again."""
    return f"{call.program} result {job_id} --wait"


# --- displays during a wait -----------------------------------------------------------------------------------


class Display(Protocol):
    """A display of a wait: of each change and, on a terminal, a few times a second, of the present state."""

    def changed(self, job: JobStatus) -> None:
        """Show a change."""

    def tick(self) -> None:
        """Show the present state."""


class _OneJob:
    """Shows one job: as a live line on a terminal; elsewhere, if asked to, as a line for each change."""

    def __init__(self, call: Call, watch: Watch, prints_changes: bool) -> None:
        self._call = call
        self._output = call.output
        self._watch = watch
        self._prints_changes = prints_changes
        self._since = monotonic()
        self._heard = self._since
        self._last_line = ""
        self._progress_printed_at = float("-inf")
        self._note = _Note(watch)

    def changed(self, job: JobStatus) -> None:
        self._heard = monotonic()
        if self._output.live and not job.state.final:
            self._note.changed(job)
            self._show(job)
        elif self._prints_changes:
            self._print(job)

    def tick(self) -> None:
        self._note.fetch_if_due()
        for job in self._watch.jobs.values():
            self._show(job)

    def _show(self, job: JobStatus) -> None:
        now = monotonic()
        queued = job.state is JobState.QUEUED
        watch = self._watch
        line = format.watch_line(self._note.added_to(job), watch.worker, now - self._heard, watch.paused)
        if queued:
            line = f"{line} ({text.seconds(now - self._since)})"
        bar_columns = min(BAR_COLUMNS, self._output.live_columns - text.width(line) - 1)
        if job.fraction is not None and not queued and bar_columns >= SMALLEST_BAR_COLUMNS:
            line = f"{text.bar(job.fraction, bar_columns)} {line}"
        self._output.show_live(line)

    def _print(self, job: JobStatus) -> None:
        # An elapsed time does not belong in a line that stays, and is not a change.
        line = format.watch_line(job._replace(elapsed_ms=None), self._watch.worker, paused=self._watch.paused)
        failed = job.state.final and job.state is not JobState.COMPLETED
        if line == self._last_line or failed or self._too_soon(job):  # how it failed is told as the error
            return
        self._output.change(line, {**job._asdict(), "worker": self._watch.worker})
        self._last_line = line

    def _too_soon(self, job: JobStatus) -> bool:
        """Return True if this progress follows other progress too soon to be worth a line."""
        if job.state is not JobState.IN_PROGRESS or job.progress <= STARTED:
            return False
        soon = monotonic() - self._progress_printed_at < COUNTER_S
        if not soon:
            self._progress_printed_at = monotonic()
        return soon


class _Note:
    """The note of a task's progress. An event says that it may have changed; a request fetches it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._text: str | None = None
        self._fetched_at = float("-inf")
        self._heard = self._fetched = (0, 0)

    def changed(self, job: JobStatus) -> None:
        if (job.version, job.progress) != self._heard:
            self._heard = (job.version, job.progress)
            if job.progress <= STARTED:  # another run
                self._text, self._fetched = None, self._heard

    def fetch_if_due(self) -> None:
        if self._heard == self._fetched or self._watch.lost or monotonic() - self._fetched_at < NOTE_S:
            return
        self._fetched, self._fetched_at = self._heard, monotonic()
        self._watch.refresh()
        self._text = next((job.note for job in self._watch.jobs.values()), None)

    def added_to(self, job: JobStatus) -> JobStatus:
        return job._replace(note=job.note or self._text)


class _Lines:
    """Prints the results of many jobs in order, and a counter on stderr."""

    def __init__(self, call: Call, watch: Watch, ids: list[int]) -> None:
        self.failed = 0
        self._call = call
        self._watch = watch
        self._ids = ids
        self._printed = 0
        self._counted_at = monotonic()

    def changed(self, job: JobStatus) -> None:
        before = self._printed
        while self._printed < len(self._ids) and self._ids[self._printed] not in self._watch.unfinished:
            self._print(self._ids[self._printed])
            self._printed += 1
        due = self._printed == len(self._ids) or monotonic() - self._counted_at > COUNTER_S
        if self._printed > before and due and not self._call.output.live:
            self._counted_at = monotonic()
            self._call.output.change(self._counter, {"done": self._printed, "of": len(self._ids)})

    def tick(self) -> None:
        self._call.output.show_live(self._counter)

    @property
    def _counter(self) -> str:
        return f"{self._printed}/{len(self._ids)}"

    def _print(self, job_id: int) -> None:
        output = self._call.output
        job = self._watch.jobs[job_id]
        if job.state is not JobState.COMPLETED:
            self.failed += 1
            failure = ended_without_result(job)
            hint = "" if output.as_json else format.traceback_hint(job, self._call.program)
            output.error(failure.code, f"{failure}{hint}", prefix=f"line {self._printed + 1}: ", id=job_id)
            return
        value = self._call.client.result(job_id, journal=self._watch.journal)
        shown = text.json_text(value) if isinstance(value, bytes) else text.result_text(value)
        output.line(f"{job_id}\t{text.escaped(shown)}", _fields(job_id, value))
        output.flush()


def until_ended(call: Call, watch: Watch, display: Display) -> None:
    """Wait until all jobs of `watch` have ended. Raises WaitTimeout after --max-wait."""
    watch.check_can_end()
    limit = call.args["--max-wait"]
    deadline = float("inf") if limit is None else monotonic() + limit
    next_tick = monotonic() + LIVE_S
    while True:
        step = LIVE_S if call.output.live else COUNTER_S
        event = watch.next(min(step, deadline - monotonic()))
        if event is None and not watch.unfinished:
            return
        if limit is not None and watch.unfinished and monotonic() >= deadline:
            raise WaitTimeout(watch.jobs[next(iter(watch.unfinished))], limit)
        if event is not None and event.job is not None:
            display.changed(event.job)
        elif event is not None:
            say_link(call, event)
        # by the clock, not only without events: those of a busy job never cease
        if call.output.live and watch.unfinished and monotonic() >= next_tick:
            display.tick()
            next_tick = monotonic() + LIVE_S


def say_link(call: Call, event: WatchEvent) -> None:
    """Print a note if the broker was lost or answers again."""
    if event.link is not None:
        call.output.note(
            f"{call.client.addresses.named} {'answers again' if event.link else 'is lost: waiting for it'}"
        )


def _print_result(call: Call, job: JobStatus, journal: str) -> None:
    """Print the job's result. Raises JobFailed or JobCancelled if there is none."""
    if job.state is not JobState.COMPLETED:
        raise ended_without_result(job)
    _show_result(call, job.id, call.client.result(job.id, journal=journal))


def _show_result(call: Call, job_id: int, value: Any) -> None:
    print_value(call, value, _fields(job_id, value))


def _fields(job_id: int, value: Any) -> dict[str, Any]:
    return {"id": job_id, "state": JobState.COMPLETED, "result": value}
