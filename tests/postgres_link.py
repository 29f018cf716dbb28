"""A link to PostgreSQL that breaks at an exact message."""

from __future__ import annotations

import contextlib
import selectors
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.postgres import Postgres


class Link:
    """Carries bytes between a program and its server, and breaks at an exact message of the program."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._to = str(server.folder / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self.left: int | None = None  # messages to carry before it breaks
        self.how = ""
        self.carried = 0
        self.kinds: Counter[bytes] = Counter()  # the messages that were carried, by their first byte
        self.round_trips = 0  # answers that were followed by another message
        self._answered = False
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, schema: str = "") -> str:
        """As `Postgres.url`, over this link."""
        return self.through(self._server.url(schema))

    def through(self, name: str) -> str:
        """The same journal, over this link."""
        return name.replace(str(self._server.folder), str(self._folder))

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._to)
        begun = False  # the first message of a connection has no type
        waiting = b""
        with near, far, selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ)
            selector.register(far, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    content = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    if not content:
                        return
                    if key.fileobj is far:
                        near.sendall(content)
                        self._answered = True
                        continue
                    self.round_trips += self._answered
                    self._answered = False
                    waiting += content
                    while message := self._message(waiting, begun):
                        waiting, begun = waiting[len(message) :], True
                        if self._breaks(message, far):
                            return
                        far.sendall(message)

    def _message(self, content: bytes, begun: bool) -> bytes:
        """The next whole message in `content`, or nothing."""
        at = 1 if begun else 0
        if len(content) < at + 4:
            return b""
        size = at + int.from_bytes(content[at : at + 4], "big")
        return content[:size] if len(content) >= size else b""

    def _breaks(self, message: bytes, far: socket.socket) -> bool:
        self.carried += 1
        self.kinds[message[:1]] += 1
        if self.left is None:
            return False
        self.left -= 1
        if self.left:
            return False
        self.left = None
        if self.how == "during":
            far.sendall(message[: max(1, len(message) // 2)])
        elif self.how == "after":
            far.sendall(message)
            if message.startswith(b"S"):
                far.recv(1)  # carried out, and nobody is told
        return True


@contextlib.contextmanager
def broken_link(server: Postgres) -> Iterator[Link]:
    """A link that breaks when it is told to."""
    with tempfile.TemporaryDirectory(prefix="zj", dir="/tmp") as folder:
        link = Link(server, Path(folder))
        try:
            yield link
        finally:
            link.close()
