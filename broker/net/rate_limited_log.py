"""A log of misbehaving peers: the first of each kind at once, later ones counted and logged at most once a minute."""

from __future__ import annotations

import logging

EVERY_MS = 60_000

log = logging.getLogger("zjobs.broker")


class RateLimitedLog:
    """Logs sentences about peers. A peer's bytes appear only escaped: see `codec.DecodeError`."""

    def __init__(self) -> None:
        self._untold: dict[str, int] = {}
        self._told_at_ms: dict[str, int] = {}

    def add(self, kind: str, sentence: str, now_ms: int) -> None:
        """Log `sentence`, or count it if one of this `kind` was logged within the last minute."""
        told_at_ms = self._told_at_ms.get(kind)
        if told_at_ms is not None and now_ms - told_at_ms < EVERY_MS:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return
        untold = self._untold.pop(kind, 0)
        self._told_at_ms[kind] = now_ms
        log.warning("%s: %s%s", kind, sentence, f" ({untold} more since the last such line)" if untold else "")

    def tell(self, now_ms: int) -> None:
        """Log how many were counted, for each kind whose minute is over."""
        for kind in [kind for kind in self._untold if now_ms - self._told_at_ms[kind] >= EVERY_MS]:
            self._told_at_ms[kind] = now_ms
            log.warning("%s: %d more in the last minute", kind, self._untold.pop(kind))
