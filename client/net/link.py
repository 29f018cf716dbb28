"""The sockets of an AsyncClient, which the event loop reads: channels, and the link for requests."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import Protocol

import zmq

from zjobs.client.config.addresses import Addresses
from zjobs.client.config.settings import Key
from zjobs.client.errors import BadAddress, KeyRefused, NotPermitted, UntrustedBroker
from zjobs.client.net.handshake import Handshake
from zjobs.client.net.pool import new_socket
from zjobs.client.net.reach import mechanism
from zjobs.client.protocol.actions import Attempt

# The broker keeps this many replies for a connection that does not read them, and drops any more.
MOST_IN_FLIGHT = 500
# Messages that are read before the loop serves others.
READ_AT_ONCE = 200


class _User(Protocol):
    """The user of a channel, which is told about its connection."""

    def received(self, frames: list[bytes]) -> None: ...

    def connected(self) -> None: ...

    def lost(self) -> None: ...

    def retried(self) -> None: ...

    def refused(self, error: Exception) -> None: ...


class Channel:
    """A connected socket that the event loop reads."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str, key: Key | None, user: _User) -> None:
        self.socket = socket
        self.endpoint = endpoint
        self._user = user
        self._loop = asyncio.get_running_loop()
        self._handshake = Handshake(socket, endpoint, key)
        self._judging: asyncio.Task[None] | None = None
        self._closed = False
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._handshake.close()
            socket.close()
            raise BadAddress(f"cannot connect to {endpoint}: {error}") from error
        self._files = [int(one.getsockopt(zmq.FD)) for one in (socket, self._handshake.monitor)]
        for file in self._files:
            self._loop.add_reader(file, self.read)
        self._loop.call_soon(self.read)

    @property
    def stands(self) -> bool:
        """True if there is a connection at present."""
        return self._handshake.stands

    def send(self, frames: list[bytes]) -> bool:
        """Send a message. Return False if there is no connection."""
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._loop.call_soon(self.read)  # ZeroMQ may have used up the signal that there is something to read
        return True

    def read(self) -> None:
        """Read until nothing is left: ZeroMQ's descriptor signals only once."""
        for _ in range(READ_AT_ONCE):
            if self._closed:
                return
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._user.received(frames)
        else:
            self._loop.call_soon(self.read)
        self._read_handshake()

    def _read_handshake(self) -> None:
        if self._closed or self._judging is not None:
            return
        stood = self._handshake.stands
        try:
            lost = self._handshake.read_events()
        except KeyRefused as error:
            self._user.refused(error)
            return
        if self._handshake.hung_up:
            self._judging = self._loop.create_task(self._judge())
        if lost and stood:
            self._user.lost()
        if self.stands and (lost or not stood):
            self._user.connected()
        if self._handshake.retries and not self.stands:
            self._user.retried()

    async def _judge(self) -> None:
        """Find out over another connection why there is none; that takes up to 0.3 s."""
        spoken = await asyncio.to_thread(mechanism, self.endpoint)
        self._judging = None
        if self._closed:
            return
        try:
            self._handshake.judge(spoken)
        except (NotPermitted, UntrustedBroker) as error:
            self._user.refused(error)
        else:
            self._read_handshake()

    def close(self) -> None:
        """Close the socket. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        if not self._loop.is_closed():
            for file in self._files:
                self._loop.remove_reader(file)
        self._handshake.close()
        self.socket.close()


class Link:
    """The connection for requests, opened when it is first needed and again when the broker refused it.

    `stood`: whether there ever was a connection.
    """

    def __init__(self, addresses: Addresses, key: Key | None) -> None:
        self.addresses = addresses
        self.key = key
        self.stood = False
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._channel: Channel | None = None
        self._number = 0
        # By number: who waits for the reply; None when nobody does any more, though it is still to come.
        self._in_flight: dict[bytes, asyncio.Future[list[bytes] | None] | None] = {}
        self._queue: deque[asyncio.Future[list[bytes] | None]] = deque()  # those that wait for room, or a connection
        self._closed = False
        self._process = os.getpid()

    def new_socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        """Return a socket for this endpoint, not yet connected.

        Raises RuntimeError when the client is closed, or used after a fork.
        """
        if self._closed or self._process != os.getpid():
            raise RuntimeError(
                "this AsyncClient is closed" if self._closed else "an AsyncClient belongs to one process"
            )
        if self._context is None:
            self._context = zmq.Context()
        return new_socket(self._context, kind, endpoint, self.key)

    async def ask(self, frame: bytes, attempt: Attempt) -> tuple[list[bytes] | None, bool]:
        """Send a request. Return the reply's frames behind the empty one (None: none came in time, or the connection
        broke), and whether there was a connection at the end, or just before it broke.

        Raises KeyRefused, KeyNeeded, UntrustedBroker.
        """
        if not await self._room(attempt.until):
            return None, self._stands
        channel = self._channel
        assert channel is not None
        self._number += 1
        number = self._number.to_bytes(8, "big")
        if not channel.send([number, b"", frame]):
            return None, False
        reply = self._in_flight[number] = asyncio.get_running_loop().create_future()
        try:
            await self._within(reply, attempt.until)
            if not reply.done() and channel.stands and attempt.more:
                await self._within(reply, attempt.until + attempt.more)
            if not reply.done():
                channel.read()  # a loop that was kept from reading must not ask twice
            return (reply.result() if reply.done() else None), True
        finally:
            if not reply.done():
                self._in_flight[number] = None

    async def _room(self, until: float) -> bool:
        """Wait until a request can be sent. Return False when the time is over."""
        loop = asyncio.get_running_loop()
        while not (self._stands and len(self._in_flight) < MOST_IN_FLIGHT):
            address = self.addresses.current
            if self._channel is not None and self._channel.endpoint != address:
                self._leave()
            if self._channel is None:
                socket = self.new_socket(zmq.DEALER, address)
                socket.setsockopt(zmq.IMMEDIATE, 1)  # what is sent goes to a connection, or is not sent
                self._channel = Channel(socket, address, self.key, self)
            turn = loop.create_future()
            self._queue.append(turn)
            try:
                await self._within(turn, until)
            except asyncio.CancelledError:
                if turn.done():
                    self._wake()  # let another go on
                raise
            finally:
                if not turn.done():
                    self._queue.remove(turn)
            if not turn.done():
                return False
            turn.result()
            if self._channel is None:
                return False
        return True

    @staticmethod
    async def _within(future: asyncio.Future[list[bytes] | None], until: float) -> None:
        await asyncio.wait([future], timeout=max(0.0, until - asyncio.get_running_loop().time()))

    @property
    def _stands(self) -> bool:
        channel = self._channel
        return channel is not None and channel.stands and channel.endpoint == self.addresses.current

    def _wake(self) -> None:
        """Let as many of those in the queue go on as there is room for."""
        room = MOST_IN_FLIGHT - len(self._in_flight) if self._stands else 0
        while room > 0 and self._queue:
            self._queue.popleft().set_result(None)
            room -= 1

    def received(self, frames: list[bytes]) -> None:
        """Pass a reply to the request with its number."""
        reply = self._in_flight.pop(frames[0], None)
        if reply is not None and not reply.done():
            reply.set_result(frames[2:])
        self._wake()

    def connected(self) -> None:
        """Let waiting requests go on."""
        self.stood = True
        self._wake()

    def lost(self) -> None:
        """End all requests in flight: the broker forgets them with the connection."""
        in_flight, self._in_flight = self._in_flight, {}
        for reply in in_flight.values():
            if reply is not None and not reply.done():
                reply.set_result(None)

    def retried(self) -> None:
        """Let the requests that wait for a connection go on to another address, if there is one."""
        if self.addresses.several:
            self._leave()
            while self._queue:
                self._queue.popleft().set_result(None)

    def _leave(self) -> None:
        """Close the connection to one of the addresses."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self.lost()

    def refused(self, error: Exception) -> None:
        """Close the socket, which ZeroMQ would not connect again; the next request opens another."""
        waiting = [*self._in_flight.values(), *self._queue]
        self._in_flight.clear()
        self._queue.clear()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        for one in waiting:
            if one is not None and not one.done():
                one.set_exception(error)
                one.exception()  # mark as seen: a future whose waiter was cancelled is not a mistake

    def close(self) -> None:
        """Close everything, the context last."""
        if self._closed:
            return
        self._closed = True
        if self._process == os.getpid():
            self.refused(RuntimeError("this AsyncClient is closed"))
            if self._context is not None:
                self._context.term()
