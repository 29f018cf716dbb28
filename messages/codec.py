"""Messages to bytes and back: one msgpack map a message, checked field by field.

`SHAPES` is the one table of what each message may contain; `encode` and `decode` follow it.
Whatever bytes come in, `decode` answers with a message or raises `DecodeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from enum import Enum
from typing import Any, TypeVar

import msgpack

from zjobs.messages.dispatch import (
    Ack,
    Arrived,
    Beat,
    CancelRun,
    Ended,
    HandedJob,
    Invalid,
    Jobs,
    Output,
    Piece,
    Progress,
    Received,
    Rejected,
    Report,
    Reports,
    Returned,
    ReturnJobs,
    Running,
    Sent,
    Started,
    StartSession,
    TakeOver,
)
from zjobs.messages.events import JobEvent, Listening, ServiceEvent
from zjobs.messages.records import Attempt, BrokerName, JobStatus, Limits, Missing, Paused, TaskType, WorkerInfo
from zjobs.messages.requests import (
    Backup,
    BackupReply,
    Cancel,
    CancelReply,
    Error,
    Forget,
    ForgetReply,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    List,
    ListReply,
    Log,
    LogReply,
    NewJob,
    Pause,
    PauseReply,
    Queue,
    QueueReply,
    Result,
    ResultReply,
    Resume,
    ResumeReply,
    Retry,
    RetryReply,
    Show,
    ShowReply,
    Status,
    StatusReply,
    Submit,
    SubmitReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import PROTOCOL_VERSION, ErrorCode, FailReason, JobState, Outcome, WorkerState

MAX_REQUEST_KEY_CHARS = 64
MAX_TYPE_CHARS = 128
MAX_ID = 2**63 - 1
MAX_HOLD_MS = 600_000
MAX_HOLD_CHARS = 64
MAX_PRIORITY = 1_000
MAX_DURATION_MS = 100 * 366 * 86_400_000
MAX_REASON_CHARS = 1_000
MAX_IDS = 10_000
MAX_PAGE = 1_000
MAX_VALUES = 1_000_000
PACKED_AT_ONCE = 500
MAX_PIPE_BYTES = 64 << 20  # one message to the worker
MAX_DATA_BYTES = 63 << 20  # one job's data, with which such a message begins and may end
LOOKED_THROUGH_BYTES = 64 << 10

# How a timestamp of 4, 8 and 12 bytes begins: github.com/msgpack/msgpack/blob/master/spec.md
_STAMP_4, _STAMP_8, _STAMP_12 = b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff"

Check = Callable[[Any], Any]
Message = TypeVar("Message")


class DecodeError(Exception):
    """A peer's bytes are not a message of this protocol. `code` says what kind of mistake it is."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Bad(Exception):
    """What a value had to be, and where in the message it stands: each level adds its part in front."""

    def __init__(self, wanted: str, path: str = "") -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.path = path


# --- checks: each takes an unpacked value and returns what the message holds, or raises _Bad -----------


def integer(low: int, high: int = MAX_ID) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _Bad(f"an integer from {low} to {high}")
        return value

    return check


def real(low: float, high: float) -> Check:
    def check(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise _Bad(f"a number from {low:g} to {high:g}")
        return float(value)

    return check


def text(low: int = 0, high: int = 1 << 20) -> Check:
    def check(value: Any) -> str:
        if type(value) is not str or not low <= len(value) <= high:
            raise _Bad(f"text of {low} to {high} characters")
        return value

    return check


def binary(value: Any) -> bytes:
    if type(value) is not bytes:
        raise _Bad("binary data")
    return value


def boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _Bad("true or false")
    return value


def optional(inner: Check) -> Check:
    def check(value: Any) -> Any:
        return None if value is None else inner(value)

    return check


def one_of(kind: type[Enum]) -> Check:
    members = {member.value: member for member in kind}

    def check(value: Any) -> Enum:
        try:
            return members[value]
        except (KeyError, TypeError):
            raise _Bad("one of " + ", ".join(members)) from None

    return check


def listed(inner: Check, high: int = 1_000_000, low: int = 0) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or not low <= len(value) <= high:
            raise _Bad(f"a list of {low} to {high} items")
        try:
            return tuple(map(inner, value))
        except _Bad as bad:
            raise _Bad(bad.wanted, f"[{_first_bad(inner, value)}]{bad.path}") from None

    return check


def _first_bad(inner: Check, values: list[Any]) -> int:
    for place, value in enumerate(values):
        try:
            inner(value)
        except _Bad:
            return place
    return len(values)


def record(kind: type) -> Check:
    shape = SHAPES[kind]

    def check(value: Any) -> Any:
        if type(value) is not dict:
            raise _Bad("a map")
        return _fill(kind, shape, value)

    return check


def report(value: Any) -> Report | Invalid:
    """A report, or what tells that it is none: the others in the message, and its place among them, still count."""
    kind = value.get("kind") if type(value) is dict else None
    try:
        if kind == "ended":
            return _ended(value)  # type: ignore[no-any-return]
        if kind == "output":
            return _output(value)  # type: ignore[no-any-return]
        if kind == "returned":
            return _returned(value)  # type: ignore[no-any-return]
    except _Bad as bad:
        n, id = (
            number if type(number) is int and 0 < number <= MAX_ID else 0 for number in map(value.get, ("n", "id"))
        )
        return Invalid(kind == "ended", n, id, f"{bad.path.lstrip('.')} must be {bad.wanted}")
    return Invalid(False, 0, 0, "it must be a map whose kind is output, ended or returned")


def _fill(kind: type[Message], shape: Mapping[str, Check], value: Mapping[str, Any]) -> Message:
    fields = []
    get = value.get
    defaults = kind._field_defaults  # type: ignore[attr-defined]
    for name, check in shape.items():
        item = get(name)
        if item is None and name in defaults:
            fields.append(defaults[name])
            continue
        try:
            fields.append(check(item))
        except _Bad as bad:
            raise _Bad(bad.wanted, f".{name}{bad.path}") from None
    return kind(*fields)


# --- the shapes ----------------------------------------------------------------------------------------

_number = integer(0)
_id = integer(1)
_name = text(1, MAX_TYPE_CHARS)
_short = text(0, 256)
_state = one_of(JobState)
_worker = one_of(WorkerState)
_reason = optional(one_of(FailReason))
_outcome = one_of(Outcome)
_ids = listed(_id, high=MAX_IDS)
_some_ids = listed(_id, high=MAX_IDS, low=1)
_priority = integer(-MAX_PRIORITY, MAX_PRIORITY)
_duration = integer(0, MAX_DURATION_MS)
_fraction = optional(real(0, 1))

SHAPES: dict[type, dict[str, Check]] = {
    Limits: dict.fromkeys(Limits._fields, integer(1)),
    TaskType: {
        "name": _name,
        "description": text(),
        "max_attempts": integer(1),
        "max_reruns": _number,
        "time_limit_ms": optional(_duration),
        "grace_ms": _duration,
        "retry_delay_ms": _duration,
    },
    BrokerName: {"host": _short, "frontend": text(), "journal": _short},
    NewJob: {
        "type": _name,
        "data": optional(binary),
        "priority": _priority,
        "delay_ms": _duration,
        "time_limit_ms": optional(integer(1, MAX_DURATION_MS)),
    },
    JobStatus: {
        "id": _id,
        "type": _name,
        "state": _state,
        "version": _number,
        "progress": _number,
        "submitted_at": _number,
        "attempts": _number,
        "reruns": _number,
        "ahead": optional(_number),
        "elapsed_ms": optional(_number),
        "started_at": optional(_number),
        "ended_at": optional(_number),
        "reason": _reason,
        "message": optional(text()),
        "priority": _priority,
        "ready_at": optional(_number),
        "cancelling": boolean,
        "fraction": _fraction,
        "note": optional(text()),
        "output_bytes": _number,
        "stuck_ms": optional(_number),
        "owner": _short,
        "run": _number,
        "max_attempts": integer(1),
    },
    Paused: {"at": _number, "reason": text(0, MAX_REASON_CHARS)},
    Missing: {"id": _id, "code": one_of(ErrorCode)},
    Attempt: {
        "number": _number,
        "outcome": _outcome,
        "started_at": optional(_number),
        "ended_at": _number,
        "reason": _reason,
        "message": text(),
        "detail": text(),
    },
    WorkerInfo: {
        "state": _worker,
        "since_ms": _number,
        "host": optional(_short),
        "pid": optional(_number),
        "running": optional(_id),
        "note": optional(text()),
    },
    HandedJob: {
        "id": _id,
        "type": _name,
        "data": optional(binary),
        "attempt": _id,
        "time_limit_ms": optional(integer(1, MAX_DURATION_MS)),
        "data_from": _number,
    },
    Arrived: {"round": _number, "count": _number},
    Running: {"n": _id, "id": _id, "elapsed_ms": _number, "stuck_ms": optional(_number)},
    Ended: {
        "n": _id,
        "outcome": _outcome,
        "elapsed_us": _number,
        "result": optional(binary),
        "reason": _reason,
        "message": text(),
        "detail": text(),
        "output": optional(binary),
        "output_bytes": _number,
        "id": _number,  # 0, without one: of no job that there is
        "killed": _number,
        "result_from": _number,
        "output_file": optional(text()),
        "left_behind": text(),
    },
    Output: {"n": _id, "id": _id, "progress": _number, "offset": _number, "body": binary},
    Returned: {"n": _id, "stopping": boolean},
}
_ended = record(Ended)
_output = record(Output)
_returned = record(Returned)

SHAPES |= {
    # requests
    Hello: {},
    Submit: {"request_key": text(1, MAX_REQUEST_KEY_CHARS), "jobs": listed(record(NewJob), low=1)},
    Status: {"ids": _ids},
    Queue: {"limit": integer(1, MAX_PAGE)},
    Result: {"id": _id, "offset": _number},
    Show: {"id": _id},
    Cancel: {"ids": _some_ids},
    Retry: {"request_key": text(1, MAX_REQUEST_KEY_CHARS), "ids": _some_ids},
    Pause: {"reason": text(0, MAX_REASON_CHARS)},
    Resume: {},
    Log: {"id": _id, "offset": _number},
    List: {
        "state": optional(_state),
        "type": optional(_name),
        "limit": integer(1, MAX_PAGE),
        "before": optional(_id),
    },
    Forget: {"ids": _some_ids},
    Types: {},
    Info: {},
    Backup: {"hold": text(1, MAX_HOLD_CHARS), "hold_ms": integer(0, MAX_HOLD_MS)},
    # replies
    HelloReply: {
        "journal": _short,
        "server": _short,
        "events": text(),
        "limits": record(Limits),
    },
    SubmitReply: {"journal": _short, "first_id": _id, "count": _id, "checked": boolean},
    StatusReply: {
        "journal": _short,
        "jobs": listed(record(JobStatus)),
        "missing": listed(record(Missing)),
        "queued": _number,
        "worker": _worker,
        "paused": boolean,
    },
    QueueReply: {
        "journal": _short,
        "jobs": listed(record(JobStatus)),
        "queued": _number,
        "dispatched": _number,
        "worker": _worker,
        "paused": boolean,
    },
    ResultReply: {
        "journal": _short,
        "id": _id,
        "state": _state,
        "size_bytes": _number,
        "offset": _number,
        "body": binary,
        "reason": _reason,
        "message": optional(text()),
    },
    ShowReply: {
        "journal": _short,
        "job": record(JobStatus),
        "request_key": _short,
        "data_bytes": optional(_number),
        "result_bytes": optional(_number),
        "time_limit_ms": optional(_duration),
        "retry_of": optional(_id),
        "retried_as": _ids,
        "attempts": listed(record(Attempt)),
        "killed": _number,
        "output_file": optional(text()),
        "left_behind": text(),
    },
    CancelReply: {
        "journal": _short,
        "jobs": listed(record(JobStatus)),
        "missing": listed(record(Missing)),
    },
    RetryReply: {"journal": _short, "first_id": _id, "count": _id},
    PauseReply: {
        "journal": _short,
        "paused": record(Paused),
        "running": optional(_id),
        "may_start": listed(_id),
    },
    ResumeReply: {"journal": _short, "was": optional(record(Paused))},
    LogReply: {
        "journal": _short,
        "id": _id,
        "state": _state,
        "size_bytes": _number,
        "offset": _number,
        "body": binary,
        "run": _number,
    },
    ListReply: {"journal": _short, "jobs": listed(record(JobStatus)), "before": optional(_id)},
    ForgetReply: {"journal": _short, "forgotten": _ids, "kept": _ids, "missing": listed(record(Missing))},
    TypesReply: {"journal": _short, "known": boolean, "types": listed(record(TaskType))},
    InfoReply: {
        "journal": _short,
        "server": _short,
        "libzmq": _short,
        "sqlite": _short,
        "python": _short,
        "pid": _number,
        "uptime_ms": _number,
        "journal_file": text(),
        "journal_bytes": _number,
        "read_only": optional(text()),
        "paused": optional(record(Paused)),
        "worker": record(WorkerInfo),
        "queued": _number,
        "waiting": _number,
        "in_progress": _number,
        "completed": _number,
        "failed": _number,
        "cancelled": _number,
        "limits": record(Limits),
        "warnings": listed(text()),
    },
    BackupReply: {"journal": _short, "journal_file": text(), "undisturbed": boolean},
    Error: {"code": one_of(ErrorCode), "message": text(), "journal": _short},
    # events
    Listening: {
        "journal": _short,
        "change": _number,
        "worker": _worker,
        "paused": optional(record(Paused)),
    },
    ServiceEvent: {"journal": _short, "worker": _worker, "paused": optional(record(Paused))},
    JobEvent: {
        "journal": _short,
        "job": record(JobStatus),
        "change": optional(_number),
        "worker": _worker,
        "paused": boolean,
    },
    # pipe
    StartSession: {
        "incarnation": _short,
        "session": _short,
        "broker": record(BrokerName),
        "result_bytes": _id,
        "output_bytes": _id,
    },
    Jobs: {"session": _short, "first": _id, "jobs": listed(record(HandedJob)), "round": _number},
    Ack: {
        "session": _short,
        "reports": _number,
        "resume": optional(_id),
        "round": _number,
        "count": _number,
        "held_bytes": _number,
        "again": boolean,
    },
    Sent: {"session": _short, "round": _number, "count": _number},
    Rejected: {"session": _short, "report": _id, "message": text()},
    CancelRun: {"session": _short, "n": _id},
    ReturnJobs: {"session": _short},
    TakeOver: {"incarnation": _short},
    # reports
    Beat: {
        "incarnation": _short,
        "session": optional(_short),
        "taken": _number,
        "acked": _number,
        "stopping": boolean,
        "running": optional(record(Running)),
        "types": listed(record(TaskType)),
        "broker": optional(record(BrokerName)),
        "host": _short,
        "pid": _number,
        "spooled": boolean,
        "warning": optional(text()),
        "obstacle": optional(text()),
        "round": _number,
        "sent": _number,
        "arrived": record(Arrived),
    },
    Received: {
        "session": _short,
        "taken": _number,
        "round": _number,
        "count": _number,
        "held_bytes": _number,
        "again": boolean,
    },
    Piece: {"session": _short, "round": _number, "number": _id, "offset": _number, "body": binary},
    Started: {"session": _short, "n": _id, "id": _id},
    Progress: {
        "session": _short,
        "n": _id,
        "id": _id,
        "progress": _number,
        "fraction": _fraction,
        "note": optional(text()),
        "round": _number,
    },
    Reports: {"session": _short, "first": _id, "reports": listed(report), "round": _number},
}

Ops = Mapping[str, "type[Any]"]

REQUESTS: Ops = {
    "hello": Hello,
    "submit": Submit,
    "status": Status,
    "queue": Queue,
    "result": Result,
    "show": Show,
    "cancel": Cancel,
    "retry": Retry,
    "pause": Pause,
    "resume": Resume,
    "log": Log,
    "list": List,
    "forget": Forget,
    "types": Types,
    "info": Info,
    "backup": Backup,
}
REPLIES: Ops = {
    "hello": HelloReply,
    "submit": SubmitReply,
    "status": StatusReply,
    "queue": QueueReply,
    "result": ResultReply,
    "show": ShowReply,
    "cancel": CancelReply,
    "retry": RetryReply,
    "pause": PauseReply,
    "resume": ResumeReply,
    "log": LogReply,
    "list": ListReply,
    "forget": ForgetReply,
    "types": TypesReply,
    "info": InfoReply,
    "backup": BackupReply,
    "error": Error,
}
EVENTS: Ops = {"job": JobEvent, "listening": Listening, "service": ServiceEvent}
PIPE: Ops = {
    "session": StartSession,
    "piece": Piece,
    "jobs": Jobs,
    "ack": Ack,
    "sent": Sent,
    "rejected": Rejected,
    "cancel_run": CancelRun,
    "return_jobs": ReturnJobs,
    "take_over": TakeOver,
}
REPORTS: Ops = {
    "beat": Beat,
    "started": Started,
    "progress": Progress,
    "piece": Piece,
    "reports": Reports,
    "received": Received,
}

_NAMES = frozenset({"v", "op", "kind"}.union(*SHAPES.values()))
_OPS = {kind: op for ops in (REQUESTS, REPLIES, EVENTS, PIPE, REPORTS) for op, kind in ops.items()}
_KINDS = {Output: "output", Ended: "ended", Returned: "returned"}


# --- encode and decode -----------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """What msgpack does not take as it is: our records, tuples and enumerations."""
    kind = type(value)
    if kind in SHAPES:
        fields = dict(zip(kind._fields, value))
        if kind in _KINDS:
            fields["kind"] = _KINDS[kind]
        return fields
    if kind is tuple:
        return list(value)
    return value.value


def encode(message: Any) -> bytes:
    """The frame that carries `message`."""
    kind = type(message)
    fields = {"v": PROTOCOL_VERSION, "op": _OPS[kind]}
    fields.update(zip(kind._fields, message))
    return _packed(fields)


def encode_in_steps(message: Any) -> Generator[None, None, bytes]:
    """As `encode`; it stops within long lists, so that something else can be done in between."""
    kind = type(message)
    lists = [value for value in message if type(value) is tuple and len(value) > PACKED_AT_ONCE]
    if not lists:
        return encode(message)
    packer = msgpack.Packer(default=_plain, strict_types=True, autoreset=False)
    packer.pack_map_header(2 + len(kind._fields))
    for item in ("v", PROTOCOL_VERSION, "op", _OPS[kind]):
        packer.pack(item)
    for name, value in zip(kind._fields, message):
        packer.pack(name)
        if type(value) is not tuple:
            packer.pack(value)
            continue
        packer.pack_array_header(len(value))
        for place, item in enumerate(value, 1):
            packer.pack(item)
            if place % PACKED_AT_ONCE == 0:
                yield
    return bytes(packer.bytes())


def decode(frame: bytes, ops: Ops, most_values: int = MAX_VALUES) -> Any:
    """The message in `frame`, which must be one of `ops` (such as REQUESTS) and have at most `most_values`.

    Fields that this version does not know are ignored. Raises DecodeError, and nothing else.
    """
    fields = _unpack_map(frame, most_values, strict=ops is REQUESTS)
    version = fields.get("v")
    if version != PROTOCOL_VERSION or type(version) is not int:
        raise DecodeError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"this side speaks version {PROTOCOL_VERSION} of the protocol (field v), not {_shown(version)}",
        )
    op = fields.get("op")
    kind = ops.get(op) if type(op) is str else None
    if kind is None:
        raise DecodeError(ErrorCode.UNKNOWN_OP, f"no such op: {_shown(op)}; there are {', '.join(ops)}")
    try:
        return _fill(kind, SHAPES[kind], fields)
    except _Bad as bad:
        where = bad.path.lstrip(".")
        raise DecodeError(ErrorCode.BAD_REQUEST, f"{op}: {where} must be {bad.wanted}") from None


def refusal(message: Any) -> str | None:
    """Why a peer would refuse this message, or this record in one; None: it would take it.

    For what is made of values that nobody has checked yet, before it is sent: a peer drops what it cannot read.
    """
    kind = type(message)
    for name, check in SHAPES[kind].items():
        item = getattr(message, name)
        if item is None and name in kind._field_defaults:
            continue
        try:
            # as the peer will see it; binary data stays what it is
            check(item if type(item) is bytes else msgpack.unpackb(_packed(item)))
        except _Bad as bad:
            return f"{name}{bad.path} must be {bad.wanted}"
        except UnicodeEncodeError as error:
            return f"{name} has a character that is no UTF-8: {error.object[error.start]!a}"
        except Exception as error:
            return f"{name} cannot be sent: {error or type(error).__name__}"
    return None


def _packed(value: Any) -> bytes:
    return msgpack.packb(value, default=_plain, strict_types=True)  # type: ignore[no-any-return]


def _strict_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """A map of a client's message. msgpack lets keys be binary, and the last of two equal ones win, where another
    reader may take the first: a request must mean the same to everybody who reads it."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Refused("has a map with the same key twice")
    if not _NAMES.issuperset(fields) and not all(type(key) is str for key in fields):
        raise _Refused("has a map with a key that is not text")
    return fields


def _unpack_map(frame: bytes, most_values: int, strict: bool) -> dict[Any, Any]:
    if not frame:
        raise DecodeError(ErrorCode.BAD_REQUEST, "the body frame is empty; a msgpack map is expected")
    _check_number_of_values(frame, most_values)
    try:
        fields = _unpack(frame, strict_map_key=True, object_pairs_hook=_strict_map if strict else None)
    except Exception as error:  # unpackb raises whatever its input leads it to, OverflowError included
        raise DecodeError(ErrorCode.BAD_REQUEST, f"the body {_mistake(error)}") from None
    if type(fields) is not dict:
        raise DecodeError(ErrorCode.BAD_REQUEST, "the body is msgpack, but not a map")
    return fields


class _TooMany(Exception):
    pass


class _Refused(ValueError):
    """msgpack has it, but no message may; the text goes on behind 'the body'."""


def _check_number_of_values(frame: bytes, most: int) -> None:
    """Raises DecodeError for a frame that would become more values than any message has.

    16 MiB can hold 16 million empty maps: two seconds' work and a gibibyte. Only large frames are looked through.
    """
    if len(frame) <= LOOKED_THROUGH_BYTES:
        return
    left = most

    def counted(container: list[Any] | dict[Any, Any]) -> None:
        nonlocal left
        left -= 1 + len(container)
        if left < 0:
            raise _TooMany

    try:
        msgpack.unpackb(
            frame,
            list_hook=counted,
            object_hook=counted,
            ext_hook=_ignored,
            strict_map_key=False,
            max_array_len=most,
            max_map_len=most,
        )
    except _TooMany:
        raise DecodeError(ErrorCode.TOO_LARGE, f"the message has more than {most} values") from None
    except Exception as error:  # decoding tells what it is
        if "max_array_len" in str(error) or "max_map_len" in str(error):
            raise DecodeError(ErrorCode.TOO_LARGE, f"the message has a list of more than {most} items") from None


def _ignored(code: int, data: bytes) -> None:
    """Extension types are refused when the frame is decoded."""


def _unpack(packed: bytes, strict_map_key: bool, object_pairs_hook: Check | None = None) -> Any:
    """One msgpack value without extension types. Raises whatever unpackb does, and ValueError."""
    value = msgpack.unpackb(
        packed, ext_hook=_no_extension, strict_map_key=strict_map_key, object_pairs_hook=object_pairs_hook
    )
    # A timestamp is an extension type as well, but one that never reaches the hook.
    if _STAMP_4 in packed or _STAMP_8 in packed or _STAMP_12 in packed:
        _find_timestamp(value)
    return value


def _find_timestamp(value: Any) -> None:
    if isinstance(value, msgpack.Timestamp):
        _no_extension(-1, b"")
    elif type(value) is list:
        for item in value:
            _find_timestamp(item)
    elif type(value) is dict:
        for key, item in value.items():
            _find_timestamp(key)
            _find_timestamp(item)


def _mistake(error: Exception) -> str:
    """What is wrong with bytes that msgpack refused with `error`, without its own vocabulary."""
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, msgpack.ExtraData):
        return "goes on behind the end of the msgpack map"
    if isinstance(error, msgpack.StackError):
        return "is nested too deeply"
    if "strict_map_key" in str(error):
        return "has a map with a key that is not text"
    return "is not msgpack, or ends too early"


def _no_extension(code: int, data: bytes) -> Any:
    raise _Refused(f"has the msgpack extension type {code}, which is not allowed")


def _shown(value: Any) -> str:
    """A peer's value for an error message: short, and printable whatever it is."""
    if value is None:
        return "nothing"
    try:
        shown = ascii(value)
    except RecursionError:  # msgpack goes deeper than Python does
        return "something nested too deeply"
    return shown if len(shown) <= 60 else shown[:57] + "..."


# --- values: a job's data and result ---------------------------------------------------------------------


def pack_value(value: Any, convert: Check | None = None) -> bytes:
    """One value as a job's data or result: None, bool, int, float, str, bytes, lists and maps of them.

    convert: gives one of these for each value of any other type, tuples and subclasses included.
    Raises TypeError, ValueError or OverflowError for what msgpack cannot hold, and what `convert` raises.
    """
    return msgpack.packb(value, default=convert, strict_types=convert is not None)  # type: ignore[no-any-return]


def unpack_value(body: bytes) -> Any:
    """The value in `body`. Raises ValueError when it is not exactly one msgpack value."""
    try:
        return _unpack(body, strict_map_key=False)
    except Exception as error:  # see _unpack_map
        raise ValueError(f"not a msgpack value: {error or type(error).__name__}") from None


# --- topics of the events socket -----------------------------------------------------------------------

ALL_JOBS_TOPIC = b"jobs."


def job_topic(job_id: int) -> bytes:
    """The topic to subscribe to for one job; the final dot keeps job 1 apart from job 17."""
    return b"job.%d." % job_id


def watched_job(topic: bytes) -> int | None:
    """The id in a topic that `job_topic` could have made, else None."""
    word, _, rest = topic.partition(b".")
    digits = rest[:-1]
    if word != b"job" or rest[-1:] != b"." or not digits.isdigit() or len(digits) > 19 or digits[:1] == b"0":
        return None
    return job_id if (job_id := int(digits)) <= MAX_ID else None
