"""How often the log tells of a thing."""

from __future__ import annotations

import pytest

from zjobs.broker.net.rate_limited_log import EVERY_MS, RateLimitedLog


def test_each_kind_is_told_at_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    """However often it happens: one line, and a minute later one more with the number."""
    limited_log = RateLimitedLog()
    for now_ms in range(1_000):
        limited_log.add("requests", "one was refused", now_ms)
        limited_log.tell(now_ms)
    limited_log.add("replies", "one was dropped", 1_000)
    assert caplog.messages == ["requests: one was refused", "replies: one was dropped"]
    limited_log.tell(EVERY_MS)
    limited_log.tell(3 * EVERY_MS)
    assert caplog.messages[2:] == ["requests: 999 more in the last minute"]
