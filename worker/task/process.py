"""The worker's side of the task process: starts it, feeds it, hears how its jobs end, recalls what it has not begun.

Nothing here waits. When a task process is to be killed, that is done at once and the rest follows when it is dead: then
nothing changes any more, and first its results, then its unread jobs are read; what is missing from both had begun.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NoReturn

from zjobs.messages import codec
from zjobs.messages.dispatch import DispatchedJob
from zjobs.messages.fields import DIGEST_CHARS, MAX_SCHEMA_BYTES
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, Ms, Us
from zjobs.worker.core.interfaces import Death, Printed, TaskEvent
from zjobs.worker.core.run import Seen
from zjobs.worker.task import packets, platform
from zjobs.worker.task.feed import JOBS_AHEAD, NONE, Feed
from zjobs.worker.task.leftovers import Remains
from zjobs.worker.task.output import Capture
from zjobs.worker.task.shared_memory import PAGE_BYTES, Page

RESULTS_A_TURN = JOBS_AHEAD  # so that after a recall, all ends that can be there are heard
LAST_PACKETS = 1_000  # more than there can be: what a dead task process leaves is read to its end
RESTART_FIRST_MS = 100
OVERDUE_MS = 2_000  # a task process that was killed has ended by then, unless it is stuck in the kernel
RESTART_LAST_MS = 10_000

NoteMarks = Callable[[Sequence[int]], None]


class TaskProcesses:
    """One task process at a time; `types` is what the present one announced, None before; `schemas`: what those take.

    note_marks: writes down where the next worker finds it what this task process and its programs carry; called
    before there is anything that carries it. marks: of what an earlier worker has left and could not end.
    """

    def __init__(
        self,
        modules: tuple[str, ...],
        time_scale: float,
        lock_fd: int,
        note_marks: NoteMarks,
        marks: Sequence[int] = (),
    ) -> None:
        self._modules = modules
        self._time_scale = time_scale
        self._service = (b"", b"")
        self._lock_fd = lock_fd
        self._note_marks = note_marks
        self._remains = Remains(marks)
        self._process: subprocess.Popen[bytes] | None = None
        self._reset()
        self._quick_deaths = 0
        self.refusal: str | None = None
        self.restart_at_ms = Ms(0)
        self.death_fd = -1

    def _reset(self) -> None:
        self.types: tuple[TaskType, ...] | None = None
        self.schemas: Mapping[str, bytes] = {}
        self._feed = Feed()
        self._idle_output = b""
        self._forgotten = False
        self._killed = False
        self._dying_since_ms: Ms | None = None
        self._overdue = False
        self._broken = ""

    @property
    def alive(self) -> bool:
        """Whether there is a task process, be it starting or dying."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The pid of the present task process, if there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start a task process; `types` is there when `events` has heard it announce them. Raises OSError."""
        assert self._process is None
        self._reset()
        self._mark = platform.new_mark()
        self._note_marks([*self._remains.marks, self._mark])
        with contextlib.ExitStack() as undo:
            self._socket, self._child_end = map(undo.enter_context, platform.packet_pair())
            with platform.nameless_file() as file:
                file.truncate(PAGE_BYTES)
                self._page = Page(file.fileno())
                self._page.service = self._service
                undo.callback(self._page.close)
                self._capture = undo.enter_context(contextlib.closing(Capture(self._page)))
                process = self._popen(file.fileno())
            try:
                self.death_fd = os.pidfd_open(process.pid)
            except OSError:
                process.kill()
                process.wait()
                raise
            self._process = process
            self._resources = undo.pop_all()
        self._capture.close_writer()

    def _popen(self, page_fd: int) -> subprocess.Popen[bytes]:
        numbers = (self._child_end.fileno(), self._lock_fd, page_fd, os.getpid(), self._mark)
        # -P: without it the user's current directory would come before the standard library
        safe_path = ("-P",) if sys.version_info >= (3, 11) else ()
        program = (sys.executable, *safe_path, "-m", "zjobs.worker.task.inside.main")
        return subprocess.Popen(
            [*program, *map(str, numbers), repr(self._time_scale), *self._modules],
            stdin=subprocess.DEVNULL,
            stdout=self._capture.writer,
            stderr=self._capture.writer,
            pass_fds=numbers[:3],
            start_new_session=True,
        )

    def descriptors(self) -> list[int]:
        """What to poll for reading: `events` and `died` look at what there is, `died` when `death_fd` can be read."""
        if self._process is None:
            return []
        output = [] if self._capture.over else [self._capture.fileno()]
        return [self._socket.fileno(), *output, self.death_fd]

    @property
    def far_ahead(self) -> bool:
        """Whether the task process has work for a while: more than it is given when jobs are long."""
        return self._feed.far_ahead

    def serve(self, journal: str, broker: str) -> None:
        """The jobs offered from now on are of this journal; a task must not wait for others of them.

        broker: where a task reaches the broker; empty if that is not known.
        """
        service = (journal.encode(), broker.encode())
        if service != self._service:
            self._page.service = self._service = service

    def offer(self, delivery: DeliveryNumber, job: DispatchedJob, result_bytes: int) -> None:
        """Job number `n` shall run after those offered before."""
        self._feed.offer(delivery, job, result_bytes)

    def feed(self) -> None:
        """Send offered jobs as far as the task process should have them ahead."""
        # A process that is being killed may still read: what it takes with it would have begun.
        if self.types is None or self._killed:
            return
        if self._feed.begins:  # what was printed so far, the next job has not printed
            self._capture.read()
            self._idle_output += self._capture.rest()
        self._feed.send(self._socket)

    def events(self, most: int = RESULTS_A_TURN) -> list[TaskEvent]:
        """What happened since, in order: output, and the jobs that have ended, at most `most` of them."""
        if self._process is None:
            return []
        self._capture.read()
        idle, self._idle_output = self._idle_output, b""
        heard, all_heard = self._hear(most)
        # If no job has ended whose end was not heard, what was read before is the present one's.
        rest = self._capture.rest() if all_heard else b""
        return [] if self._forgotten else [*_printed(NONE, idle), *heard, *_printed(self._feed.first[0], rest)]

    def _hear(self, most: int) -> tuple[list[TaskEvent], bool]:
        """What packets say, at most `most`; whether those were all."""
        events: list[TaskEvent] = []
        for _ in range(most):
            if self._broken:
                break
            try:
                packet = packets.receive(self._socket, platform.DONT_WAIT) or []
                if self.types is None:
                    self._announced(*packet)
                elif packet[:1] == ["skipped"]:
                    self._skipped(*packet)
                else:
                    events += self._ended(*packet)
            except BlockingIOError:
                return events, True
            except (OSError, packets.Garbled, TypeError, ValueError, KeyError):
                continue  # a task has written to our socket; its own end is still to come
        return events, False

    def _ended(
        self, marked: bool, delivery: DeliveryNumber, outcome: str, elapsed_us: Us, *more: Any
    ) -> list[TaskEvent]:
        """A result, and before it what that job has printed. Raises TypeError or ValueError when it is none."""
        first, job_id = self._feed.first
        ended = packets.read_end(job_id, delivery, outcome, elapsed_us, *more)
        if delivery != first:
            self._break(f"ended job number {delivery}, which is not running,")
        ended = packets.mended(ended)
        printed = _printed(delivery, self._capture.until_mark(delivery)) if marked else []
        self._feed.ended(delivery, ended.result is not None and len(ended.result) > packets.PACKET_BYTES)
        self._quick_deaths = 0
        return [*printed, ended]

    def _skipped(self, _: str, number: int) -> None:
        """A packet that was recalled with the one before it: fine. If that was not, somebody else has read it."""
        if self._feed.has_sent(number):
            self._break("missed a job that was sent to it")

    def _break(self, how: str) -> NoReturn:
        """A task has read or forged what is not its own, so nobody knows any more which job runs."""
        self._broken = how
        self.kill()
        raise ValueError(how)

    def _announced(self, kind: str, what: Any, token: bytes = b"", schemas: Sequence[bytes] = ()) -> None:
        if kind == "types":
            self._capture.token = token
            schemas = [schema if len(schema) <= MAX_SCHEMA_BYTES else b"" for schema in schemas]
            digests = [sha256(schema).hexdigest()[:DIGEST_CHARS] if schema else "" for schema in schemas]
            types = tuple(TaskType(*fields)._replace(schema_digest=digest) for fields, digest in zip(what, digests))
            if any(map(codec.refusal, types)):
                raise ValueError("no task types")
            self.types = types
            self.schemas = {digest: schema for digest, schema in zip(digests, schemas) if digest}
            self.refusal = None
        else:
            self.refusal = str(what)

    def seen(self, delivery: DeliveryNumber) -> Seen:
        """A look at the task process while it runs job number `n`."""
        if self._process is None:
            return Seen(None, None, Ms(0))
        told = self._page.told()
        if told is None or told.delivery != delivery:
            return Seen(None, None, self._page.sign_ms)
        return Seen(told.fraction, told.note, self._page.sign_ms)

    def recall(self) -> list[DeliveryNumber]:
        """The numbers of all jobs offered that have not begun, and now never will unless offered again."""
        numbers = self._feed.recall(None if self._process is None else self._child_end)
        return [] if self._forgotten else numbers

    def end_task(self, delivery: DeliveryNumber) -> None:
        """Have `Cancelled` raised in the task of job number `n`, if that is what runs."""
        if self._process is not None:
            self._page.to_end = delivery  # the signal alone might come when another job has begun
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the task process at once; `died` tells when it has, and ends what it had started."""
        if self._process is not None:
            self._killed = True
            with contextlib.suppress(PermissionError):  # it has become another user's; `obstacle` names it
                self._process.kill()

    def forget(self) -> None:
        """Kill the task process, and no word of what it was doing will be heard."""
        self._forgotten = True
        self.kill()

    def died(self, now_ms: Ms) -> Death | None:
        """The end of the task process, told once; None while it lives. Cleans up behind it."""
        if self._process is None or not platform.has_ended(self._process):
            return None
        killed = self._end_what_it_started()
        code = self._process.wait()
        self._capture.read()
        heard, _ = self._hear(most=LAST_PACKETS)
        unbegun = self.recall()
        lost = self._feed.sent
        rest = _printed(lost[0] if lost else NONE, self._capture.rest())
        events = [*_printed(NONE, self._idle_output), *heard, *rest]
        how = self._how(code)
        death = Death(how, [], [], unbegun, killed) if self._forgotten else Death(how, events, lost, unbegun, killed)
        self._close()
        if self._forgotten or death.lost or code == packets.EXIT_REPLACED:
            self._quick_deaths, self.restart_at_ms = Ms(0), now_ms
        else:
            self.postpone(now_ms)
        return death

    def _end_what_it_started(self) -> int:
        """Of the dead task process, which is not reaped yet; returns how many processes were killed."""
        assert self._process is not None
        killed = self._remains.end(self._mark)
        platform.kill_group(self._process.pid)  # whatever starts another and ends so fast that no look finds it
        return killed

    def _how(self, code: int) -> str:
        return f"the task process {self._broken} and was killed" if self._broken else packets.described_exit(code)

    def _close(self) -> None:
        self._resources.close()
        os.close(self.death_fd)
        self.death_fd = -1
        self._process = None

    @property
    def clear(self) -> bool:
        """Whether nothing runs any more of earlier task processes, nor a task process that was killed."""
        return not self._remains.marks and not self._dying

    @property
    def _dying(self) -> bool:
        return self._killed and self._process is not None

    def clear_up(self, now_ms: Ms) -> None:
        """Try again to end what could not be ended."""
        self._remains.try_again()
        if self._dying:
            self.kill()
            if self._dying_since_ms is None:
                self._dying_since_ms = now_ms
            self._overdue = now_ms - self._dying_since_ms >= OVERDUE_MS

    @property
    def obstacle(self) -> str | None:
        """A sentence that names what cannot be ended, None when there is nothing."""
        if self._process is not None and self._overdue:
            stuck = [found for pid, found in platform.processes().items() if pid == self._process.pid]
            named = platform.described(stuck)
            return f"no job starts while the task process does not end, though it was killed: {named}"
        return self._remains.obstacle

    def postpone(self, now_ms: Ms) -> None:
        """The next start waits, longer each time: this one failed, or ended without a task being to blame."""
        delay_ms = min(RESTART_FIRST_MS << min(self._quick_deaths, 10), RESTART_LAST_MS)
        self._quick_deaths += 1
        self.restart_at_ms = Ms(now_ms + delay_ms)

    def close(self) -> None:
        """End the task process and wait for that. Only for the end of the worker."""
        if self._process is not None:
            self.kill()
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self._end_what_it_started()
            self._process.wait()
            self._close()


def _printed(delivery: DeliveryNumber, data: bytes) -> list[TaskEvent]:
    return [Printed(delivery, data)] if data else []
