"""Calls of task functions with jobs' packed data."""

from __future__ import annotations

import inspect
from typing import Any

from zjobs.messages.values import unpack_value
from zjobs.program.schema.checks import Mismatch
from zjobs.program.schema.parameters import Parameters
from zjobs.worker import parameters
from zjobs.worker.tasks import BadData, Context, Task, TaskError

# Positional and keyword arguments of a call.
Call = tuple[tuple[Any, ...], dict[str, Any]]


class Caller:
    """A task ready to be called. Its function is examined once, not for each job.

    schema: that of its parameters, packed; empty if no data for it can be described.
    """

    def __init__(self, task: Task) -> None:
        self.type = task.type
        self.keeps_processes = task.keeps_processes
        self.keeps_state = task.keeps_state
        self._function = task.function
        signature = parameters.signature_of(task.function)
        annotations = parameters.annotations_of(task.function, signature)
        contexts = [name for name, annotation in annotations.items() if annotation is Context]
        if len(contexts) > 1:
            raise TaskError(f"task {self.type.name!r} has more than one Context: {', '.join(contexts)}")
        self.context = contexts[0] if contexts else None
        self._context_is_named = any(
            each.name == self.context and each.kind is each.KEYWORD_ONLY for each in signature.parameters.values()
        )
        takes = [each for name, each in signature.parameters.items() if name != self.context]
        schema, self._converts = parameters.described(takes, annotations, inspect.getdoc(task.function))
        self._parameters = Parameters(schema)
        self._spreads = any(each.kind is each.VAR_POSITIONAL for each in takes)  # *args
        self._by_place = [each for each in signature.parameters.values() if each.kind is each.POSITIONAL_ONLY]
        by_position = [each.name for each in takes if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        self._first = next(iter(by_position if self._spreads else self._parameters.properties), "")
        # Shortcuts for the two most frequent calls.
        special = self.context or self._by_place
        self._takes_none = not (self._parameters.required or special)
        self._takes_one = self._first in by_position and not (
            self._parameters.required[1:] or special or self._converts
        )
        self.schema = b"" if self._spreads else parameters.packed(schema)

    def bound(self, data: bytes | None, context: Context | None = None) -> Call:
        """Return the arguments that packed `data` stands for. context: for a task that takes one. Raises BadData."""
        if data is None and self._takes_none:
            return (), {}
        try:
            values: dict[str, Any] = {}
            if data is not None:
                value = unpack_value(data)
                if self._takes_one and type(value) is not dict:
                    self._parameters.check_one(self._first, value)
                    return (value,), {}
                if self._spreads and not self._first and type(value) is not dict:
                    return self._spread(value, context or Context())
                values = self._named(value)
            self._parameters.check(values)
            for name, convert in self._converts.items():
                if name in values:
                    values[name] = _converted(convert, name, values[name])
        except ValueError as error:
            raise BadData(f"{self.type.name}: {error}") from None
        if self.context is not None:
            values[self.context] = context or Context()
        if not self._by_place:
            return (), values
        return tuple(values.pop(each.name, each.default) for each in self._by_place), values

    def run(self, call: Call) -> Any:
        """Call the task with these arguments, and return what it returns."""
        return self._function(*call[0], **call[1])

    def _spread(self, value: Any, context: Context) -> Call:
        """Return the call of a function that has no parameters but *args and perhaps a context."""
        if self.context is None:
            return (value,), {}
        return ((value,), {self.context: context}) if self._context_is_named else ((context, value), {})

    def _named(self, value: Any) -> dict[str, Any]:
        """Return the parameters by name: those of a map, or else the value as the first one."""
        if type(value) is not dict:
            if not self._first:
                raise Mismatch("it takes no data")
            return {self._first: value}
        for name in value:
            if type(name) is not str:
                raise Mismatch("a map must have text keys, the names of the parameters")
        if self.context in value:  # **rest would take it
            raise Mismatch(f"{self.context} is not data, but the job's context")
        return value


def _converted(convert: parameters.Convert, name: str, value: Any) -> Any:
    try:
        return convert(value)
    except Mismatch as mismatch:
        raise mismatch.within(name) from None
