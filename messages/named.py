"""Named tuples whose classes are created fast: `zclient` starts with a hundred of them, and makes a dozen.

`typing.NamedTuple` compiles a constructor for each class, and each annotation that is a string: 0.25 ms for a class.
Here the constructor is compiled when the class is first called. Everything else is as it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    from _collections import _tuplegetter as getter
    from collections import namedtuple

    class _Meta(type):
        """Makes a class with annotations a tuple with these fields."""

        def __new__(meta, name, bases, namespace):
            if len(bases) != 1 or vars(bases[0]).get("_fields", None) != ():
                return super().__new__(meta, name, bases, namespace)
            cls = super().__new__(meta, name, bases, {**namespace, "__slots__": ()})
            cls._fields = cls.__match_args__ = tuple(cls.__annotations__)
            cls._field_defaults = {field: namespace[field] for field in cls._fields if field in namespace}
            for place, field in enumerate(cls._fields):
                setattr(cls, field, getter(place, ""))
            return cls

    class NamedTuple(tuple, metaclass=_Meta):
        """The base of such classes."""

        __slots__ = ()
        _fields = ()

        def __new__(cls, *values, **named):
            """Compile the constructor and call it: only the first call of a class comes here."""
            own = next(each for each in cls.__mro__ if "_fields" in vars(each))  # cls may be derived from it
            made = namedtuple(own.__name__, own._fields, defaults=own._field_defaults.values())
            own.__new__ = staticmethod(made.__new__)
            return cls(*values, **named)

        @classmethod
        def _make(cls, values):
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"{cls.__name__} takes {len(cls._fields)} values, not {len(made)}")
            return made

        def _replace(self, /, **changes):
            made = tuple.__new__(type(self), map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"{type(self).__name__} has no field {', '.join(changes)}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self))

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(map('{}={!r}'.format, self._fields, self))})"

        def __getnewargs__(self):
            return tuple(self)
