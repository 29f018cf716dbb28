"""Our named tuples behave like those of `typing`."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from typing import Any

import pytest

from zjobs.messages import dispatch, events, records
from zjobs.messages.named import NamedTuple
from zjobs.messages.requests import changes, ops, queries


class Ours(NamedTuple):
    """A point."""

    x: int
    y: int = 2
    name: str = ""

    @property
    def sum(self) -> int:
        """Return the sum."""
        return self.x + self.y


class Derived(Ours):
    """A point with nothing more."""


class Theirs(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 2
    name: str = ""


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, 3), {"name": "n"}),
    ((), {"y": 5, "x": 4}),
    ((), {}),
    ((1, 2, "n", 4), {}),
    ((1,), {"x": 2}),
    ((1,), {"z": 2}),
]


def outcome(call: Any) -> Any:
    """The values of what is made, or the kind of the exception."""
    try:
        return tuple(call())
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(("values", "named"), CALLS)
def test_calls(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Values by place and by name, defaults, and every mistake."""
    assert outcome(lambda: Ours(*values, **named)) == outcome(lambda: Theirs(*values, **named))


def test_the_first_call_of_a_derived_class() -> None:
    """It makes one of its own, and leaves its base as it should be."""

    class Base(NamedTuple):
        x: int
        y: int = 2

    class More(Base):
        pass

    assert type(More(1)) is More and type(Base(1)) is Base and More(1) == Base(x=1) == (1, 2)
    assert type(Derived(1)) is Derived


def test_what_else_a_named_tuple_can() -> None:
    """The rest of its interface, beside that of `typing`."""
    ours, theirs = Ours(1, name="n"), Theirs(1, name="n")
    assert (ours.x, ours.y, ours.name, ours.sum) == (1, 2, "n", 3)
    assert ours._fields == theirs._fields and ours._field_defaults == theirs._field_defaults
    assert Ours.__match_args__ == Theirs.__match_args__  # type: ignore[attr-defined]
    assert ours._asdict() == theirs._asdict()
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert ours._replace(y=9) == theirs._replace(y=9) and type(ours._replace(y=9)) is Ours
    assert type(Ours._make([1, 2, "n"])) is Ours
    assert pickle.loads(pickle.dumps(ours)) == ours == copy.deepcopy(ours) and hash(ours) == hash(theirs)
    assert not hasattr(ours, "__dict__")
    for make in (
        lambda kind: kind._make([1]),
        lambda kind: kind(1)._replace(z=1),
        lambda kind: setattr(kind(1), "x", 2),
    ):
        assert outcome(lambda make=make: make(Ours)) == outcome(lambda make=make: make(Theirs))


def test_no_constructor_is_compiled_before_it_is_called() -> None:
    """That is what starts take less time for."""

    class Unused(NamedTuple):
        x: int

    assert "__new__" not in vars(Unused)
    assert Unused(1).x == 1 and "__new__" in vars(Unused)


def test_every_message_is_one() -> None:
    """So nothing is imported in `zclient` that compiles a class."""
    for module in (changes, dispatch, events, ops, queries, records):
        made = [each for _, each in inspect.getmembers(module, inspect.isclass) if hasattr(each, "_fields")]
        assert made and all(issubclass(each, NamedTuple) for each in made)  # type: ignore[arg-type]
