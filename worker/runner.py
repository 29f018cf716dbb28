"""The worker's side of the task process: starts it, feeds it, hears of its end, takes back what it has not begun.

Nothing here waits. The packets in the task process's socket are exactly the jobs it has not begun: we keep a
duplicate of its end, and reading a packet there takes the job back, as surely as its own reading begins it. When a
task process is to be killed anyway, that is done at once and the rest follows when it is dead: then nothing changes
any more, and first its results, then its unread jobs are read; what is missing from both had begun.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from typing import Any, NamedTuple

from zjobs.messages.types import Ended, FailReason, HandedJob, Outcome, TaskType
from zjobs.worker import host, packets

# With 1 job ahead the task process idles while we turn around: 13,000 jobs/s instead of 110,000. Linux takes
# no more than 11 unread packets in a socket of this kind.
JOBS_AHEAD = 8
RESULTS_A_TURN = 64
RESTART_FIRST_MS = 100
RESTART_LAST_MS = 10_000


class Death(NamedTuple):
    """A task process has ended: its last results, the numbers it had begun without result, those it had not begun."""

    how: str
    ended: list[Ended]
    lost: list[int]
    unbegun: list[int]


class Runner:
    """One task process at a time; `types` is what the present one announced, None before."""

    def __init__(self, modules: tuple[str, ...], time_scale: float, lock_fd: int) -> None:
        self._modules = modules
        self._time_scale = time_scale
        self._lock_fd = lock_fd
        self._process: subprocess.Popen[bytes] | None = None
        self._reset()
        self._quick_deaths = 0
        self.refusal: str | None = None
        self.restart_at_ms = 0

    def _reset(self) -> None:
        self.types: tuple[TaskType, ...] | None = None
        self._waiting: deque[tuple[int, HandedJob, int]] = deque()
        self._sent: deque[int] = deque()
        self._forgotten = False
        self._broken = ""

    @property
    def alive(self) -> bool:
        """Whether there is a task process, be it starting or dying."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, incarnation: str) -> None:
        """Starts a task process that carries `incarnation`; `results` tells when it has announced its types.

        Raises OSError.
        """
        assert self._process is None
        self._reset()
        self._incarnation = incarnation
        self._socket, self._child_end = host.packet_pair()
        numbers = (self._child_end.fileno(), self._lock_fd, os.getpid())
        # -P: without it the user's current directory would come before the standard library
        safe_path = ("-P",) if sys.version_info >= (3, 11) else ()
        program = (sys.executable, *safe_path, "-m", "zjobs.worker.child")
        try:
            self._process = subprocess.Popen(
                [*program, *map(str, numbers), repr(self._time_scale), *self._modules],
                stdin=subprocess.DEVNULL,
                stdout=2,  # our own stdout carries the ready line alone
                env={**os.environ, host.MARKER: incarnation},
                pass_fds=numbers[:2],
                start_new_session=True,
            )
        except OSError:
            self._socket.close()
            self._child_end.close()
            raise
        self._death_fd = host.death_descriptor(self._process.pid)

    def descriptors(self) -> list[int]:
        """What to poll for reading; `results` and `died` look at what there is."""
        if self._process is None:
            return []
        return [self._socket.fileno(), *([] if self._death_fd is None else [self._death_fd])]

    @property
    def silent_death(self) -> bool:
        """Whether the end of the task process shows on no descriptor (macOS), so that `died` must be asked."""
        return self._process is not None and self._death_fd is None

    def offer(self, n: int, job: HandedJob, result_bytes: int) -> None:
        """Job number `n` shall run after those offered before."""
        self._waiting.append((n, job, result_bytes))

    def feed(self) -> None:
        """Sends offered jobs as far as the task process should have them ahead."""
        if self.types is None or self._broken:
            return
        while self._waiting and len(self._sent) < JOBS_AHEAD:
            n, job, result_bytes = self._waiting[0]
            try:
                packets.send(self._socket, (n, job.type, job.data, result_bytes), socket.MSG_DONTWAIT)
            except OSError:  # no room: a result will make some, or the next beat tries again
                return
            self._waiting.popleft()
            self._sent.append(n)

    def results(self, most: int = RESULTS_A_TURN) -> list[Ended]:
        """The jobs that have ended since, in order, at most `most` of them."""
        ended: list[Ended] = []
        for _ in range(most):
            if self._process is None or self._broken:
                break
            try:
                packet = packets.receive(self._socket, socket.MSG_DONTWAIT) or []
                if self.types is None:
                    self._announced(*packet)
                else:
                    ended.append(self._ended(*packet))
            except BlockingIOError:
                break
            except (OSError, packets.Garbled, TypeError, ValueError):
                continue  # a task has written to our socket; its own end is still to come
        return [] if self._forgotten else ended

    def _ended(self, n: int, outcome: str, elapsed_us: int, result: bytes | None, reason: Any, *texts: str) -> Ended:
        """A result as a report. Raises TypeError or ValueError when it is none."""
        ended = Ended(n, Outcome(outcome), elapsed_us, result, reason and FailReason(reason), *texts)
        if not self._sent or n != self._sent[0]:
            # A task has read or forged what is not its own, so nobody knows any more which job runs.
            self._broken = f"ended job number {n}, which is not running,"
            self.kill()
            raise ValueError(self._broken)
        self._sent.popleft()
        self._quick_deaths = 0
        return ended

    def _announced(self, kind: str, what: Any) -> None:
        if kind == "types":
            self.types = tuple(TaskType(*fields) for fields in what)
            self.refusal = None
        else:
            self.refusal = str(what)

    def take_back(self) -> list[int]:
        """The numbers of all jobs offered that have not begun, and now never will unless offered again."""
        numbers = []
        while self._process is not None:
            try:
                packet = packets.receive(self._child_end, socket.MSG_DONTWAIT)
            except OSError:  # BlockingIOError: nothing left
                break
            except packets.Garbled:
                continue
            if packet:
                numbers.append(packet[0])
        taken = set(numbers)
        self._sent = deque(n for n in self._sent if n not in taken)
        numbers += [n for n, _, _ in self._waiting]
        self._waiting.clear()
        return [] if self._forgotten else numbers

    def kill(self) -> None:
        """Ends the task process and its group at once; `died` tells when it has."""
        if self._process is not None:
            host.kill_group(self._process.pid)

    def forget(self) -> None:
        """Kills the task process, and no word of what it was doing will be heard."""
        self._forgotten = True
        self.kill()

    def died(self, now_ms: int) -> Death | None:
        """The end of the task process, told once; None while it lives. Cleans up behind it."""
        if self._process is None or not host.has_ended(self._process):
            return None
        host.kill_group(self._process.pid)
        code = self._process.wait()
        # A task's own sub-processes may have left its group; two jobs must never overlap.
        host.kill_marked(self._incarnation)
        ended = self.results(most=JOBS_AHEAD + 1)
        unbegun = self.take_back()
        death = Death(self._how(code), ended, [] if self._forgotten else list(self._sent), unbegun)
        self._close()
        if self._forgotten or death.lost:
            self._quick_deaths, self.restart_at_ms = 0, now_ms
        else:
            self.postpone(now_ms)
        return death

    def _how(self, code: int) -> str:
        if self._broken:
            return f"the task process {self._broken} and was killed"
        if code >= 0:
            return f"the task process exited with code {code}"
        try:
            return f"the task process was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"the task process was killed by signal {-code}"

    def _close(self) -> None:
        self._socket.close()
        self._child_end.close()
        if self._death_fd is not None:
            os.close(self._death_fd)
        self._process = None

    def postpone(self, now_ms: int) -> None:
        """The next start waits, longer each time: this one failed, or ended without a task being to blame."""
        delay_ms = min(RESTART_FIRST_MS << min(self._quick_deaths, 10), RESTART_LAST_MS)
        self._quick_deaths += 1
        self.restart_at_ms = now_ms + delay_ms

    def close(self) -> None:
        """Ends the task process and waits for that. Only for the end of the worker."""
        if self._process is None:
            return
        self.kill()
        self._process.wait()
        host.kill_marked(self._incarnation)
        self._close()
