"""Encoding of messages: one msgpack map for each, checked field by field.

The annotations of a message's class say what each field may hold (see `fields`); `encode` and `decode` follow them.
Whatever the bytes, `decode` returns a message or raises `DecodeError`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import msgpack

from zjobs.messages.fields import KIND_OF, OP_OF, Bad, fields_of, record
from zjobs.messages.records import ActingFor, JobStatus
from zjobs.messages.requests.changes import NewJob
from zjobs.messages.requests.ops import REQUESTS, Request
from zjobs.messages.states import PROTOCOL_VERSION, ErrorCode
from zjobs.messages.values import Refused, unpack

MAX_VALUES = 1_000_000
PACKED_AT_ONCE = 500
MAX_PIPE_BYTES = 64 << 20  # one message to the worker
MAX_DATA_BYTES = 63 << 20  # one job's data: a message always has room for its first job
LOOKED_THROUGH_BYTES = 64 << 10

Ops = Mapping[str, Any]  # the messages that may come on a socket: classes by `op`

# Fields that many jobs lack: from the named one on, a field is omitted where it has its default.
_LEFT_OUT: dict[type, tuple[tuple[str, Any], ...]] = {
    kind: tuple((name, kind._field_defaults[name]) for name in kind._fields[kind._fields.index(first) :])
    for kind, first in ((NewJob, "data"), (JobStatus, "submitter"))
}
# Keys that are certainly text, because they occur in requests.
_NAMES = frozenset({"v", "op", "acting_for"}.union(NewJob._fields, *(kind._fields for kind in REQUESTS.values())))


class DecodeError(Exception):
    """Bytes of a peer that are not a message of this protocol. `code`: the kind of mistake."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def _plain(value: Any) -> Any:
    """Convert what msgpack does not pack: records, tuples and enumerations."""
    kind = type(value)
    if kind is tuple:
        return list(value)
    if isinstance(value, tuple):
        fields = dict(zip(kind._fields, value))
        for name, default in _LEFT_OUT.get(kind, ()):
            if fields[name] == default:
                del fields[name]
        if kind in KIND_OF:
            fields["kind"] = KIND_OF[kind]
        return fields
    return value.value


def encode(message: Any, acting_for: ActingFor | None = None) -> bytes:
    """Return the frame that carries `message`. `acting_for`: on whose behalf a request is made."""
    kind = type(message)
    fields = {"v": PROTOCOL_VERSION, "op": OP_OF[kind]}
    fields.update(zip(kind._fields, message))
    if acting_for is not None:
        fields["acting_for"] = acting_for
    return _packed(fields)


def encode_in_steps(message: Any) -> Generator[None, None, bytes]:
    """Return what `encode` returns, but pause within long lists, so that others can be served in between."""
    kind = type(message)
    lists = [value for value in message if type(value) is tuple and len(value) > PACKED_AT_ONCE]
    if not lists:
        return encode(message)
    packer = msgpack.Packer(default=_plain, strict_types=True, autoreset=False)
    packer.pack_map_header(2 + len(kind._fields))
    for item in ("v", PROTOCOL_VERSION, "op", OP_OF[kind]):
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
    """Return the message in `frame`, which must be one of `ops` (such as REQUESTS) and have at most `most_values`.

    Unknown fields are ignored. Raises DecodeError, and nothing else.
    """
    return _message(_unpack_map(frame, most_values, strict=ops is REQUESTS), ops)


def decode_request(frame: bytes, most_values: int = MAX_VALUES) -> tuple[Request, ActingFor | None]:
    """Return a client's request, as `decode` does, and on whose behalf it is made; None if on the client's own."""
    fields = _unpack_map(frame, most_values, strict=True)
    request = _message(fields, REQUESTS)
    person = fields.get("acting_for")
    return request, None if person is None else _checked(str(fields["op"]), person, ActingFor, "acting_for")


def _message(fields: dict[str, Any], ops: Ops) -> Any:
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
    return _checked(str(op), fields, kind)


def _checked(op: str, fields: Any, kind: Any, within: str = "") -> Any:
    try:
        return record(kind)(fields)
    except Bad as bad:
        where = f"{within}{bad.path}".lstrip(".")
        raise DecodeError(ErrorCode.BAD_REQUEST, f"{op}: {where} must be {bad.wanted}") from None


def refusal(message: Any) -> str | None:
    """Return why a peer would refuse this message, or this record in a message, None if it would accept it.

    Check messages made of unchecked values before they are sent: a peer drops what it cannot read.
    """
    kind: Any = type(message)
    for (name, check, optional, _), item in zip(fields_of(kind), message):
        if item is None and optional:
            continue
        try:
            # as the peer will see it; binary data stays what it is
            check(item if type(item) is bytes else msgpack.unpackb(_packed(item)))
        except Bad as bad:
            return f"{name}{bad.path} must be {bad.wanted}"
        except UnicodeEncodeError as error:
            return f"{name} has a character that is no UTF-8: {error.object[error.start]!a}"
        except Exception as error:
            return f"{name} cannot be sent: {error or type(error).__name__}"
    return None


def _packed(value: Any) -> bytes:
    return msgpack.packb(value, default=_plain, strict_types=True)  # type: ignore[no-any-return]


def _strict_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Return a map of a client's message. msgpack allows binary keys, and lets the last of two equal keys win, where
    another reader may use the first; but a request must mean the same to every reader."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refused("has a map with the same key twice")
    if not _NAMES.issuperset(fields) and not all(type(key) is str for key in fields):
        raise Refused("has a map with a key that is not text")
    return fields


def _unpack_map(frame: bytes, most_values: int, strict: bool) -> dict[Any, Any]:
    if not frame:
        raise DecodeError(ErrorCode.BAD_REQUEST, "the body frame is empty; a msgpack map is expected")
    _check_number_of_values(frame, most_values)
    try:
        fields = unpack(frame, strict_map_key=True, object_pairs_hook=_strict_map if strict else None)
    except Exception as error:  # unpackb raises whatever its input leads it to, OverflowError included
        raise DecodeError(ErrorCode.BAD_REQUEST, f"the body {_mistake(error)}") from None
    if type(fields) is not dict:
        raise DecodeError(ErrorCode.BAD_REQUEST, "the body is msgpack, but not a map")
    return fields


class _TooMany(Exception):
    pass


def _check_number_of_values(frame: bytes, most: int) -> None:
    """Raise DecodeError for a frame that would become more values than any message has.

    16 MiB can hold 16 million empty maps: two seconds of work and a gibibyte of memory. Only large frames are checked.
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
    except Exception as error:  # decoding names the mistake
        if "max_array_len" in str(error) or "max_map_len" in str(error):
            raise DecodeError(ErrorCode.TOO_LARGE, f"the message has a list of more than {most} items") from None


def _ignored(code: int, data: bytes) -> None:
    """Ignore extension types here: decoding refuses them."""


def _mistake(error: Exception) -> str:
    """Return what is wrong with bytes that msgpack refused with `error`, in plain words."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, msgpack.ExtraData):
        return "goes on behind the end of the msgpack map"
    if isinstance(error, msgpack.StackError):
        return "is nested too deeply"
    if "strict_map_key" in str(error):
        return "has a map with a key that is not text"
    return "is not msgpack, or ends too early"


def _shown(value: Any) -> str:
    """Return a peer's value for an error message: always short and printable."""
    if value is None:
        return "nothing"
    try:
        shown = ascii(value)
    except RecursionError:  # msgpack goes deeper than Python does
        return "something nested too deeply"
    return shown if len(shown) <= 60 else shown[:57] + "..."
