"""Stands between clients and a broker, message by message: drops and repeats requests and replies, by a seed."""

from __future__ import annotations

import random
import threading

import zmq


class Lossy:
    """A ROUTER at `endpoint` that passes on to `broker` what it does not lose; `chance`: of a loss, and of a repeat."""

    def __init__(self, endpoint: str, broker: str, seed: int, chance: float) -> None:
        self._draw = random.Random(seed)
        self._chance = chance
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._front = self._context.socket(zmq.ROUTER)
        self._back = self._context.socket(zmq.DEALER)
        for socket in (self._front, self._back):
            socket.linger = 0
            socket.sndhwm = socket.rcvhwm = 0
        self._front.bind(endpoint)
        self._back.connect(broker)
        self.mishaps = {"lost": 0, "repeated": 0}
        self._ends = False
        self._thread = threading.Thread(target=self._pass_on)
        self._thread.start()

    def close(self) -> None:
        self._ends = True
        self._thread.join()
        self._context.destroy(linger=0)

    def _pass_on(self) -> None:
        poller = zmq.Poller()
        for socket in (self._front, self._back):
            poller.register(socket, zmq.POLLIN)
        while not self._ends:
            for source, _ in poller.poll(50):
                sink = self._back if source is self._front else self._front
                message = source.recv_multipart()
                for _ in range(self._times()):
                    sink.send_multipart(message)

    def _times(self) -> int:
        drawn = self._draw.random()
        if drawn < self._chance:
            self.mishaps["lost"] += 1
            return 0
        if drawn < 2 * self._chance:
            self.mishaps["repeated"] += 1
            return 2
        return 1
