"""Values: a job's data and its result, each one packed msgpack value. The broker never looks inside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

# The first bytes of timestamps of 4, 8 and 12 bytes: github.com/msgpack/msgpack/blob/master/spec.md
_STAMP_4, _STAMP_8, _STAMP_12 = b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff"


class Refused(ValueError):
    """Valid msgpack that no message or value may contain; the text continues a sentence that begins with 'the body'."""


def pack_value(value: Any, convert: Callable[[Any], Any] | None = None) -> bytes:
    """Pack a value as a job's data or result: None, bool, int, float, str, bytes, lists and maps of them.

    `convert` returns one of these for each value of any other type, tuples and subclasses included.
    Raises TypeError, ValueError or OverflowError for what msgpack cannot hold, and what `convert` raises.
    """
    return msgpack.packb(value, default=convert, strict_types=convert is not None)  # type: ignore[no-any-return]


def unpack_value(body: bytes) -> Any:
    """Return the value in `body`. Raises ValueError if it is not exactly one msgpack value."""
    try:
        return unpack(body, strict_map_key=False)
    except Exception as error:  # unpackb raises whatever its input leads it to, OverflowError included
        raise ValueError(f"not a msgpack value: {error or type(error).__name__}") from None


def unpack(packed: bytes, strict_map_key: bool, object_pairs_hook: Callable[[Any], Any] | None = None) -> Any:
    """Unpack one msgpack value without extension types. Raises what unpackb raises, and Refused."""
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


def _no_extension(code: int, data: bytes) -> Any:
    raise Refused(f"has the msgpack extension type {code}, which is not allowed")
