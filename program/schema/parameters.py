"""The parameters of a task, as a schema describes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zjobs.program.schema.checks import Check, Checks, Mismatch
from zjobs.program.schema.document import Node, get, node_of
from zjobs.program.schema.wording import instead, wanted


class Parameters:
    """The parameters of a task: `properties` has the schema of each by name, in order."""

    def __init__(self, schema: Node) -> None:
        self.schema = schema
        self.properties: dict[str, Node] = {
            name: node_of(each) for name, each in get(schema, "properties", dict).items()
        }
        self.required = [name for name in self.properties if name in get(schema, "required", list)]
        self.takes_others = schema.get("additionalProperties", True) is not False
        self._checks = Checks(schema)
        self._check_of: dict[str, Check] = {}

    @property
    def first(self) -> str | None:
        """The parameter that receives data which is not a map."""
        return next(iter(self.properties), None)

    def node(self, name: str) -> Node:
        """Return the schema of a parameter, with references resolved."""
        return self._checks.resolved(self.properties.get(name, {}))

    def resolved(self, node: Any) -> Node:
        """Return the node that `node` refers to, or `node` itself."""
        return self._checks.resolved(node)

    def check(self, values: dict[str, Any]) -> None:
        """Raise Mismatch unless a task can be called with these values."""
        for name in values:
            if name not in self.properties and not self.takes_others:
                raise Mismatch(self.no_such(name))
        for name in self.required:
            if name not in values:
                raise Mismatch(f"is missing: it must be {wanted(self.node(name))}", name)
        for name, value in values.items():
            self.check_one(name, value)

    def check_one(self, name: str, value: Any) -> None:
        """Raise Mismatch unless this parameter may have `value`."""
        check = self._check_of.get(name)
        if check is None:
            check = self._check_of[name] = self._checks.of(self.properties.get(name, {}))
        try:
            check(value)
        except Mismatch as mismatch:
            raise mismatch.within(name) from None
        except RecursionError:
            raise Mismatch("is nested too deeply", name) from None

    def no_such(self, name: object) -> str:
        """Return a sentence that there is no such parameter."""
        return f"there is no parameter {name}{instead(name, self.properties)}"


def alternatives(parameters: Parameters, node: Any) -> Iterator[Node]:
    """Yield the alternatives that `node` allows: itself, or each of several."""
    node = parameters.resolved(node)
    for each in get(node, "anyOf", list) or [node]:
        yield parameters.resolved(each)
