"""The fields of a form by the JSON Schema of a type, and what a filled form means. Pure.

What a field may hold is decided by the checks that zclient uses, too, so both say the same of a mistake.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from zjobs.client.protocol.arguments import Given, data_of, value_of
from zjobs.client.protocol.job import NO_DATA
from zjobs.client.wording import text
from zjobs.program.schema.checks import Mismatch
from zjobs.program.schema.document import Node, is_bytes, members_of, number, types_of
from zjobs.program.schema.parameters import Parameters, alternatives
from zjobs.program.schema.wording import wanted

# The field for what is no parameter: all data of a type without a schema, or a map of further parameters.
DATA = ""
PREFIX = "data."


class Field(NamedTuple):
    """A field. `kind`: text, number, choice, file or json. `attributes`: what the browser checks while typing."""

    name: str
    label: str
    kind: str
    value: str = ""
    hint: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    wrong: str = ""

    @property
    def id(self) -> str:
        """The name of the field in the form."""
        return f"{PREFIX}{self.name}"


class Filled(NamedTuple):
    """The content of a form: the data that is meant, or the fields with mistakes."""

    data: Any
    mistakes: Mapping[str, str]


def fields(
    parameters: Parameters | None, words: Mapping[str, str], mistakes: Mapping[str, str] | None = None
) -> list[Field]:
    """Return the fields for data, with their content."""
    wrong = mistakes or {}
    if parameters is None:
        hint = "JSON; anything else is text. Empty: no data."
        return [Field(DATA, "Data", "json", words.get(DATA, ""), hint, wrong=wrong.get(DATA, ""))]
    made = [_field(parameters, name, words.get(name, ""), wrong.get(name, "")) for name in parameters.properties]
    if parameters.takes_others:
        hint = "a map in JSON"
        made.append(Field(DATA, "Further parameters", "json", words.get(DATA, ""), hint, wrong=wrong.get(DATA, "")))
    return made


def _field(parameters: Parameters, name: str, value: str, wrong: str) -> Field:
    node, ways = parameters.node(name), list(alternatives(parameters, parameters.properties[name]))
    required = name in parameters.required
    given = parameters.properties[name]
    label = str(given.get("title") or name)
    about = [str(given["description"])] if given.get("description") else []
    about.append(_in_json(" or ".join(dict.fromkeys(map(wanted, ways)))))
    if not required:
        about.append(f"default: {text.json_text(given['default'], False)}" if "default" in given else "may be empty")
    hint = "; ".join(filter(None, about))
    made = Field(name, label, "text", value, hint, required, wrong=wrong)
    plain = [way for way in ways if types_of(way) != ["null"]]
    if any(map(is_bytes, ways)):
        return made._replace(kind="file", value="")
    if all(map(members_of, plain)):
        choices = tuple(_word(member) for way in plain for member in members_of(way))
        return made._replace(kind="choice", choices=choices)
    types = {each for way in plain for each in types_of(way)}
    if types == {"boolean"}:
        return made._replace(kind="choice", choices=("true", "false"))
    if types and types <= {"integer", "number"}:
        return made._replace(kind="number", attributes=tuple(_range(node, types)))
    if not types or types & {"array", "object"}:
        return made._replace(kind="json")
    return made._replace(attributes=tuple(_bounds(node)) if types == {"string"} else ())


def _in_json(expected: str) -> str:
    """Return what a field expects; nothing for plain text, which a field suggests."""
    return "" if expected == "text" else f"{expected} in JSON" if expected.startswith(("a list", "a map")) else expected


def _range(node: Node, types: set[str]) -> list[tuple[str, str]]:
    bounds = [(mark, number(node, key)) for mark, key in (("min", "minimum"), ("max", "maximum"))]
    step = number(node, "multipleOf") or (1 if types == {"integer"} else "any")
    return [("step", str(step)), *((mark, str(bound)) for mark, bound in bounds if bound is not None)]


def _bounds(node: Node) -> list[tuple[str, str]]:
    bounds = [(mark, number(node, key)) for mark, key in (("minlength", "minLength"), ("maxlength", "maxLength"))]
    return [(mark, str(bound)) for mark, bound in bounds if bound is not None]


# --- from data to words and back -----------------------------------------------------------------------------------


def words_of(data: Any, parameters: Parameters | None) -> dict[str, str]:
    """Return the content of the fields for this data; bytes are left out, since no field holds them."""
    if data is NO_DATA:
        return {}
    if parameters is None:
        return {DATA: data if isinstance(data, str) and _guessed(data) == data else _json(data)}
    values = data if isinstance(data, dict) else {parameters.first: data}
    own = {name: each for name, each in values.items() if name in parameters.properties}
    others = {name: each for name, each in values.items() if name not in own}
    words = {name: _word(each) for name, each in own.items() if not _has_bytes(each)}
    return words | ({DATA: _json(others)} if others else {})


def filled(parameters: Parameters | None, given: Mapping[str, str | bytes]) -> Filled:
    """Return what the fields mean. An empty field that is not required was left out; a required text is empty."""
    if parameters is None:
        word = given.get(DATA, "")
        return Filled(_guessed(str(word)) if word else NO_DATA, {})
    mistakes: dict[str, str] = {}
    named = {name: word for name, word in given.items() if name != DATA and (word or _may_be_empty(parameters, name))}
    try:
        named |= {name: _json(each) for name, each in _others(str(given.get(DATA, ""))).items()}
    except ValueError:
        mistakes[DATA] = "must be a map in JSON"
    for name in parameters.required:
        if name not in named:
            mistakes[name] = "is missing"
    for name, word in named.items():
        try:
            value_of(parameters, name, word)
        except Mismatch as mismatch:
            mistakes[name] = str(mismatch).removeprefix(name).strip()
    if mistakes:
        return Filled(NO_DATA, mistakes)
    try:
        return Filled(data_of(Given(named=named), parameters), {})
    except Mismatch as mismatch:
        return Filled(NO_DATA, {mismatch.path.partition(".")[0].partition("[")[0] or DATA: mismatch.what})


def _others(word: str) -> dict[str, Any]:
    others = json.loads(word) if word.strip() else {}
    if not isinstance(others, dict):
        raise ValueError("it must be a map")
    return others


def _may_be_empty(parameters: Parameters, name: str) -> bool:
    """Return True if an empty field means an empty text, not a parameter that was left out."""
    if name not in parameters.required:
        return False
    ways = alternatives(parameters, parameters.properties.get(name, {}))
    return any("string" in types_of(way) and not is_bytes(way) and not members_of(way) for way in ways)


def _guessed(word: str) -> Any:
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word


def _has_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_bytes, value.values()))
    return isinstance(value, bytes) or (isinstance(value, list) and any(map(_has_bytes, value)))


def _word(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return text.json_text(value, ascii_only=False)
