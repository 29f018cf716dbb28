"""Runs zbroker or zworker so that it ends itself by SIGKILL at an exact place, without any timing.

python fatal.py broker PLACE WHAT NTH [OPTION]...    at the NTH commit that has WHAT (a field of Changes):
    before   it begins              written  it is written, but not committed
    after    it is on disk          sent     it is on disk and the next message after it has left
    told     before it begins, and by SIGTERM instead
    unknown  it is on disk, and says that it failed; nothing ends
python fatal.py worker PLACE WHAT NTH [OPTION]...    at the NTH message with the text WHAT:
    before   it is sent             after    it is sent             received   it was received
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import msgpack
import zmq


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def counted(nth: int) -> Callable[[], bool]:
    """A function that is true at its nth call."""
    calls = iter(range(1, sys.maxsize))
    return lambda: next(calls) == nth


def arm_broker(place: str, what: str, nth: int) -> None:
    from zjobs.broker.storage.api import StorageError
    from zjobs.broker.storage.sqlite import journal

    Journal = journal.SqliteJournal
    commit, write, send = Journal.commit, journal.write, zmq.Socket.send
    due = counted(nth)
    state = {"now": False, "sending": False}

    def dying_commit(self: Any, changes: Any) -> None:
        now = bool(getattr(changes, what)) and due()
        if now and place == "told":
            os.kill(os.getpid(), signal.SIGTERM)
        if now and place == "before":
            die()
        state["now"] = now
        commit(self, changes)
        if now and place == "after":
            die()
        if now and place == "unknown":
            raise StorageError("the connection broke during the commit")
        state["sending"] = now

    def dying_write(connection: Any, changes: Any) -> None:
        write(connection, changes)
        if state["now"] and place == "written":
            die()

    def dying_send(self: Any, data: Any, flags: int = 0, *more: Any, **named: Any) -> Any:
        result = send(self, data, flags, *more, **named)
        if state["sending"] and place == "sent" and not flags & zmq.SNDMORE:
            die()
        return result

    Journal.commit, journal.write = dying_commit, dying_write  # type: ignore[method-assign]
    zmq.Socket.send = dying_send  # type: ignore[method-assign]


def arm_worker(place: str, what: str, nth: int) -> None:
    send, recv = zmq.Socket.send, zmq.Socket.recv
    due = counted(nth)
    value = msgpack.packb(what)  # a text of its own, not a word of a type's description

    def dying_send(self: Any, data: Any, *more: Any, **named: Any) -> Any:
        now = place != "received" and value in bytes(data) and due()
        if now and place == "before":
            die()
        result = send(self, data, *more, **named)
        if now:
            die()
        return result

    def dying_recv(self: Any, *more: Any, **named: Any) -> Any:
        data = recv(self, *more, **named)
        if place == "received" and value in data and due():
            die()
        return data

    zmq.Socket.send, zmq.Socket.recv = dying_send, dying_recv  # type: ignore[method-assign]


def run() -> int:
    program, place, what, nth, *options = sys.argv[1:]
    sys.argv = [f"z{program}", *options]
    if program == "broker":
        arm_broker(place, what, int(nth))
        from zjobs.broker.__main__ import main
    else:
        arm_worker(place, what, int(nth))
        from zjobs.worker.__main__ import main
    return main()


if __name__ == "__main__":
    sys.exit(run())
