"""A TCP link that can be cut, stalled, slowed down, and left half open. Loopback only."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

CHUNK_BYTES = 1 << 16
SLOW_BYTES_PER_S = 250_000  # 2 Mbit/s
SLOW_CHUNK_BYTES = 1 << 13


class _Pair:
    """One connection that was taken, and the one it is passed on to. `far_lives`: the far end shall hear of no end."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far
        self.far_lives = False

    def end(self) -> None:
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Takes connections at `port` and passes them on to `target_port`, both ways."""

    def __init__(self, port: int, target_port: int) -> None:
        self._target_port = target_port
        self._flows = threading.Event()
        self._flows.set()
        self._cut = False
        self._slow = False
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection breaks, and new ones do at once, until `heal`."""
        self._cut = True
        for pair in self._all():
            pair.end()

    def stall(self) -> None:
        """Connections stay, but nothing passes until `heal`."""
        self._flows.clear()

    def slow(self) -> None:
        """Each direction of each connection carries SLOW_BYTES_PER_S, until `heal`."""
        self._slow = True

    def half_open(self) -> None:
        """Those who dialled see their connections break; the other side sees nothing, until `heal`."""
        self._cut = True
        for pair in self._all():
            pair.far_lives = True
            with contextlib.suppress(OSError):
                pair.near.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        for pair in self._all():
            if pair.far_lives:
                pair.far_lives = False
                pair.end()
        self._cut = self._slow = False
        self._flows.set()

    def close(self) -> None:
        self._cut = True
        self._flows.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._all():
            pair.far_lives = False
            pair.end()

    def _all(self) -> list[_Pair]:
        with self._lock:
            return list(self._pairs)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._cut:
                    near.close()
                else:
                    threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(near, far)
        with self._lock:
            self._pairs.append(pair)
        back = threading.Thread(target=self._pump, args=(pair, far, near), daemon=True)
        back.start()
        self._pump(pair, near, far)
        back.join()
        with self._lock:
            self._pairs.remove(pair)
        near.close()
        far.close()

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(SLOW_CHUNK_BYTES if self._slow else CHUNK_BYTES):
                self._flows.wait()
                if self._slow:
                    time.sleep(len(data) / SLOW_BYTES_PER_S)
                sink.sendall(data)
        self._flows.wait()  # the end of a connection does not pass a stalled link either
        if not pair.far_lives:
            pair.end()
