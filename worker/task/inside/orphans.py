"""The end of what a task process has started, if the worker dies and takes the task process with it.

Nobody else is left to end it then until the next worker starts. So a process waits for that, forked while the task
process is small and has one thread. It does not carry the mark, belongs to nobody, and takes no signal that ends
others of the worker's.
"""

from __future__ import annotations

import os
import select
import signal
from typing import NoReturn

from zjobs.worker.task import platform

END_S = 2.0  # for processes that do not end when killed; the next worker tries again
# A worker that outlives its task process ends what that has left. If both are killed, one of them is seen to end first.
WORKER_OUTLIVES_MS = 2_000


def end_with(worker_pid: int, mark: int) -> None:
    """Have everything that carries `mark` killed if the worker dies. Call it before this process carries the mark, and
    before it adopts orphans."""
    try:
        ends = os.pidfd_open(worker_pid), os.pidfd_open(os.getpid())
    except ProcessLookupError:
        os._exit(1)  # as `die_with_parent` would
    child = os.fork()
    if not child:
        if not os.fork():
            _wait(*ends, mark)
        os._exit(0)
    os.waitpid(child, 0)
    for descriptor in ends:
        os.close(descriptor)


def _wait(worker: int, task_process: int, mark: int) -> NoReturn:
    try:
        os.setsid()
        os.chdir("/")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _close_all_but(worker, task_process)
        poll = select.poll()
        for descriptor in (worker, task_process):
            poll.register(descriptor, select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll()}
        if worker not in ended:
            poll.unregister(task_process)
            ended = {descriptor for descriptor, _ in poll.poll(WORKER_OUTLIVES_MS)}
        if worker in ended:
            platform.end_marked({mark}, END_S)
    finally:
        os._exit(0)


def _close_all_but(*kept: int) -> None:
    """Close the worker's lock, the pipe of the output, and whatever else somebody may wait for."""
    low, high = sorted(kept)
    for first, last in ((0, low), (low + 1, high), (high + 1, os.sysconf("SC_OPEN_MAX"))):
        os.closerange(first, last)
