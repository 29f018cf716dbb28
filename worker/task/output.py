"""The output of tasks and of their programs, and which job each byte belongs to.

Standard output and standard error of the task process are one pipe, which the worker reads without ever waiting. At the
end of a job the task process writes a mark into it, then sends the result: everything before the mark belongs to that
job. The token in the mark is drawn anew for each task process, so no output looks like one.

A mark for each job would slow a stream of short jobs down by a tenth, so a job that has printed nothing makes none. The
task process knows that from the pipe being empty and the worker not having read from it since the last job's end
(`SharedMemory.reads`). It must look in this order: whoever emptied the pipe had an odd count before that, and has an
odd or greater one still.
"""

from __future__ import annotations

import os
import secrets
import select
import sys

from zjobs.messages.units import DeliveryNumber
from zjobs.worker.task import platform
from zjobs.worker.task.shared_memory import SharedMemory

CHUNK_BYTES = 64 << 10
CHUNKS_A_TURN = 4
TOKEN_BYTES = 16


def _mark(token: bytes, delivery: DeliveryNumber) -> bytes:
    return token + delivery.to_bytes(8, "little")


class Marker:
    """The task process's side: marks the end of each job's output."""

    def __init__(self, shared: SharedMemory) -> None:
        self.token = secrets.token_bytes(TOKEN_BYTES)
        self._shared = shared
        self._reads = shared.reads
        self._fd = os.dup(1)  # a task may close or redirect its own

    def mark(self, delivery: DeliveryNumber) -> bool:
        """Mark the end of the job with this delivery number. Return False, and write nothing, if the job has certainly
        printed nothing."""
        flush()
        unread = platform.unread(self._fd)
        before, self._reads = self._reads, self._shared.reads
        if not unread and self._reads == before and not before & 1:
            return False
        try:
            os.write(self._fd, _mark(self.token, delivery))
        except BlockingIOError:  # a program has made the pipe, which we share, non-blocking
            os.set_blocking(self._fd, True)
            os.write(self._fd, _mark(self.token, delivery))
        return True


def flush() -> None:
    """Write out what Python still buffers."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - contextlib.suppress would cost as much as all the rest here
            stream.flush()
        except Exception:  # a task may have closed it, or put anything in its place
            pass


class Capture:
    """The worker's side: reads the pipe, and tells which bytes are each job's. `writer` is for the task process."""

    def __init__(self, shared: SharedMemory) -> None:
        self._shared = shared
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._unclaimed = bytearray()
        self.token = b""
        self.over = False

    def close(self) -> None:
        """Close both ends."""
        self.close_writer()
        os.close(self._reader)

    def close_writer(self) -> None:
        """Close the writing end, once the task process has it."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._reader

    def read(self, chunks: int = CHUNKS_A_TURN) -> None:
        """Read what is there, at most `chunks` chunks."""
        for _ in range(chunks):
            if not self._poll.poll(0):
                return
            # both stores stand around the read, see above
            self._shared.reads += 1
            try:
                data = os.read(self._reader, CHUNK_BYTES)
            finally:
                self._shared.reads += 1
            self._unclaimed += data
            if not data:  # all writers have closed it: it would be 'readable' for ever
                self.over = True
                self._poll.unregister(self._reader)

    def until_mark(self, delivery: DeliveryNumber) -> bytes:
        """Return the output before the mark of the job with this number, which is in the pipe or was read already."""
        mark = _mark(self.token, delivery)
        searched = 0
        while (place := self._unclaimed.find(mark, max(0, searched - len(mark)))) < 0:
            searched = len(self._unclaimed)
            self.read(1)
            if len(self._unclaimed) == searched:  # a task has read its own output: return everything there is
                return self.rest()
        found = bytes(self._unclaimed[:place])
        del self._unclaimed[: place + len(mark)]
        return found

    def rest(self) -> bytes:
        """Return what was read and does not belong to a mark, whole or begun, or come after one."""
        if not self._unclaimed:
            return b""
        end = len(self._unclaimed)
        if self.token:
            place = self._unclaimed.find(self.token)
            end = place if place >= 0 else end - self._begun_mark()
        found = bytes(self._unclaimed[:end])
        del self._unclaimed[:end]
        return found

    def _begun_mark(self) -> int:
        """Return how many bytes at the end may be the beginning of a mark."""
        return next((k for k in range(TOKEN_BYTES - 1, 0, -1) if self._unclaimed.endswith(self.token[:k])), 0)
