"""Bytes to messages and back: every message there is, and every kind of bytes that is none."""

from __future__ import annotations

import re
import typing
from enum import Enum
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from zjobs.messages import codec, dispatch, events, records, states, values
from zjobs.messages.codec import DecodeError, decode, decode_request, encode
from zjobs.messages.dispatch import PIPE, REPORTS, Ended, Invalid, Returned
from zjobs.messages.events import EVENTS, job_topic, watched_job
from zjobs.messages.fields import (
    MAX_CHECKPOINT_PAUSE_MS,
    MAX_DURATION_MS,
    MAX_PAGE,
    MAX_PRIORITY,
    MAX_TIME_MS,
    MAX_WAIT_MS,
    check_of,
    fields_of,
)
from zjobs.messages.records import ActingFor
from zjobs.messages.requests import changes, ops, queries
from zjobs.messages.requests.changes import NewJob, Submit
from zjobs.messages.requests.ops import REPLIES, REQUESTS
from zjobs.messages.requests.queries import Info, Queue, Result, Status
from zjobs.messages.states import ErrorCode, Outcome, Role

GOLDEN = Path(__file__).parents[2] / "contract/golden/frames.txt"
ALL = {"requests": REQUESTS, "replies": REPLIES, "events": EVENTS, "pipe": PIPE, "reports": REPORTS}
KINDS = [(name, op) for name, ops in ALL.items() for op in ops]
EXAMPLES = examples(15)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NUMBER = st.one_of(st.integers(1, 200), st.integers(1, 2**63 - 1))
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    int: NUMBER,
    str: TEXT.map(lambda text: text or "x"),
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    float: st.floats(0, 1),
    type(None): st.none(),
}
DURATION = st.integers(1, MAX_DURATION_MS)
DIGEST = st.text("0123456789abcdef", min_size=16, max_size=16)
BOUNDED: dict[str, st.SearchStrategy[Any]] = {
    "pause_ms": st.integers(0, MAX_CHECKPOINT_PAUSE_MS),
    "wait_ms": st.integers(0, MAX_WAIT_MS),
    "priority": st.integers(-MAX_PRIORITY, MAX_PRIORITY),
    "limit": st.integers(1, MAX_PAGE),
    "delayed_limit": st.integers(0, MAX_PAGE),
    "delay_ms": DURATION,
    "grace_ms": DURATION,
    "retry_delay_ms": DURATION,
    "time_limit_ms": st.none() | DURATION,
    "since_ms": DURATION,
    "start_at": st.none() | st.integers(1, MAX_TIME_MS),
    "start_by": st.none() | st.integers(1, MAX_TIME_MS),
    "exit_code": st.none() | st.integers(-64, 255),
    "for_ms": st.none() | DURATION,
    "schema_digest": DIGEST,
    "digest": DIGEST,
    "digests": st.lists(DIGEST, min_size=1, max_size=3).map(tuple),
}


def built(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotated type of a message."""
    hint = getattr(hint, "__supertype__", hint)  # of a unit, the integer
    if hint in LEAVES:
        return LEAVES[hint]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return st.lists(built(arguments[0]), min_size=1, max_size=3).map(tuple)
    if arguments:  # a union
        return st.one_of(*(built(one) for one in arguments if one is not Invalid))  # which nobody sends
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint)
    return st.builds(hint, *(BOUNDED[name] if name in BOUNDED else built(hints[name]) for name in hint._fields))


@pytest.mark.parametrize(("ops", "op"), KINDS)
def test_every_message_comes_back_as_it_was(ops: str, op: str) -> None:
    """Encoded and decoded, it is the same, down to the types of its fields; `refusal` finds nothing in it."""

    @EXAMPLES
    @given(built(ALL[ops][op]))
    def check(message: Any) -> None:
        assert codec.refusal(message) is None
        back = decode(encode(message), ALL[ops])
        assert back == message and type(back) is type(message) and repr(back) == repr(message)

    check()


@pytest.mark.parametrize(("ops", "op"), KINDS)
def test_every_field_says_its_bounds(ops: str, op: str) -> None:
    """A message is decoded by its annotations alone, in order."""
    kind = ALL[ops][op]
    assert tuple(name for name, *_ in fields_of(kind)) == kind._fields


def test_a_field_without_bounds_is_a_mistake_in_the_code() -> None:
    """Whoever adds a field says what it may hold."""
    for annotation in (int, str, float, tuple[int, ...], int | None):
        with pytest.raises(TypeError, match="no bounds"):
            check_of(annotation)


def test_golden_frames_still_mean_the_same() -> None:
    """Frames that were written down once decode to the messages noted with them.

    The last one of each message has all its present fields, and encodes to the same bytes.
    """
    encoded = {}
    for line in GOLDEN.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        ops, frame, said = line.split(" ", 2)
        message = decode(bytes.fromhex(frame), ALL[ops])
        assert repr(message) == repr(meant(said))
        assert decode(encode(message), ALL[ops]) == message
        encoded[ops, type(message)] = (frame, encode(message).hex())
    assert set(encoded) == {(ops, ALL[ops][op]) for ops, op in KINDS}, "one for every message"
    for ops, kind in encoded:
        frame, again = encoded[ops, kind]
        assert again == frame, kind


def meant(said: str) -> Any:
    """The message that is noted with a frame. Fields that came later have their defaults."""
    classes = {
        name: kind
        for module in (dispatch, events, records, changes, ops, queries)
        for name, kind in vars(module).items()
    }
    return eval(re.sub(r"<(\w+\.\w+): '\w*'>", r"\1", said), {**vars(states), **classes})


@EXAMPLES
@given(st.binary(max_size=200), st.sampled_from(list(ALL)))
def test_random_bytes_give_a_decode_error(frame: bytes, ops: str) -> None:
    """And nothing else."""
    with pytest.raises(DecodeError):
        decode(frame, ALL[ops])


@examples(150)
@given(st.data())
def test_mutated_frames_give_a_message_or_a_decode_error(data: st.DataObject) -> None:
    """Bytes changed, dropped and put in anywhere: what decodes, encodes again."""
    ops, op = data.draw(st.sampled_from(KINDS))
    frame = bytearray(encode(data.draw(built(ALL[ops][op]))))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(frame) - 1))
        how = data.draw(st.sampled_from(("change", "drop", "put in", "cut")))
        if how == "change":
            frame[place] = data.draw(st.integers(0, 255))
        elif how == "drop" and len(frame) > 1:
            del frame[place]
        elif how == "put in":
            frame[place:place] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            del frame[max(1, place) :]
    try:
        message = decode(bytes(frame), ALL[ops])
    except DecodeError as error:
        assert error.code in (ErrorCode.BAD_REQUEST, ErrorCode.UNKNOWN_OP, ErrorCode.UNSUPPORTED_VERSION)
        assert str(error).isprintable() or "\n" not in str(error)
    else:
        assert decode(encode(message), ALL[ops]) == message


@examples(60)
@given(st.data())
def test_fields_of_wrong_types_give_a_decode_error_that_names_them(data: st.DataObject) -> None:
    """Each field replaced by a value of some other type; the sentence says which field it is."""
    ops, op = data.draw(st.sampled_from([(ops, op) for ops, op in KINDS if ALL[ops][op]._fields]))
    fields = msgpack.unpackb(encode(data.draw(built(ALL[ops][op]))))
    name = data.draw(st.sampled_from(ALL[ops][op]._fields))
    fields[name] = data.draw(st.sampled_from((-1, 1.5, 2**63, [[]], {"x": 1}, [None], "\0" * 1_100_000)))
    try:
        decode(msgpack.packb(fields), ALL[ops])
    except DecodeError as error:
        assert error.code is ErrorCode.BAD_REQUEST and name in str(error)
        assert len(str(error)) < 500


def frame_of(**fields: Any) -> bytes:
    return typing.cast(bytes, msgpack.packb({"v": 1, **fields}))


def test_unknown_fields_are_ignored_at_every_level() -> None:
    """A newer peer may say more."""
    job = {"type": "x", "data": None, "colour": 5}
    assert decode(frame_of(op="submit", request_key="k", jobs=[job], future={"a": [1]}), REQUESTS) == Submit(
        "k", (NewJob("x"),)
    )


def test_optional_fields_may_be_absent_or_nil_and_required_ones_not() -> None:
    """As the protocol says of them."""
    assert decode(frame_of(op="queue"), REQUESTS) == decode(frame_of(op="queue", limit=None), REQUESTS) == Queue(20)
    assert decode(frame_of(op="result", id=3, offset=None), REQUESTS) == Result(3, 0)
    for fields in ({}, {"id": None}):
        with pytest.raises(DecodeError, match="id must be an integer"):
            decode(frame_of(op="result", **fields), REQUESTS)


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (b"\x83\xa1v\x01\xa2op\xa5types\xa2op\xa4info", "the body has a map with the same key twice"),
        (frame_of(op="submit", jobs=[{"type": "t", b"data": b"x"}]), "the body has a map with a key that is not text"),
        (frame_of(op="types", more=[{"a": {b"b": 1}}]), "the body has a map with a key that is not text"),
        (frame_of(op="types", more={1: 1}), "the body has a map with a key that is not text"),
        (msgpack.packb({"v": 2, b"x": 1}), "the body has a map with a key that is not text"),
    ],
)
def test_maps_that_two_readers_might_read_differently(frame: bytes, sentence: str) -> None:
    """Keys are text, and each stands once, in every map of a request, before anything else is looked at."""
    with pytest.raises(DecodeError) as caught:
        decode(frame, REQUESTS)
    assert (caught.value.code, str(caught.value)) == (ErrorCode.BAD_REQUEST, sentence)


@pytest.mark.parametrize("number", [3.0, True, "3", b"3", -1, 2**63])
def test_what_is_no_integer(number: Any) -> None:
    """A whole number that comes as a float is refused as well."""
    with pytest.raises(DecodeError, match=r"ids\[0\] must be an integer from 1"):
        decode(frame_of(op="status", ids=[number]), REQUESTS)


@pytest.mark.parametrize("fields", [{"op": "show", "id": 0}, {"op": "cancel", "ids": [0]}, {"op": "list", "before": 0}])
def test_0_is_no_id(fields: dict[str, Any]) -> None:
    """It is not an id that was never given, but a mistake in the request."""
    with pytest.raises(DecodeError, match="must be an integer from 1") as caught:
        decode(frame_of(**fields), REQUESTS)
    assert caught.value.code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", ErrorCode.BAD_REQUEST),
        (b"\x80", ErrorCode.UNSUPPORTED_VERSION),
        (b"\x93\x01\x02\x03", ErrorCode.BAD_REQUEST),
        (b"\xc1", ErrorCode.BAD_REQUEST),
        (msgpack.packb({"v": 2, "op": "hello"}), ErrorCode.UNSUPPORTED_VERSION),
        (msgpack.packb({"v": True, "op": "hello"}), ErrorCode.UNSUPPORTED_VERSION),
        (msgpack.packb({"v": 1.0, "op": "hello"}), ErrorCode.UNSUPPORTED_VERSION),
        (msgpack.packb({"op": "hello"}), ErrorCode.UNSUPPORTED_VERSION),
        (frame_of(), ErrorCode.UNKNOWN_OP),
        (frame_of(op="fly"), ErrorCode.UNKNOWN_OP),
        (frame_of(op=["hello"]), ErrorCode.UNKNOWN_OP),
        (frame_of(op=b"hello"), ErrorCode.UNKNOWN_OP),
        (frame_of(op="jobs", session="s", first=1, jobs=[]), ErrorCode.UNKNOWN_OP),
        (frame_of(op="hello") + b"\x00", ErrorCode.BAD_REQUEST),
        (frame_of(op="hello")[:-1], ErrorCode.BAD_REQUEST),
    ],
)
def test_what_is_not_a_message_is_named(frame: bytes, code: ErrorCode) -> None:
    """The code says what kind of mistake it is."""
    with pytest.raises(DecodeError) as caught:
        decode(frame, REQUESTS)
    assert caught.value.code is code


@pytest.mark.parametrize(
    "frame",
    [
        msgpack.packb({"v": 1, "op": "hello", "x": msgpack.ExtType(5, b"abc")}),
        msgpack.packb({"v": 1, "op": "hello"})[:-1] + b"o" + b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\x82\xa1v\x01\xa1x\xc7\x0c\xff" + b"\xff" * 12,
        b"\x81\xd6\xff\xff\xff\xff\xff\x01",
        b"\x91" * 5_000 + b"\x90",
        b"\x81\xa1x" * 5_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        msgpack.packb({float("nan"): 1, "v": 1, "op": "hello"}),
        msgpack.packb({1: 2, "v": 1, "op": "hello"}),
        msgpack.packb({(1, 2): 2, "v": 1, "op": "hello"}),
        msgpack.packb({b"x": 2, "v": 1, "op": "hello"}),
        msgpack.packb({b"v": 1, "v": 1, "op": "hello"}),
        b"\x83\xa1v\x01\xa2op\xa5hello\xa2op\xa5hello",
        b"\x83\xa1v\x01\xa1v\x02\xa2op\xa5hello",
        b"\x83\xa1v\x01\xa2op\xa5hello\x90\x01",
        b"\x82\xa1v\x01\xa2op\xa2\xff\xfe",
    ],
)
def test_hostile_documents_are_refused(frame: bytes) -> None:
    """Extension types, timestamps out of range, deep nesting, promised gigabytes, odd keys, broken UTF-8."""
    with pytest.raises(DecodeError):
        decode(frame, REQUESTS)


@pytest.mark.parametrize("field", ["v", "op", "id", "offset"])
def test_a_timestamp_is_no_value_of_any_field(field: str) -> None:
    """msgpack knows this one extension type by itself; no field of ours takes it."""
    fields = {"v": 1, "op": "result", "id": 1, "offset": 0, field: msgpack.Timestamp(1, 2)}
    with pytest.raises(DecodeError):
        decode(msgpack.packb(fields), REQUESTS)


@pytest.mark.parametrize("job_id", [0, -1, 2**63, 2**64 - 1, 1.0, True, "1"])
def test_ids_are_integers_from_1_that_fit_the_journal(job_id: Any) -> None:
    """Anything else never reaches it."""
    with pytest.raises(DecodeError, match="ids"):
        decode(frame_of(op="status", ids=[job_id]), REQUESTS)
    assert decode(frame_of(op="status", ids=[2**63 - 1]), REQUESTS) == Status((2**63 - 1,))


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"request_key": "k" * 64}, True),
        ({"request_key": "k" * 65}, False),
        ({"request_key": ""}, False),
        ({"jobs": []}, False),
        ({"jobs": [{"type": "t" * 128}]}, True),
        ({"jobs": [{"type": "t" * 129}]}, False),
        ({"jobs": [{"type": ""}]}, False),
        ({"jobs": [{"type": "t", "data": "text"}]}, False),
        ({"jobs": [{"type": "t", "priority": 1_000}]}, True),
        ({"jobs": [{"type": "t", "priority": -1_000}]}, True),
        ({"jobs": [{"type": "t", "priority": 1_001}]}, False),
        ({"jobs": [{"type": "t", "priority": -1_001}]}, False),
        ({"jobs": [{"type": "t", "priority": 1.0}]}, False),
        ({"jobs": [{"type": "t", "delay_ms": 0}]}, True),
        ({"jobs": [{"type": "t", "delay_ms": -1}]}, False),
        ({"jobs": [{"type": "t", "delay_ms": 2**62}]}, False),
        ({"jobs": [{"type": "t", "time_limit_ms": None}]}, True),
        ({"jobs": [{"type": "t", "time_limit_ms": 0}]}, False),
    ],
)
def test_the_bounds_of_a_submit(fields: dict[str, Any], fits: bool) -> None:
    """Those that docs/protocol.md states; the broker's own limits come on top."""
    frame = frame_of(**{"op": "submit", "request_key": "k", "jobs": [{"type": "t"}], **fields})
    if fits:
        decode(frame, REQUESTS)
    else:
        with pytest.raises(DecodeError):
            decode(frame, REQUESTS)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"op": "cancel", "ids": [1]}, True),
        ({"op": "cancel", "ids": []}, False),
        ({"op": "cancel"}, False),
        ({"op": "cancel", "ids": [1] * 10_000}, True),
        ({"op": "cancel", "ids": [1] * 10_001}, False),
        ({"op": "forget", "ids": []}, False),
        ({"op": "retry", "ids": [1]}, False),
        ({"op": "retry", "ids": [1], "request_key": "k" * 64}, True),
        ({"op": "retry", "ids": [], "request_key": "k"}, False),
        ({"op": "pause"}, True),
        ({"op": "pause", "reason": "r" * 1_000}, True),
        ({"op": "pause", "reason": "r" * 1_001}, False),
        ({"op": "list"}, True),
        ({"op": "list", "limit": 1_000, "state": "in_progress", "type": "x", "before": 1}, True),
        ({"op": "list", "limit": 1_001}, False),
        ({"op": "list", "limit": 0}, False),
        ({"op": "list", "state": "lost"}, False),
        ({"op": "list", "before": 0}, False),
        ({"op": "log", "id": 1}, True),
        ({"op": "log", "id": 1, "offset": -1}, False),
    ],
)
def test_the_bounds_of_requests_that_control_jobs(fields: dict[str, Any], fits: bool) -> None:
    """Those that docs/protocol.md states."""
    if fits:
        decode(frame_of(**fields), REQUESTS)
    else:
        with pytest.raises(DecodeError):
            decode(frame_of(**fields), REQUESTS)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf"), True, "0.5"])
def test_a_fraction_is_a_number_from_0_to_1(fraction: Any) -> None:
    """Whatever a task makes of it; an integer is one as well."""
    fields = {
        "op": "progress",
        "session": "s",
        "delivery": 1,
        "id": 1,
        "progress": 2,
        "output_offset": 0,
        "output": b"",
    }
    assert decode(frame_of(**fields, fraction=1), REPORTS).fraction == 1.0
    with pytest.raises(DecodeError, match="fraction"):
        decode(frame_of(**fields, fraction=fraction), REPORTS)


def test_an_end_without_its_job_is_one_of_no_job() -> None:
    """0 is no id, so the broker does not believe it."""
    ended = {"kind": "ended", "delivery": 1, "outcome": "completed", "elapsed_us": 1}
    message = decode(frame_of(op="reports", session="s", first=1, reports=[ended]), REPORTS)
    assert message.reports[0].id == 0


def test_a_wrong_field_is_named_with_its_place() -> None:
    """Of ten thousand jobs, which one."""
    jobs = [{"type": "t"}, {"type": "t"}, {"type": "t", "data": 7}]
    with pytest.raises(DecodeError, match=r"submit: jobs\[2\]\.data must be binary data"):
        decode(frame_of(op="submit", request_key="k", jobs=jobs), REQUESTS)


# --- values and topics --------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.integers(0, 9), inner, max_size=3),
    max_leaves=8,
)


@EXAMPLES
@given(VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    """A job's data and result, maps with keys that are not text included."""
    assert values.unpack_value(values.pack_value(value)) == value


@EXAMPLES
@given(st.binary(max_size=60))
def test_a_body_that_is_no_value_is_a_value_error(body: bytes) -> None:
    """Never another exception."""
    try:
        values.unpack_value(body)
    except ValueError as error:
        assert str(error).startswith("not a msgpack value")


@pytest.mark.parametrize("job_id", [1, 17, 2**63 - 1])
def test_topics_name_their_job(job_id: int) -> None:
    """And job 1 is not the beginning of job 17."""
    assert watched_job(job_topic(job_id)) == job_id
    assert not job_topic(17).startswith(job_topic(1))


@pytest.mark.parametrize(
    "topic",
    [b"", b"job", b"job.", b"job..", b"job.1", b"job.01.", b"job.-1.", b"job.1.e", b"jobs.", b"job.1x.", b"x.1.",
     b"job." + b"9" * 20 + b".", "job.²." .encode()],
)  # fmt: skip
def test_other_topics_name_none(topic: bytes) -> None:
    """Subscriptions that mean nothing lead to nothing."""
    assert watched_job(topic) is None


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (Ended(1, Outcome.COMPLETED, -1), "elapsed_us must be an integer from 0"),
        (Ended(1, Outcome.COMPLETED, 2**64), "elapsed_us cannot be sent"),
        (Ended(1, Outcome.COMPLETED, 1.0), "elapsed_us must be an integer"),  # type: ignore[arg-type]
        (Ended(1, "odd", 1), "outcome must be one of"),  # type: ignore[arg-type]
        (Ended(1, Outcome.FAILED, 1, message="\ud800"), "message has a character that is no UTF-8: '\\ud800'"),
        (Ended(1, Outcome.FAILED, 1, result=object()), "result cannot be sent"),  # type: ignore[arg-type]
        (Ended(1, Outcome.FAILED, 1, detail="x" * 2_000_000), "detail must be text"),
    ],
)
def test_what_a_peer_would_drop_is_refused_before(ended: Ended, sentence: str) -> None:
    """With the field and what it must be."""
    assert sentence in (codec.refusal(ended) or "")


@pytest.mark.parametrize(
    ("report", "invalid"),
    [
        (
            {"kind": "ended", "delivery": 4, "id": 17, "outcome": "done", "elapsed_us": 1},
            Invalid(True, 4, 17, "outcome"),
        ),
        ({"kind": "ended", "delivery": -4, "id": "17", "outcome": "failed"}, Invalid(True, 0, 0, "delivery")),
        ({"kind": "ended", "delivery": True}, Invalid(True, 0, 0, "delivery")),
        ({"kind": "returned", "delivery": 2**64 - 1, "stopping": True}, Invalid(False, 0, 0, "delivery")),
        ({"kind": "gone"}, Invalid(False, 0, 0, "it")),
        ({}, Invalid(False, 0, 0, "it")),
        ("ended", Invalid(False, 0, 0, "it")),
    ],
    ids=repr,
)
def test_a_report_that_is_none_does_not_spoil_the_others(report: object, invalid: Invalid) -> None:
    """It keeps its place among them; what can be read of it is told, and what is wrong with it."""
    good = {"kind": "returned", "delivery": 5, "stopping": False}
    fields = {"v": 1, "op": "reports", "session": "s", "first": 3, "reports": [good, report, good]}
    first, second, third = decode(msgpack.packb(fields), REPORTS).reports
    assert first == third == Returned(5, False)
    assert second._replace(why=second.why.split()[0]) == invalid


# --- on whose behalf -------------------------------------------------------------------------------------------------


def test_any_request_may_be_made_for_somebody() -> None:
    """It stands beside the request's own fields, and costs nothing where it is absent."""
    person = ActingFor("ann@example.org", Role.MEMBER)
    for request in (Info(), Status((1,)), Submit("k", (NewJob("t"),))):
        assert decode_request(encode(request, person)) == (request, person)
        assert decode_request(encode(request)) == (request, None)
        assert b"acting_for" not in encode(request)


@pytest.mark.parametrize(
    ("person", "sentence"),
    [
        ("ann", "info: acting_for must be a map"),
        ({"name": "ann"}, "info: acting_for.role must be one of viewer, submitter, member, operator"),
        ({"name": "ann", "role": "king"}, "info: acting_for.role must be one of viewer, submitter, member, operator"),
        *(
            ({"name": name, "role": "viewer"}, "info: acting_for.name must be a name: 1 to 128 letters, digits and .*")
            for name in ("", "x" * 129, ".ann", "a b", "a/b", "ä", "a\n", 7, None)
        ),
    ],
)
def test_a_person_that_is_none_is_named(person: Any, sentence: str) -> None:
    """The field and what it must be."""
    with pytest.raises(DecodeError, match=sentence) as caught:
        decode_request(msgpack.packb({"v": 1, "op": "info", "acting_for": person}))
    assert caught.value.code is ErrorCode.BAD_REQUEST
