"""The library that breaks the disk: built by the test with the system's compiler, loaded before libc."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("disk.c")
LIBRARY = "ZJOBS_TEST_DISK"  # its path, for the process that it was preloaded into

KINDS = {"write": 1, "flush": 2}
ACTIONS = {"kill before": 1, "kill after": 2, "kill torn": 3, "ENOSPC": 4, "EIO": 4}
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}


class NoCompiler(Exception):
    """The library cannot be built here; the text says why."""


class Fault(NamedTuple):
    """At the `nth` call of `kind` (a write or flush of the disk, a send or commit of Python's), `action`.

    `place`: the folder where `fired` appears when it happens, and where `full` says that errors go on.
    """

    kind: str
    nth: int
    action: str
    place: str
    lasting: bool = True


def build(folder: Path) -> Path:
    """Compiles the library into `folder`. Raises NoCompiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("there is no C compiler (cc) to build the preload library with")
    library = folder / "disk.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise NoCompiler(f"{compiler} cannot build the preload library: {built.stderr[-500:]}")
    return library


def arm(fault: Fault, journal: str) -> None:
    """In the process that the library was preloaded into: from now on the calls are counted."""
    place = Path(fault.place)
    lasts_while = place / ("full" if fault.lasting else "never")
    ctypes.CDLL(os.environ[LIBRARY]).disk_arm(
        KINDS[fault.kind],
        ctypes.c_long(fault.nth),
        ACTIONS[fault.action],
        ERRORS.get(fault.action, 0),
        journal.encode(),
        str(lasts_while).encode(),
        str(place / "fired").encode(),
    )
