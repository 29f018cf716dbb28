"""What the log says of peers that misbehave: each kind at once, then counted, and told once a minute at the most."""

from __future__ import annotations

import logging

EVERY_MS = 60_000

log = logging.getLogger("zjobs.broker")


class RateLimitedLog:
    """Sentences about peers. None holds a peer's bytes other than escaped: see `wire.DecodeError`."""

    def __init__(self) -> None:
        self._untold: dict[str, int] = {}
        self._told_at_ms: dict[str, int] = {}

    def add(self, kind: str, sentence: str, now_ms: int) -> None:
        """Says `sentence`, unless one of this `kind` was said within the last minute: then it is counted."""
        told_at_ms = self._told_at_ms.get(kind)
        if told_at_ms is not None and now_ms - told_at_ms < EVERY_MS:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return
        untold = self._untold.pop(kind, 0)
        self._told_at_ms[kind] = now_ms
        log.warning("%s: %s%s", kind, sentence, f" ({untold} more since this was said last)" if untold else "")

    def tell(self, now_ms: int) -> None:
        """Says how many were counted, where the minute is over."""
        for kind in [kind for kind in self._untold if now_ms - self._told_at_ms[kind] >= EVERY_MS]:
            self._told_at_ms[kind] = now_ms
            log.warning("%s: %d more in the last minute", kind, self._untold.pop(kind))
