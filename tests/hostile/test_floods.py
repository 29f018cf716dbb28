"""A client that asks for all it can, and an honest one beside it: counted in answers, which no slow machine changes."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

JOBS = 6_000
ASKED = 5
IN_FLIGHT = 40
IDS = list(range(1, JOBS + 1))
FLOODS: dict[str, dict[str, Any]] = {
    "list": {"op": "list", "limit": 1000},
    "a list that finds nothing": {"op": "list", "type": "none"},
    "status": {"op": "status", "ids": IDS},
    "cancel": {"op": "cancel", "ids": IDS},
    "forget": {"op": "forget", "ids": IDS},
}
BETWEEN = 15  # a turn reads for 10 ms, and each of these takes several


def body(**fields: Any) -> bytes:
    return msgpack.packb({"v": 1, **fields})  # type: ignore[no-any-return]


@pytest.mark.parametrize("flood", FLOODS)
def test_an_honest_client_does_not_wait_for_a_flood(stage: Any, flood: str) -> None:
    """With 40 requests of another client before it, it is answered after a few of them at the most."""
    for number in range(3):
        stage.service.ask("submit", request_key=f"{number}", jobs=[{"type": "x"}] * (JOBS // 3))
    request = body(**FLOODS[flood])
    with stage.service.dealer() as flooding, stage.service.dealer() as honest:
        for number in range(IN_FLIGHT):
            flooding.send_multipart([b"%d" % number, b"", request])
        flooding.recv_multipart()  # the others are there by now
        answers = 0
        for _ in range(ASKED):
            honest.send_multipart([b"", body(op="status", ids=[1])])
            honest.recv_multipart()
            while flooding.poll(0):
                flooding.recv_multipart()
                flooding.send_multipart([b"", b"", request])
                answers += 1
    stage.tried(f"{flood}: {answers / ASKED:.1f} answers to the flood for each to an honest client")
    assert answers / ASKED < BETWEEN


def test_what_is_too_much_of_one_client_is_refused(stage: Any) -> None:
    """More requests than are kept for a connection are answered `busy`; each is answered."""
    count = 3_000
    with stage.service.dealer() as flooding:
        flooding.sndhwm = flooding.rcvhwm = 0
        for number in range(count):
            flooding.send_multipart([b"%d" % number, b"", body(op="list")])
        stage.honest()
        codes = [msgpack.unpackb(flooding.recv_multipart()[-1]).get("code", "answered") for _ in range(100)]
    assert set(codes) <= {"answered", "busy"}


def test_a_client_sees_what_it_did_before(stage: Any) -> None:
    """Requests on their way together are taken in their order: what is asked for after a change shows it."""
    with stage.service.dealer() as asking:
        for number in range(50):
            jobs = [{"type": "x"}]
            asking.send_multipart([b"s", b"", body(op="submit", request_key=f"{number}", jobs=jobs)])
            asking.send_multipart([b"q", b"", body(op="status", ids=[number + 1])])
        replies = [msgpack.unpackb(asking.recv_multipart()[-1]) for _ in range(100)]
    told = [reply["jobs"][0]["id"] for reply in replies if reply["op"] == "status"]
    assert told == list(range(1, 51))


def test_many_ids_are_cancelled_and_forgotten_in_parts(stage: Any) -> None:
    """And answered as a whole, with those that are missing."""
    stage.service.ask("submit", request_key="k", jobs=[{"type": "x"}] * 1_000)
    ids = list(range(1, 1_101))
    reply = stage.service.ask("cancel", ids=ids)
    assert [job["id"] for job in reply["jobs"]] == ids[:1_000]
    assert {job["state"] for job in reply["jobs"]} == {"cancelled"}
    assert [missing["id"] for missing in reply["missing"]] == ids[1_000:]
    reply = stage.service.ask("forget", ids=[*ids, *ids])
    assert reply["forgotten"] == ids[:1_000] and [missing["id"] for missing in reply["missing"]] == ids[1_000:]
