"""The tasks of the soak (`zworker --tasks soak_tasks`). What runs is recorded in SOAK_RECORDS.

A job's token is its data; `result_of` says what the job must give back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn

from zjobs.worker.tasks import task

# name: how often a job of it may fail, and lose its worker
TYPES = {
    "soak_once": {"max_attempts": 1, "max_reruns": 0},
    "soak_safe": {"max_attempts": 1, "max_reruns": 1000},
    "soak_slow": {"max_attempts": 1, "max_reruns": 1000},
    "soak_retried": {"max_attempts": 3, "max_reruns": 1000},
    "soak_dies": {"max_attempts": 1, "max_reruns": 0},
    "soak_leaves": {"max_attempts": 1, "max_reruns": 1000},
    "soak_large": {"max_attempts": 1, "max_reruns": 1000},
}
SLOW_S = 0.03
LARGE_CHARS = 400_000  # more than may be on its way between broker and worker, and than a reply has of a result


def result_of(token: str) -> str:
    return token[::-1]


def padded(kind: str, token: str) -> str:
    """The data of a job, as it travels; `strip` gives the token back."""
    return token.ljust(LARGE_CHARS) if kind == "soak_large" else token


def note(what: str, **fields: Any) -> None:
    line = json.dumps({"what": what, "at": time.monotonic(), "pid": os.getpid(), **fields}) + "\n"
    fd = os.open(os.environ["SOAK_RECORDS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


@contextlib.contextmanager
def noted(token: str) -> Iterator[None]:
    """Records start and end, and whether another job ran at the start: each holds one lock while it runs."""
    with open(os.environ["SOAK_RECORDS"] + ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        note("start", token=token, alone=alone)
        try:
            yield
        except BaseException:
            note("end", token=token, outcome="raised")
            raise
        note("end", token=token, outcome="returned")


@task(**TYPES["soak_once"])
def soak_once(token: str) -> str:
    """Never runs twice."""
    with noted(token):
        return result_of(token)


@task(**TYPES["soak_safe"])
def soak_safe(token: str) -> str:
    """May run again as often as its worker is lost."""
    with noted(token):
        return result_of(token)


@task(**TYPES["soak_slow"])
def soak_slow(token: str) -> str:
    """Takes a while, so that kills find it running."""
    with noted(token):
        time.sleep(SLOW_S)
        return result_of(token)


@task(**TYPES["soak_retried"])
def soak_retried(token: str) -> str:
    """Fails in two of five runs."""
    with noted(token):
        if os.urandom(1)[0] < 100:
            raise ValueError("this time it fails")
        return result_of(token)


TICK_S = 0.002
PROGRAM = """
import json, os, sys, time
records, token, since = sys.argv[1:]
fd = os.open(records, os.O_WRONLY | os.O_APPEND)
while True:
    record = {"what": "alive", "at": time.monotonic(), "pid": os.getpid(), "token": token, "since": float(since)}
    os.write(fd, (json.dumps(record) + chr(10)).encode())
    time.sleep(0.002)
"""


@task(**TYPES["soak_leaves"])
def soak_leaves(token: str) -> str:
    """Leaves something that says all the time that it lives, and that nobody knows by its name, parent or session."""
    with noted(token):
        since = time.monotonic()
        how = os.urandom(1)[0] % 4
        if how == 3:
            argv = ["harmless", "-I", "-S", "-c", PROGRAM, os.environ["SOAK_RECORDS"], token, repr(since)]
            subprocess.Popen(argv, executable=sys.executable, env={}, start_new_session=True)
        elif os.fork() == 0:
            live_on(how, token, since)
        return result_of(token)


def live_on(how: int, token: str, since: float) -> NoReturn:
    try:
        if how >= 1:
            os.setsid()
        if how == 2 and os.fork() != 0:
            return
        while True:
            note("alive", token=token, since=since)
            time.sleep(TICK_S)
    finally:
        os._exit(0)


@task(**TYPES["soak_large"])
def soak_large(data: str) -> str:
    """Its data and its result are large; all of both must have come."""
    token = data.strip()
    with noted(token):
        return padded("soak_large", result_of(token)) if len(data) == LARGE_CHARS else "cut short"


@task(**TYPES["soak_dies"])
def soak_dies(token: str) -> str:
    """Takes its process with it."""
    with noted(token):
        note("end", token=token, outcome="died")
        os.kill(os.getpid(), signal.SIGKILL)
        return "unreachable"
