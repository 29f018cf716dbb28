"""A client by docs/protocol.md alone, which records what it is told.

Not the client library: what is judged is the broker's word, and a mistake of the library would blur it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import zmq

from soaking.recorder import Recorder
from soaking.soak_tasks import padded

FIRST_TRY_S = 0.5
LONGEST_TRY_S = 4.0
GONE_CHECK_S = 0.005


class NoAnswer(Exception):
    """The broker did not answer in time."""


class Asker:
    """Asks the broker at `endpoint`. A request without a reply is sent again, the same bytes on a new socket; at once
    when the connection is lost."""

    def __init__(
        self, endpoint: str, recorder: Recorder, patience_s: float = 60.0, gone: Callable[[], bool] | None = None
    ) -> None:
        """gone: whether there is nobody left to wait for."""
        self._endpoint = endpoint
        self._recorder = recorder
        self._patience_s = patience_s
        self._gone = gone
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._asked: dict[str, float] = {}

    def close(self) -> None:
        self._context.destroy(linger=0)

    def ask(self, op: str, *, waits_s: float = 0.0, **fields: Any) -> dict[str, Any]:
        """The reply, errors included. waits_s: for how long the broker may keep the request. Raises NoAnswer."""
        body = msgpack.packb({"v": 1, "op": op, **fields})
        deadline = time.monotonic() + self._patience_s
        wait_s = FIRST_TRY_S + waits_s
        while (left_s := deadline - time.monotonic()) > 0:
            socket = self._open()
            socket.send(body)
            reply = self._reply(socket, min(wait_s, left_s))
            if reply is not None:
                return reply
            socket.disable_monitor()
            self._monitor.close()
            socket.close()
            self._socket = None
            wait_s = min(wait_s * 2, LONGEST_TRY_S)
        raise NoAnswer(f"{op} at {self._endpoint}: no answer in {self._patience_s:g} s")

    def _reply(self, socket: zmq.Socket[bytes], seconds: float) -> dict[str, Any] | None:
        """The reply; None after so many seconds, or when the connection is lost. Raises NoAnswer if nobody is left."""
        deadline = time.monotonic() + seconds
        poller = zmq.Poller()
        for source in (socket, self._monitor):
            poller.register(source, zmq.POLLIN)
        step_s = seconds if self._gone is None else GONE_CHECK_S
        while (left_s := deadline - time.monotonic()) > 0:
            # the answer to an earlier request, which a dead broker left, polls as readable and is then dropped
            ready = dict(poller.poll(max(1, int(min(step_s, left_s) * 1000))))
            with contextlib.suppress(zmq.Again):
                if socket in ready:
                    reply: dict[str, Any] = msgpack.unpackb(socket.recv(zmq.NOBLOCK))
                    return reply
            if self._monitor in ready:
                return None
            if self._gone is not None and self._gone():
                raise NoAnswer("there is nobody left to answer")
        return None

    def _open(self) -> zmq.Socket[bytes]:
        if self._socket is None:
            self._socket = self._context.socket(zmq.REQ)
            for option in (zmq.REQ_RELAXED, zmq.REQ_CORRELATE):
                self._socket.setsockopt(option, 1)
            self._socket.linger = 0
            self._socket.heartbeat_ivl, self._socket.heartbeat_timeout, self._socket.tcp_maxrt = 1000, 0, 4000
            self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            self._socket.connect(self._endpoint)
        return self._socket

    # --- recorded ------------------------------------------------------------------------------------------

    def submit(self, key: str, kind: str, tokens: Sequence[str], **about: Any) -> dict[str, Any]:
        """One request; the intention is recorded before it, so that another can repeat it if this client dies.

        Begun when its key was first used: the broker may have taken the jobs then, and died before it answered.
        """
        asked = self._asked.setdefault(key, time.monotonic())
        self._recorder.note("asking", key=key, kind=kind, tokens=list(tokens), about=about)
        return self.submit_again(key, kind, tokens, asked, **about)

    def submit_again(self, key: str, kind: str, tokens: Sequence[str], asked: float, **about: Any) -> dict[str, Any]:
        """The same request, begun at `asked`; its answer is recorded. `about` may have priority and ready_after_s."""
        place = {"priority": about.get("priority", 0), "delay_ms": int(about.get("ready_after_s", 0.0) * 1000)}
        jobs = [{"type": kind, "data": msgpack.packb(padded(kind, token)), **place} for token in tokens]
        reply = self.ask("submit", request_key=key, jobs=jobs)
        if reply["op"] == "submit":
            told = {name: reply[name] for name in ("first_id", "count", "journal")}
            self._recorder.note("accepted", asked=asked, key=key, tokens=list(tokens), type=kind, **about, **told)
        else:
            self._recorder.note("refused", asked=asked, key=key, code=reply["code"])
        return reply

    def status(self, ids: Sequence[int]) -> dict[int, str]:
        """The states of those jobs."""
        return self._statuses("status", ids)

    def cancel(self, ids: Sequence[int]) -> None:
        """Ends those jobs; what has become of them is recorded."""
        self._statuses("cancel", ids)

    def _statuses(self, op: str, ids: Sequence[int]) -> dict[int, str]:
        asked = time.monotonic()
        reply = self.ask(op, ids=list(ids))
        if reply["op"] != op:
            return {}
        for job in reply["jobs"]:
            about = {name: job[name] for name in ("id", "state", "version", "reason", "attempts", "reruns")}
            self._recorder.note("status", asked=asked, **about)
        for missing in reply["missing"]:
            self._recorder.note("missing", asked=asked, **missing)
        return {job["id"]: job["state"] for job in reply["jobs"]}

    def result(self, job_id: int) -> Any:
        """The value of a completed job's result, without what it was padded with; None when there is none."""
        asked = time.monotonic()
        body = b""
        while True:
            reply = self.ask("result", id=job_id, offset=len(body))
            if reply["op"] != "result" or reply["state"] != "completed":
                return None
            body += reply["body"]
            if len(body) >= reply["size_bytes"]:
                break
        value = msgpack.unpackb(body).strip()
        self._recorder.note("result", asked=asked, id=job_id, value=value)
        return value
