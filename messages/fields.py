"""The kinds of message fields, their bounds, and the checks that decoding applies.

Message classes are annotated with these, and nothing else bounds a field. Each annotation stands for a check: a
function that takes an unpacked value and returns the field's value, or raises `Bad`. The checks of a class are built
when its first message is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from zjobs.messages.units import DeliveryNumber, JobId, Ms, Us

MAX_ID = 2**63 - 1
MAX_REQUEST_KEY_CHARS = 64
MAX_TYPE_CHARS = 128
MAX_REASON_CHARS = 1_000
MAX_JOB_NAME_CHARS = 200
MAX_COMMENT_CHARS = 2_000
MAX_SUBMITTER_CHARS = 200
MAX_HOLD_CHARS = 64
MAX_CHECKPOINT_PAUSE_MS = 600_000
MAX_PRIORITY = 1_000
MAX_DURATION_MS = 100 * 366 * 86_400_000
MAX_IDS = 10_000
MAX_WAIT_IDS = 200  # the broker looks them up all at once
MAX_WAIT_MS = 60_000
RECALL_MS = 3_000  # the time the worker has to say what has become of jobs that are recalled
MAX_DIGESTS = 100
DIGEST_CHARS = 16
MAX_SCHEMA_BYTES = 64 << 10
MAX_PAGE = 1_000
MAX_AFTER = 100  # jobs that one waits for
MAX_TIME_MS = 253_402_214_400_000  # the last day of the year 9999, which calendars can show in any time zone
MAX_PERSON_CHARS = 128
PERSON_NAME = f"1 to {MAX_PERSON_CHARS} letters, digits and . _ @ + -, no sign first"

_SIGNS = "._@+-"
_PERSON_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + _SIGNS)

Check = Callable[[Any], Any]

# The name of each message class in a frame (`op`), and of each record that is one of several (`kind`). The modules of
# messages fill these in, so that a program creates the classes of the messages that it uses, and no others.
OP_OF: dict[type, str] = {}
KIND_OF: dict[type, str] = {}


def called(names: dict[type, str], classes: dict[str, Any]) -> dict[str, Any]:
    """Return `classes`, by name, after recording the names in OP_OF or KIND_OF."""
    names.update((kind, name) for name, kind in classes.items())
    return classes


class Bad(Exception):
    """A value that is not what it must be. `path` says where in the message it is; each level prepends its part."""

    def __init__(self, wanted: str, path: str = "") -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.path = path


# --- bounds: the second part of an annotation ------------------------------------------------------------
# Plain classes: creating a named tuple class takes a quarter of a millisecond, at each start of zclient.


class Integer:
    """The bounds of an integer, both included. Floats and booleans are rejected."""

    def __init__(self, low: int, high: int = MAX_ID) -> None:
        self.low, self.high = low, high

    def check(self, kind: Any) -> Check:
        """Return the check of a field with these bounds."""
        low, high = self.low, self.high

        def check(value: Any) -> int:
            if type(value) is not int or not low <= value <= high:
                raise Bad(f"an integer from {low} to {high}")
            return value

        return check


class Real:
    """The bounds of a number, both included. Integers become floats."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def check(self, kind: Any) -> Check:
        """Return the check of a field with these bounds."""
        low, high = self.low, self.high

        def check(value: Any) -> float:
            if type(value) not in (int, float) or not low <= value <= high:
                raise Bad(f"a number from {low:g} to {high:g}")
            return float(value)

        return check


class Chars:
    """The bounds of a text's length in characters."""

    def __init__(self, low: int = 0, high: int = 1 << 20) -> None:
        self.low, self.high = low, high

    def check(self, kind: Any) -> Check:
        """Return the check of a field with these bounds."""
        low, high = self.low, self.high

        def check(value: Any) -> str:
            if type(value) is not str or not low <= len(value) <= high:
                raise Bad(f"text of {low} to {high} characters")
            return value

        return check


class PersonName:
    """The bounds of the name of a key or a person, which must be harmless in tables, logs and names of files."""

    def check(self, kind: Any) -> Check:
        """Return the check of a field with these bounds."""
        return _person_name


class Items:
    """The bounds of a list's length. The defaults apply to a list that is annotated without bounds."""

    def __init__(self, low: int = 0, high: int = 1_000_000) -> None:
        self.low, self.high = low, high

    def check(self, kind: Any) -> Check:
        """Return the check of a field with these bounds."""
        low, high = self.low, self.high
        inner = check_of(get_args(kind)[0])

        def check(value: Any) -> tuple[Any, ...]:
            if type(value) is not list or not low <= len(value) <= high:
                raise Bad(f"a list of {low} to {high} items")
            try:
                return tuple(map(inner, value))
            except Bad as bad:
                raise Bad(bad.wanted, f"[{_first_bad(inner, value)}]{bad.path}") from None

        return check


class ByKind:
    """A choice of one of several records by the map's field `kind`. An invalid value does not spoil the whole message:
    `otherwise` gets the value and a sentence about what is wrong, and returns a stand-in."""

    def __init__(self, kinds: Mapping[str, type], otherwise: Callable[[Any, str], Any]) -> None:
        self.kinds, self.otherwise = kinds, otherwise

    def check(self, kind: Any) -> Check:
        """Return the check of a field with these bounds."""
        checks = {name: record(each) for name, each in self.kinds.items()}
        *names, last = checks
        unknown = f"it must be a map whose kind is {', '.join(names)} or {last}"

        def check(value: Any) -> Any:
            name = value.get("kind") if type(value) is dict else None
            inner = checks.get(name) if type(name) is str else None
            if inner is None:
                return self.otherwise(value, unknown)
            try:
                return inner(value)
            except Bad as bad:
                return self.otherwise(value, f"{bad.path.lstrip('.')} must be {bad.wanted}")

        return check


def _first_bad(inner: Check, values: list[Any]) -> int:
    for place, value in enumerate(values):
        try:
            inner(value)
        except Bad:
            return place
    return len(values)


# --- from an annotation to its check --------------------------------------------------------------------


# Name, check, whether it may be absent or nil, and its value then. A plain tuple, because it is unpacked faster.
Field = tuple[str, Check, bool, Any]


def check_of(annotation: Any) -> Check:
    """Return the check for a field's annotation. Raises TypeError if it has no bounds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        kind, bounds = get_args(annotation)
        return bounds.check(kind)  # type: ignore[no-any-return]
    if origin in (Union, UnionType):
        return _optional(check_of(_not_none(annotation)))
    if origin is tuple:
        return Items().check(annotation)
    if annotation is bool:
        return _boolean
    if annotation is bytes:
        return _binary
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _one_of(annotation)
    if hasattr(annotation, "_fields"):
        return record(annotation)
    raise TypeError(f"{annotation} has no bounds for a field")


@cache
def record(kind: type) -> Check:
    """Return the check that turns a map into a record or message of this class."""
    fields = fields_of(kind)
    make = tuple.__new__

    def check(value: Any) -> Any:
        if type(value) is not dict:
            raise Bad("a map")
        get = value.get
        name = ""
        items: list[Any] = []
        add = items.append
        try:
            for name, inner, optional, default in fields:
                item = get(name)
                add(default if item is None and optional else inner(item))
        except Bad as bad:
            raise Bad(bad.wanted, f".{name}{bad.path}") from None
        return make(kind, items)

    return check


@cache
def fields_of(kind: Any) -> tuple[Field, ...]:
    """Return the fields of a record or message class, in order."""
    defaults = kind._field_defaults
    return tuple(
        (name, check_of(_not_none(annotation)), True, defaults[name])
        if name in defaults
        else (name, check_of(annotation), False, None)
        for name, annotation in kind.__annotations__.items()
    )


def _not_none(annotation: Any) -> Any:
    """Return `X` of `X | None`."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    (kind,) = (each for each in get_args(annotation) if each is not type(None))
    return kind


def is_person_name(text: str) -> bool:
    """Return True if a key or a person may have this name."""
    return 1 <= len(text) <= MAX_PERSON_CHARS and text[0] not in _SIGNS and _PERSON_CHARS.issuperset(text)


def _person_name(value: Any) -> str:
    if type(value) is not str or not is_person_name(value):
        raise Bad(f"a name: {PERSON_NAME}")
    return value


def _optional(inner: Check) -> Check:
    def check(value: Any) -> Any:
        return None if value is None else inner(value)

    return check


def _binary(value: Any) -> bytes:
    if type(value) is not bytes:
        raise Bad("binary data")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise Bad("true or false")
    return value


def _one_of(kind: type[Enum]) -> Check:
    members = {member.value: member for member in kind}

    def check(value: Any) -> Enum:
        try:
            return members[value]
        except (KeyError, TypeError):
            raise Bad("one of " + ", ".join(members)) from None

    return check


# --- the kinds of fields --------------------------------------------------------------------------------

Number = Annotated[int, Integer(0)]
Positive = Annotated[int, Integer(1)]
ExitCode = Annotated[int, Integer(-64, 255)]  # below 0: the number of the signal that ended it, negated
Id = Annotated[JobId, Integer(1)]
IdOrNone = Annotated[JobId, Integer(0)]  # 0: none
Delivery = Annotated[DeliveryNumber, Integer(1)]
LastDelivery = Annotated[DeliveryNumber, Integer(0)]  # 0: none yet
Ids = Annotated[tuple[Id, ...], Items(0, MAX_IDS)]
SomeIds = Annotated[tuple[Id, ...], Items(1, MAX_IDS)]
AfterIds = Annotated[tuple[Id, ...], Items(0, MAX_AFTER)]
WaitIds = Annotated[tuple[Id, ...], Items(1, MAX_WAIT_IDS)]
Priority = Annotated[int, Integer(-MAX_PRIORITY, MAX_PRIORITY)]
Page = Annotated[int, Integer(1, MAX_PAGE)]
PageOrNone = Annotated[int, Integer(0, MAX_PAGE)]
Fraction = Annotated[float, Real(0, 1)]
Milliseconds = Annotated[Ms, Integer(0)]
Microseconds = Annotated[Us, Integer(0)]
DurationMs = Annotated[Ms, Integer(0, MAX_DURATION_MS)]
TimeLimitMs = Annotated[Ms, Integer(1, MAX_DURATION_MS)]
Time = Annotated[Ms, Integer(1, MAX_TIME_MS)]
TimeOrNone = Annotated[Ms, Integer(0, MAX_TIME_MS)]  # 0: none
WaitMs = Annotated[Ms, Integer(0, MAX_WAIT_MS)]
CheckpointPauseMs = Annotated[Ms, Integer(0, MAX_CHECKPOINT_PAUSE_MS)]

Text = Annotated[str, Chars()]
ShortText = Annotated[str, Chars(0, 256)]
Name = Annotated[str, Chars(1, MAX_TYPE_CHARS)]
SchemaDigest = Annotated[str, Chars(0, DIGEST_CHARS)]
Person = Annotated[str, PersonName()]
RequestKey = Annotated[str, Chars(1, MAX_REQUEST_KEY_CHARS)]
Reason = Annotated[str, Chars(0, MAX_REASON_CHARS)]
JobName = Annotated[str, Chars(0, MAX_JOB_NAME_CHARS)]
Comment = Annotated[str, Chars(0, MAX_COMMENT_CHARS)]
Submitter = Annotated[str, Chars(0, MAX_SUBMITTER_CHARS)]
CheckpointPauseName = Annotated[str, Chars(1, MAX_HOLD_CHARS)]
