"""The parameters of a task, read from its function: their JSON Schema, and converters to the annotated types.

The plain types are described here, in a table of seven that covers the predefined tasks and most others. Everything
else is left to msgspec, which is made for this and knows msgpack's types. It is imported only for a task that needs it,
because that takes about 20 ms at the start of a task process. A parameter that msgspec cannot describe is the task's
own affair and is announced without a type, like a parameter without annotation.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from zjobs.program.schema.checks import Mismatch
from zjobs.program.schema.document import Node

# Converts a value to the annotated type, such as a map to a dataclass. Raises Mismatch.
Convert = Callable[[Any], Any]

_PLAIN: dict[Any, Node] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    list: {"type": "array"},
    dict: {"type": "object"},
    bytes: {"type": "string", "contentEncoding": "base64"},
}
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# "count: how many", "count (int): how many", ":param count: how many"
_DESCRIBED = r"(?m)^[ \t]*(?::param[ \t]+)?({names})(?:[ \t]*\([^)\n]*\))?:[ \t]+(\S.*(?:\n[ \t]*(?!.*:[ \t])\S.*)*)"


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return a function's signature, with annotations that cannot be evaluated left as they are."""
    if sys.version_info >= (3, 14):  # annotations are code there, which runs when they are read, and may fail
        import annotationlib

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def annotations_of(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Return the annotation of each parameter that has a readable one; the others are the task's own affair."""
    space = getattr(inspect.unwrap(function), "__globals__", {})
    found = {}
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        if isinstance(annotation, str):
            # one by one: a name that only type checkers know must not hide the others
            try:
                annotation = eval(annotation, space)
            except Exception:
                continue
        if annotation is not inspect.Parameter.empty and parameter.kind not in _VARIABLE:
            found[name] = annotation
    return found


def described(
    parameters: Iterable[inspect.Parameter], annotations: dict[str, Any], text: str | None
) -> tuple[Node, dict[str, Convert]]:
    """Return the schema of a function's parameters, and the converters of those that are not plain. text: its
    docstring."""
    parameters = list(parameters)
    named = [each for each in parameters if each.kind not in _VARIABLE]
    nodes, definitions, converts = _nodes({each.name: annotations.get(each.name) for each in named})
    texts = _descriptions_of({each.name for each in named}, text or "")
    for each in named:
        node = nodes[each.name] = {**nodes[each.name]}
        if each.name in texts and "description" not in node:
            node["description"] = texts[each.name]
        if each.default is not each.empty:
            _add_default(node, each.default, each.name in converts)
    schema: Node = {"type": "object", "properties": nodes}
    required = [each.name for each in named if each.default is each.empty]
    if text:
        schema["description"] = text
    if required:
        schema["required"] = required
    if all(each.kind is not each.VAR_KEYWORD for each in parameters):
        schema["additionalProperties"] = False
    if definitions:
        schema["$defs"] = definitions
    return schema, converts


def packed(schema: Node) -> bytes:
    """Return a schema as it is announced. The same function gives the same bytes."""
    return json.dumps(schema, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def _nodes(annotations: dict[str, Any]) -> tuple[dict[str, Node], Node, dict[str, Convert]]:
    """Return the schema of each parameter, the definitions that they refer to, and their converters."""
    nodes = {name: _PLAIN.get(_hashable(annotation), {}) for name, annotation in annotations.items()}
    rich = {name: annotations[name] for name, node in nodes.items() if not node and annotations[name] is not None}
    rich = {name: annotation for name, annotation in rich.items() if annotation is not Any}
    if not rich:
        return nodes, {}, {}

    from msgspec import json as msgspec_json  # only here: see the top of this module

    convertible = {name: annotation for name, annotation in rich.items() if _is_convertible(annotation)}
    found, definitions = msgspec_json.schema_components(convertible.values(), ref_template="#/$defs/{name}")
    for definition in definitions.values():
        if "properties" in definition:  # msgspec would drop a key without a field, which most likely is a typo
            definition.setdefault("additionalProperties", False)
    nodes |= dict(zip(convertible, found))
    return nodes, definitions, {name: _converter(annotation) for name, annotation in convertible.items() if nodes[name]}


def _hashable(annotation: Any) -> Any:
    return annotation if isinstance(annotation, type) else None


def _is_convertible(annotation: Any) -> bool:
    """True if msgspec can describe this type and convert values to it."""
    import msgspec

    try:
        msgspec.json.schema(annotation)
        msgspec.convert(None, annotation, builtin_types=(bytes,))
    except msgspec.ValidationError:
        return True
    except Exception:  # TypeError, and whatever evaluating a class's own annotations raises
        return False
    return True


def _converter(annotation: Any) -> Convert:
    import msgspec

    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(value, annotation, builtin_types=(bytes,))
        except msgspec.ValidationError as error:  # beyond any schema: text that is not a date, a class's own check
            what, _, path = str(error).partition(" - at `$")
            if error.__cause__ is not None:
                what = f"is refused: {error.__cause__}"
            elif what.startswith("Invalid "):
                what = f"is not a valid {what.removeprefix('Invalid ')}"
            else:
                what = f"does not fit: {what}"
            raise Mismatch(what, path.rstrip("`")) from None

    return convert


def _add_default(node: Node, default: Any, is_rich: bool) -> None:
    """Add the parameter's default to its schema, if JSON can express it."""
    try:
        if is_rich:
            import msgspec

            default = msgspec.to_builtins(default)
        node["default"] = json.loads(json.dumps(default, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return


def _descriptions_of(names: set[str], text: str) -> dict[str, str]:
    """Return the docstring's description of each parameter, where there is one line for each."""
    if not names or ":" not in text:
        return {}
    pattern = _DESCRIBED.format(names="|".join(map(re.escape, names)))
    return {name: " ".join(what.split()) for name, what in re.findall(pattern, text)}
