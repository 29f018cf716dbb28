"""A type's parameters, for people: `measure(count: int, exposure: float = 0.1)`, and everything about each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zjobs.client.wording.text import printable, printable_lines
from zjobs.messages.records import TaskType
from zjobs.program.schema.document import Node, is_bytes, members_of, types_of
from zjobs.program.schema.parameters import Parameters, alternatives
from zjobs.program.schema.wording import shown, wanted

MOST_DEEP = 4
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"))
_PYTHON_SAYS = {
    "null": "None",
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "string": "str",
    "array": "list",
    "object": "dict",
}


def briefly(task: TaskType, schema: Node | None) -> list[str]:
    """Return a type's signature, its time limit, and a line on what it does."""
    limit = "" if task.time_limit_ms is None else f"  limit {_duration(task.time_limit_ms)}"
    called = signature(task.name, None if schema is None else Parameters(schema))
    about = [f"    {printable(task.description)}"] if task.description else []
    return [printable(called) + limit, *about]


def everything(task: TaskType, schema: Node | None) -> list[str]:
    """Return everything known about a type."""
    lines = briefly(task, schema)[:1]
    text = str((schema or {}).get("description", "")) or task.description
    if text:
        lines += ["", *printable_lines(text)]
    if schema is None:
        lines += ["", "Its worker does not say what it takes."]
    elif schema.get("properties"):
        lines += ["", "Parameters:", *map(printable, parameter_lines(Parameters(schema)))]
    limit = "none" if task.time_limit_ms is None else _duration(task.time_limit_ms)
    runs = f"max attempts {task.max_attempts}, max reruns {task.max_reruns}"
    delays = f"grace {_duration(task.grace_ms)}, retry delay {_duration(task.retry_delay_ms)}"
    return [*lines, "", f"time limit {limit}, {delays}, {runs}"]


def _duration(ms: int) -> str:
    """Return a duration as it is written on the command line: 10m, 90s."""
    return next((f"{ms // size}{unit}" for size, unit in _UNITS if ms and ms % size == 0), f"{ms / 1000:g}s")


def signature(name: str, parameters: Parameters | None) -> str:
    """Return the signature as Python would write it; … if the parameters are unknown."""
    if parameters is None:
        return f"{name}(…)"
    taken = [_parameter(parameters, each) for each in parameters.properties]
    return f"{name}({', '.join([*taken, *(['…'] if parameters.takes_others else [])])})"


def parameter_lines(parameters: Parameters) -> Iterator[str]:
    """Yield a line for each parameter: what it must be, its default, its description; those of a map below it."""
    for name, node in parameters.properties.items():
        yield from _lines(parameters, name, node, name in parameters.required, 1)


def _lines(parameters: Parameters, name: str, node: Node, required: bool, depth: int) -> Iterator[str]:
    ways = list(alternatives(parameters, node))
    said = " or ".join(dict.fromkeys(_meant(parameters, way) for way in ways))
    default = f", by default {_literal(node['default'])}" if "default" in node else "" if required else ", optional"
    described = node.get("description") or next((way["description"] for way in ways if "description" in way), "")
    text = f": {' '.join(str(described).split())}" if described else ""
    yield f"{'  ' * depth}{name}  {said}{default}{text}"
    for way in ways:
        inner = parameters.resolved(way.get("items")) if "array" in types_of(way) else way
        fields = inner.get("properties")
        if isinstance(fields, dict) and depth < MOST_DEEP:
            needed = inner.get("required")
            for field, each in fields.items():
                is_needed = isinstance(needed, list) and field in needed
                yield from _lines(parameters, field, each if isinstance(each, dict) else {}, is_needed, depth + 1)


def _meant(parameters: Parameters, way: Node) -> str:
    if "array" in types_of(way) and way.get("items"):
        items = " or ".join(dict.fromkeys(map(wanted, alternatives(parameters, way["items"]))))
        return f"{wanted(way)}, each {items}"
    return wanted(way)


def _parameter(parameters: Parameters, name: str) -> str:
    node = parameters.properties[name]
    kind = _annotation(parameters, node)
    kind = f": {kind}" if kind else ""
    if "default" in node:
        return f"{name}{kind}{' = ' if kind else '='}{_literal(node['default'])}"
    return f"{name}{kind}" if name in parameters.required else f"{name}{kind} = …"


def _annotation(parameters: Parameters, node: Any, depth: int = 0) -> str:
    ways = [_of_way(parameters, way, depth) for way in alternatives(parameters, node)]
    return " | ".join(dict.fromkeys(ways)) if all(ways) else ""


def _of_way(parameters: Parameters, way: Node, depth: int) -> str:
    if members := members_of(way):
        return " | ".join(map(_literal, members))
    if is_bytes(way):
        return "bytes"
    types = types_of(way)
    if types == ["array"] and way.get("items") and depth < MOST_DEEP:
        inner = _annotation(parameters, way["items"], depth + 1)
        return f"list[{inner}]" if inner else "list"
    if types == ["object"] and isinstance(way.get("title"), str):
        return str(way["title"])
    return " | ".join(_PYTHON_SAYS[each] for each in types)


def _literal(value: Any) -> str:
    """Return a default as Python would write it, cut if it is long."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, (list, dict)):
        said = repr(value)
        return said if len(said) <= 40 else f"{said[:39]}…"
    return shown(value)
