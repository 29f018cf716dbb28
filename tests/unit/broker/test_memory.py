"""What is freed goes back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import closing

import pytest

from zjobs.broker.memory import GIVE_BACK_BYTES, GIVE_BACK_EVERY_MS, MemoryWatch

BLOCK_BYTES = 1000  # glibc gives back large blocks by itself
BLOCKS = 4 * GIVE_BACK_BYTES // BLOCK_BYTES


@pytest.fixture
def kept_by_glibc() -> Iterator[MemoryWatch]:
    """A watch; since its start 32 MiB were taken and freed, but for the block behind them all, so that they stay."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = (ctypes.c_void_p,)
    with closing(MemoryWatch(0)) as watch:
        blocks = [libc.malloc(BLOCK_BYTES) for _ in range(BLOCKS)]
        for block in blocks:
            ctypes.memset(block, 1, BLOCK_BYTES)
        for block in blocks[:-1]:
            libc.free(block)
        yield watch
        libc.free(blocks[-1])


def test_what_was_freed_is_given_back(kept_by_glibc: MemoryWatch) -> None:
    """Or watchers that left would be paid for until the broker ends."""
    watch = kept_by_glibc
    before = watch.taken_up()
    assert watch.grown(GIVE_BACK_EVERY_MS - 1) == 0 and watch.taken_up() >= before
    assert watch.grown(GIVE_BACK_EVERY_MS + 1000) == 0
    assert before - watch.taken_up() > 2 * GIVE_BACK_BYTES
