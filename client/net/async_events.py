"""The events of an AsyncClient: connections that several watches share."""

from __future__ import annotations

import asyncio
from collections import deque

import zmq

from zjobs.client.net.link import Channel, Link
from zjobs.client.protocol.actions import Follow, Heard, Topics
from zjobs.messages.events import subscription_of

# Events that wait for their watch; the watch asks for any beyond this.
MOST_UNHEARD = 10_000


class Events:
    """The events of one client: a shared connection for jobs, and one more for each watch of all jobs."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._shared: _Source | None = None
        self._feeds: set[Feed] = set()

    @property
    def feeds(self) -> int:
        """The number of watches."""
        return len(self._feeds)

    def feed(self) -> Feed:
        """Return a feed without a connection."""
        return Feed(self)

    def close(self) -> None:
        """End all feeds."""
        for feed in list(self._feeds):
            feed.failed(RuntimeError("this AsyncClient is closed"))
            feed.close()
        if self._shared is not None:
            self._shared.end()

    def begin(self, feed: Feed, follow: Follow) -> _Source:
        """Return the connection from which `feed` now receives."""
        self._feeds.add(feed)
        if not follow.shared:
            return _Source(self._link, follow.endpoint)
        if self._shared is None or self._shared.ended or self._shared.endpoint != follow.endpoint:
            if self._shared is not None:
                self._shared.release()
            self._shared = _Source(self._link, follow.endpoint, lasts=True)
        return self._shared

    def end(self, feed: Feed) -> None:
        """Forget a feed."""
        self._feeds.discard(feed)


class _Source:
    """A SUB socket, and the feeds of each topic. It ends with its last feed, unless it `lasts`."""

    def __init__(self, link: Link, endpoint: str, lasts: bool = False) -> None:
        self.endpoint = endpoint
        self.lasts = lasts
        self.ended = False
        self.feeds: set[Feed] = set()
        self._topics: dict[bytes, set[Feed]] = {}
        self._channel = Channel(link.new_socket(zmq.SUB, endpoint), endpoint, link.key, self)

    def add(self, feed: Feed, topic: bytes) -> None:
        """Subscribe, unless another feed already has."""
        feeds = self._topics.setdefault(topic, set())
        if not feeds:
            self._channel.socket.subscribe(topic)
        feeds.add(feed)

    def drop(self, feed: Feed, topic: bytes) -> None:
        """Unsubscribe, unless another feed needs the topic."""
        feeds = self._topics[topic]
        feeds.discard(feed)
        if not feeds:
            del self._topics[topic]
            self._channel.socket.unsubscribe(topic)

    def leave(self, feed: Feed) -> None:
        """End the connection with its last feed."""
        self.feeds.discard(feed)
        if not self.feeds and not self.lasts:
            self.end()

    def release(self) -> None:
        """End with the last feed from now on: at once if there is none."""
        self.lasts = False
        if not self.feeds:
            self.end()

    def end(self) -> None:
        """Close the connection. Ending again does nothing."""
        if not self.ended:
            self.ended = True
            self._channel.close()

    def received(self, frames: list[bytes]) -> None:
        """Pass on an event."""
        for feed in self._topics.get(subscription_of(frames[0]), ()):
            feed.heard(frames[-1])

    def connected(self) -> None:
        pass

    def retried(self) -> None:
        pass

    def lost(self) -> None:
        for feed in self.feeds:
            feed.cut()

    def refused(self, error: Exception) -> None:
        self.end()
        for feed in self.feeds:
            feed.failed(error)


class Feed:
    """The events for one watch."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._source: _Source | None = None
        self._topics: set[bytes] = set()
        self._bodies: deque[bytes] = deque()
        self._lost = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None

    def follow(self, action: Follow) -> None:
        """Receive from another endpoint from now on, without any topic."""
        self._leave()
        self._source = self._events.begin(self, action)
        self._source.feeds.add(self)

    def subscribe(self, topics: Topics) -> None:
        """End some subscriptions and begin others."""
        if self._source is None or self._source.ended:
            return  # `read` raises why
        for topic in topics.dropped:
            self._source.drop(self, topic)
        for topic in topics.added:
            self._source.add(self, topic)
        self._topics = self._topics.difference(topics.dropped).union(topics.added)

    async def read(self, until: float) -> Heard:
        """Wait for events until the deadline, and return them. A cancelled read loses nothing."""
        loop = asyncio.get_running_loop()
        if not (self._bodies or self._lost or self._error):
            self._reader = loop.create_future()
            timeout = None if until == float("inf") else max(0.0, until - loop.time())
            await asyncio.wait([self._reader], timeout=timeout)
        if self._error is not None:
            raise self._error
        bodies, lost = list(self._bodies), self._lost
        self._bodies.clear()
        self._lost = False
        return Heard(bodies, lost, loop.time())

    def heard(self, body: bytes) -> None:
        """Keep an event for the watch."""
        if len(self._bodies) < MOST_UNHEARD:
            self._bodies.append(body)
        self._wake()

    def cut(self) -> None:
        """Record that the connection was lost."""
        self._lost = True
        self._wake()

    def failed(self, error: Exception) -> None:
        """Record that there can be no connection."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def close(self) -> None:
        """End the feed. Closing again does nothing."""
        self._leave()
        self._events.end(self)

    def _leave(self) -> None:
        source, self._source = self._source, None
        if source is None:
            return
        if not source.ended:
            for topic in self._topics:
                source.drop(self, topic)
        self._topics.clear()
        source.leave(self)
