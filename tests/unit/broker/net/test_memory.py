"""What is freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: in this one, other tests have left free memory, which would serve instead of new memory.
TAKE_AND_FREE = """
import ctypes
from zjobs.broker.net.memory import GIVE_BACK_BYTES, GIVE_BACK_EVERY_MS, MemoryWatch

BLOCK_BYTES = 1000  # glibc gives back large blocks by itself
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = (ctypes.c_void_p,)
watch = MemoryWatch(0)
blocks = [libc.malloc(BLOCK_BYTES) for _ in range(4 * GIVE_BACK_BYTES // BLOCK_BYTES)]
for block in blocks:
    ctypes.memset(block, 1, BLOCK_BYTES)
for block in blocks[:-1]:  # the one behind them all keeps them from going back by themselves
    libc.free(block)
before = watch.taken_up()
assert watch.grown(GIVE_BACK_EVERY_MS - 1) == 0 and watch.taken_up() >= before, "given back too soon"
assert watch.grown(GIVE_BACK_EVERY_MS + 1000) == 0
after = watch.taken_up()
assert before - after > 2 * GIVE_BACK_BYTES, (before, after)
"""


def test_what_was_freed_is_given_back() -> None:
    """Or watchers that left would be paid for until the broker ends."""
    ended = subprocess.run([sys.executable, "-c", TAKE_AND_FREE], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
