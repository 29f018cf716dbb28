"""What task processes have left running when they died: two jobs must never overlap, nor what they have started."""

from __future__ import annotations

from collections.abc import Sequence

from zjobs.worker.task import platform

END_S = 0.5  # for what a dead task process has left: the worker waits


class Remains:
    """`marks`: of dead task processes, as far as something of them may still run (see `platform`)."""

    def __init__(self, marks: Sequence[int]) -> None:
        self.marks = set(marks)
        self._left: list[platform.Process] = []
        self.try_again()

    def end(self, mark: int) -> int:
        """Ends what that task process has started; returns how many processes were killed."""
        self.marks.add(mark)
        return self._end(END_S)

    def try_again(self) -> None:
        """Ends what could not be ended before."""
        if self.marks:
            self._end(0)

    @property
    def obstacle(self) -> str | None:
        """A sentence on what is left and cannot be ended."""
        if not self._left:
            return None
        return f"no job starts while what an earlier one has left cannot be killed: {platform.described(self._left)}"

    def _end(self, patience_s: float) -> int:
        killed, self._left = platform.end_marked(self.marks, patience_s)
        if not self._left:
            self.marks.clear()
        return killed
