"""The worker's side of the task process: starts it, feeds it, reads how its jobs end, recalls those it has not begun.

Nothing here waits. A task process is killed at once, and the rest follows when it is dead. Nothing changes any more
then: first its results are read, then its unread jobs; what is in neither had begun.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from zjobs.messages.dispatch import DispatchedJob
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, Ms, Us
from zjobs.worker.core.interfaces import Death, Printed, TaskEvent
from zjobs.worker.core.run import Seen
from zjobs.worker.task import packets, platform
from zjobs.worker.task.feed import JOBS_AHEAD, NONE, Feed
from zjobs.worker.task.leftovers import Remains
from zjobs.worker.task.output import Capture
from zjobs.worker.task.shared_memory import SHARED_BYTES, SharedMemory

RESULTS_A_TURN = JOBS_AHEAD  # so that all ends there can be are read after a recall
LAST_PACKETS = 1_000  # more than there can be: the packets of a dead task process are read to the last
RESTART_FIRST_MS = 100
OVERDUE_MS = 2_000  # by then a killed task process has ended, unless it is stuck in the kernel
RESTART_LAST_MS = 10_000

NoteMarks = Callable[[Sequence[int]], None]


class TaskProcesses:
    """One task process at a time. `types`: those that the present one announced, None before. `schemas`: those of their
    parameters.

    note_marks: records, for the next worker, the marks that this task process and its programs carry; it is called
    before anything carries them. marks: those of what an earlier worker has left and could not end.
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
        """True if there is a task process, even one that is starting or dying."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The pid of the present task process, None if there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start a task process. `types` is set once `events` has read its announcement. Raises OSError."""
        assert self._process is None
        self._reset()
        self._mark = platform.new_mark()
        self._note_marks([*self._remains.marks, self._mark])
        with contextlib.ExitStack() as undo:
            self._socket, self._their_socket = map(undo.enter_context, platform.packet_pair())
            with platform.nameless_file() as file:
                file.truncate(SHARED_BYTES)
                self._shared = SharedMemory(file.fileno())
                self._shared.service = self._service
                undo.callback(self._shared.close)
                self._capture = undo.enter_context(contextlib.closing(Capture(self._shared)))
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

    def _popen(self, shared_fd: int) -> subprocess.Popen[bytes]:
        numbers = (self._their_socket.fileno(), self._lock_fd, shared_fd, os.getpid(), self._mark)
        # -P: otherwise the user's current directory would come before the standard library
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
        """Return what to poll for reading: all for `events`, and `death_fd` for `died`."""
        if self._process is None:
            return []
        output = [] if self._capture.over else [self._capture.fileno()]
        return [self._socket.fileno(), *output, self.death_fd]

    @property
    def far_ahead(self) -> bool:
        """True if the task process has work for a while: more than it is given if jobs are long."""
        return self._feed.far_ahead

    def serve(self, journal: str, broker: str) -> None:
        """Name the journal of the jobs offered from now on: a task must not wait for other jobs of it.

        broker: where a task reaches the broker; empty if unknown.
        """
        service = (journal.encode(), broker.encode())
        if service != self._service:
            self._shared.service = self._service = service

    def offer(self, delivery: DeliveryNumber, job: DispatchedJob, result_bytes: int) -> None:
        """Add a job, to run under this delivery number after those offered before."""
        self._feed.offer(delivery, job, result_bytes)

    def feed(self) -> None:
        """Send as many of the offered jobs ahead as the task process should have."""
        # A process that is being killed may still read, and a job that it reads counts as begun.
        if self.types is None or self._killed:
            return
        if self._feed.begins:  # output so far is not the next job's
            self._capture.read()
            self._idle_output += self._capture.rest()
        self._feed.send(self._socket)

    def events(self, most: int = RESULTS_A_TURN) -> list[TaskEvent]:
        """Return what happened since the last call, in order: output, and the jobs that ended, at most `most` of
        them."""
        if self._process is None:
            return []
        self._capture.read()
        idle, self._idle_output = self._idle_output, b""
        heard, all_heard = self._hear(most)
        # Every finished job is accounted for, so this output belongs to the present one.
        rest = self._capture.rest() if all_heard else b""
        return [] if self._forgotten else [*_printed(NONE, idle), *heard, *_printed(self._feed.first[0], rest)]

    def _hear(self, most: int) -> tuple[list[TaskEvent], bool]:
        """Return what packets say, at most `most` of them, and whether those were all."""
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
                continue  # a task has written to our socket; its real end is still to come
        return events, False

    def _ended(
        self, marked: bool, delivery: DeliveryNumber, outcome: str, elapsed_us: Us, *more: Any
    ) -> list[TaskEvent]:
        """Return a result, and before it the output of its job. Raises TypeError or ValueError if it is not one."""
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
        """Accept that a packet was recalled with the one before it. If that was not recalled, somebody else has read
        it."""
        if self._feed.has_sent(number):
            self._break("missed a job that was sent to it")

    def _break(self, how: str) -> NoReturn:
        """Kill the task process: a task has read or forged what is not its own, so the running job is unknown."""
        self._broken = how
        self.kill()
        raise ValueError(how)

    def _announced(self, kind: str, what: Any, token: bytes = b"", schemas: Sequence[bytes] = ()) -> None:
        if kind == "types":
            self.types, self.schemas = packets.read_types(what, schemas)
            self._capture.token = token
            self.refusal = None
        else:
            self.refusal = str(what)

    def seen(self, delivery: DeliveryNumber) -> Seen:
        """Return a look at the task process while it runs the job with this number."""
        if self._process is None:
            return Seen(None, None, Ms(0))
        told = self._shared.told()
        if told is None or told.delivery != delivery:
            return Seen(None, None, self._shared.sign_ms)
        return Seen(told.fraction, told.note, self._shared.sign_ms)

    def recall(self) -> list[DeliveryNumber]:
        """Return the numbers of all jobs offered that have not begun, and now never will unless offered again."""
        numbers = self._feed.recall(None if self._process is None else self._their_socket)
        return [] if self._forgotten else numbers

    def end_task(self, delivery: DeliveryNumber) -> None:
        """Raise `Cancelled` in the task of the job with this number, if that job is the one that runs."""
        if self._process is not None:
            self._shared.to_end = delivery  # the signal alone might arrive when another job has begun
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the task process. `died` returns its end once it is dead, and ends what it had started."""
        if self._process is not None:
            self._killed = True
            with contextlib.suppress(PermissionError):  # it has become another user's; `obstacle` names it
                self._process.kill()

    def forget(self) -> None:
        """Kill the task process, and report nothing more of its jobs."""
        self._forgotten = True
        self.kill()

    def died(self, now_ms: Ms) -> Death | None:
        """Return the death of the task process, once; None while it lives. Cleans up after it."""
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
        """End what the dead task process, which is not reaped yet, had started. Return how many processes were
        killed."""
        assert self._process is not None
        killed = self._remains.end(self._mark)
        platform.kill_group(self._process.pid)  # those, too, that start another one and end too fast to be found
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
        """True if nothing of earlier task processes is still running, nor a task process that was killed."""
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
        """A sentence that names what cannot be ended, or None."""
        if self._process is not None and self._overdue:
            stuck = [found for pid, found in platform.processes().items() if pid == self._process.pid]
            named = platform.described(stuck)
            return f"no job starts while the task process, which was killed, does not end: {named}"
        return self._remains.obstacle

    def postpone(self, now_ms: Ms) -> None:
        """Delay the next start, longer each time, because this one failed, or ended without a task being to blame."""
        delay_ms = min(RESTART_FIRST_MS << min(self._quick_deaths, 10), RESTART_LAST_MS)
        self._quick_deaths += 1
        self.restart_at_ms = Ms(now_ms + delay_ms)

    def close(self) -> None:
        """Kill the task process, and wait for its end. Only for the end of the worker."""
        if self._process is not None:
            self.kill()
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self._end_what_it_started()
            self._process.wait()
            self._close()


def _printed(delivery: DeliveryNumber, data: bytes) -> list[TaskEvent]:
    return [Printed(delivery, data)] if data else []
