"""Requests that Hypothesis makes up: every one is answered, and so is an honest client after it."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples

OPS = [
    "hello",
    "submit",
    "status",
    "queue",
    "result",
    "show",
    "cancel",
    "retry",
    "pause",
    "resume",
    "log",
    "list",
    "forget",
]
OPS += ["types", "info", "backup", "error", "job", "x"]
FIELDS = [
    "request_key",
    "jobs",
    "ids",
    "id",
    "offset",
    "reason",
    "state",
    "type",
    "limit",
    "before",
    "hold",
    "pause_ms",
    "data",
]
FIELDS += ["priority", "delay_ms", "time_limit_ms"]
NUMBERS = st.sampled_from([0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1.5, float("nan"), 1e308])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=70), st.binary(max_size=20))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
)
SENSIBLE = {
    "ids": st.lists(st.integers(1, 9), max_size=5) | st.just(list(range(1, 10_002))),
    "id": st.integers(1, 9) | st.just(2**63 - 1),
    "offset": st.sampled_from([0, 1, 2**62, 2**63 - 1]),
    "request_key": st.text(min_size=1, max_size=64),
    "jobs": st.lists(
        st.fixed_dictionaries({"type": st.text(min_size=1, max_size=9)}, optional={"data": SCALARS}), max_size=3
    ),
}
REQUESTS = st.fixed_dictionaries(
    {"v": st.just(1), "op": st.sampled_from(OPS)},
    optional={field: SENSIBLE.get(field, VALUES) | VALUES for field in FIELDS},
)
DEEP = b"\x82\xa1v\x01\xa2op"
HELLO = b"\x83\xa1v\x01\xa2op\xa5hello\xa1x"
BOMBS = {
    "op nested 100 deep": DEEP + b"\x91" * 100 + b"\xc0",
    "op nested 1,000 deep": DEEP + b"\x91" * 1000 + b"\xc0",
    "op nested 1,020 deep": DEEP + b"\x91" * 1020 + b"\xc0",
    "op nested 100,000 deep": DEEP + b"\x91" * 100_000 + b"\xc0",
    "v nested 1,000 deep": b"\x82\xa2op\x01\xa1v" + b"\x91" * 1000 + b"\xc0",
    "timestamps nested 1,000 deep": HELLO + b"\x91" * 1000 + b"\xd6\xff" + bytes(4),
    "a list of 4 billion claimed": HELLO + b"\xdd\xff\xff\xff\xff",
    "a map of 4 billion claimed": HELLO + b"\xdf\xff\xff\xff\xff",
    "text of 4 GiB claimed": HELLO + b"\xdb\xff\xff\xff\xff",
    "1,000 lists claimed, one in the other": HELLO + b"\xdc\xff\xff" * 1000 + b"\x80" * 60_000,
    "a million empty maps": HELLO + b"\xdd\x00\x0f\x42\x40" + b"\x80" * 1_000_000,
    "a timestamp that overflows": HELLO + b"\xc7\x0c\xff" + b"\xff" * 12,
    "an extension": HELLO + b"\xd4\x05\x00",
    "the same key twice": b"\x83\xa1v\x01\xa2op\xa5hello\xa2op\xa4info",
    "text that is not UTF-8": b"\x82\xa1v\x01\xa2op\xa3\xff\xfe\xfd",
    "a surrogate": b"\x82\xa1v\x01\xa2op\xa3\xed\xa0\x80",
    "a key that is a number": b"\x82\x01\x01\xa2op\xa5hello",
    "a key that is a list": b"\x82\x91\x01\x01\xa2op\xa5hello",
    "NaN as the version": b"\x82\xa1v\xcb\x7f\xf8" + bytes(6) + b"\xa2op\xa5hello",
    "two values": b"\x82\xa1v\x01\xa2op\xa5hello\xc0",
    "what was never to be used": b"\xc1",
    "nothing": b"",
}


@pytest.fixture
def ended_job(stage: Any) -> None:
    """Job 1 has ended, so that what is asked of ended jobs is reached."""
    stage.service.ask("submit", request_key="first", jobs=[{"type": "x"}])
    assert stage.service.ask("cancel", ids=[1])["jobs"][0]["state"] == "cancelled"


@pytest.mark.usefixtures("ended_job")
def test_every_request_is_answered(stage: Any) -> None:
    """Whatever the fields hold, the reply is of the op or an error of the closed list."""
    asked = {"reply": 0, "error": 0}
    with stage.service.dealer() as asking:

        @examples(100 * stage.times)
        @given(REQUESTS | VALUES)
        def ask(fields: Any) -> None:
            for body in (msgpack.packb(fields), msgpack.packb({"v": 1, "op": "hello"})):
                asking.send_multipart([b"", body])
                reply = msgpack.unpackb(asking.recv_multipart()[-1])
            assert reply["op"] == "hello"
            asked["reply"] += 1

        ask()
    stage.honest()
    stage.tried(f"{asked['reply']} made-up requests, each answered, and an honest one after each")
    assert "internal" not in stage.service.broker.log


@pytest.mark.usefixtures("ended_job")
def test_bombs_are_refused(stage: Any) -> None:
    """Depth, claimed lengths, extensions and text that is none: an answer to each, and memory as before."""
    before = stage.rss_mib()
    for name, body in BOMBS.items():
        reply = stage.ask_bytes(body)
        assert reply["op"] in ("hello", "info") or (reply["op"] == "error" and reply["code"] != "internal"), name
        stage.honest()
    stage.tried(f"{len(BOMBS)} bombs; {before} MiB before, {stage.rss_mib()} MiB after")
    assert stage.rss_mib() - before < 200


@pytest.mark.usefixtures("ended_job")
def test_the_greatest_offset_is_answered(stage: Any) -> None:
    """A piece that begins behind the end is empty, however far behind."""
    for op in ("result", "log"):
        assert stage.service.ask(op, id=1, offset=2**63 - 1)["body"] == b""


def test_malformed_requests_wait_their_turn(stage: Any) -> None:
    """100,000 requests that are none do not keep an honest client waiting for the last of them."""
    count = 100_000
    with stage.service.dealer() as flooding:
        flooding.sndhwm = 0
        for _ in range(count):
            flooding.send_multipart([b"", b"\xc1"])
        took = stage.latencies_ms()
    stage.tried(f"{count} requests that are none; {stage.told(took)}")
    assert sorted(took)[len(took) // 2] < 500
    assert stage.service.broker.log.count("requests: one was refused") == 1
