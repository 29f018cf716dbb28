"""Conversion of a command line's words to a job's data, by the schema of the type's parameters; without one, as text
and JSON.

The schema alone decides what a word means: `532` is a number where a number may be, and text where only text may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from zjobs.client.protocol.job import NO_DATA
from zjobs.messages.named import NamedTuple
from zjobs.program.schema.checks import Mismatch
from zjobs.program.schema.document import Node, is_bytes, members_of, types_of
from zjobs.program.schema.parameters import Parameters, alternatives
from zjobs.program.schema.wording import shown, wanted

_NO_NAMES: Mapping[str, str | bytes] = {}


class Given(NamedTuple):
    """The data of one job, as a command line gives it. words: by position; named: by name, as text or as read from a
    file; file: bytes for the first parameter that accepts bytes, or None."""

    words: Sequence[str | bytes] = ()
    named: Mapping[str, str | bytes] = _NO_NAMES
    file: bytes | None = None


def data_of(given: Given, parameters: Parameters | None) -> Any:
    """Return the data that is meant; NO_DATA for none. Raises Mismatch if the words cannot be converted."""
    if parameters is None:
        return _by_guess(given)
    values = {name: value_of(parameters, name, word) for name, word in given.named.items()}
    free = [name for name in parameters.properties if name not in values]
    if given.file is not None:
        name = _for_bytes(parameters, free)
        values[name] = given.file
        free.remove(name)
    if len(given.words) > len(free):
        raise Mismatch(_too_many(given, parameters, free))
    values |= {name: value_of(parameters, name, word) for name, word in zip(free, given.words)}
    parameters.check(values)
    return _shortest(values, parameters)


def check_data(data: Any, parameters: Parameters | None) -> None:
    """Raise Mismatch if a task with these parameters cannot accept `data`."""
    if parameters is None:
        return
    if data is NO_DATA:
        parameters.check({})
    elif isinstance(data, dict):
        parameters.check(data)
    elif parameters.first is not None:
        parameters.check({parameters.first: data})
    elif not parameters.takes_others:
        raise Mismatch("it takes no data")


def _by_guess(given: Given) -> Any:
    """Return the data if the parameters are unknown: named values as JSON where it parses; one word as text."""
    if given.named:
        if given.words or given.file is not None:
            raise Mismatch("its parameters are not known yet, so --arg goes with nothing else")
        return {name: _json_or_text(word) for name, word in given.named.items()}
    if len(given.words) + (given.file is not None) > 1:
        raise Mismatch(
            "its parameters are not known yet, so one argument at most may be given: quote it, or use --arg NAME=VALUE"
        )
    if given.file is not None:
        return given.file
    word = next(iter(given.words), NO_DATA)
    return _text(word, "standard input") if isinstance(word, bytes) else word


def _shortest(values: dict[str, Any], parameters: Parameters) -> Any:
    """Return the shortest form, which does not depend on whether a schema was at hand: one value that is not a map
    stands for the first parameter."""
    if not values:
        return NO_DATA
    name, value = next(iter(values.items()))
    return value if len(values) == 1 and name == parameters.first and not isinstance(value, dict) else values


def _too_many(given: Given, parameters: Parameters, free: list[str]) -> str:
    if not free:
        taken = " beside those that are named" if given.named or given.file is not None else ""
        return f"it takes no arguments{taken}"
    words = [word for word in given.words if isinstance(word, str)]
    hint = f": quote them, {shown(' '.join(words))}" if len(free) == 1 and len(words) == len(given.words) else ""
    most = "1 argument" if len(free) == 1 else f"{len(free)} arguments"
    return f"it takes {most} at most ({', '.join(free)}), not {len(given.words)}{hint}"


def _for_bytes(parameters: Parameters, free: list[str]) -> str:
    """Return the parameter that a file's bytes are for."""
    for name in free:
        if any(is_bytes(each) for each in alternatives(parameters, parameters.properties[name])):
            return name
    for name in free:
        if any(not types_of(each) and not members_of(each) for each in alternatives(parameters, parameters.node(name))):
            return name
    raise Mismatch("it has no parameter that takes bytes")


def value_of(parameters: Parameters, name: str, word: str | bytes) -> Any:
    """Return the value that a word means as this parameter. bytes: the content of a file. Raises Mismatch."""
    if name not in parameters.properties:
        if not parameters.takes_others:
            raise Mismatch(parameters.no_such(name))
        return _json_or_text(word)
    ways = list(alternatives(parameters, parameters.properties[name]))
    if isinstance(word, bytes):
        if any(map(is_bytes, ways)):
            return word
        word = _text(word, f"what is given for {name}")
    return _meant(parameters, name, word, ways)


def _meant(parameters: Parameters, name: str, word: str, ways: list[Node]) -> Any:
    """Return the first possible meaning of a word that is valid: text after the others, but before null, which nobody
    needs to write."""
    candidates = [value for way in ways for value in _candidates(word, way)]
    problem: Mismatch | None = None
    for value in sorted(candidates, key=_rank):
        try:
            parameters.check_one(name, value)
            return value
        except Mismatch as mismatch:
            problem = problem or mismatch
    raise problem or Mismatch(f"must be {_wanted(parameters, name, ways)}, not {shown(word)}", name)


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Mismatch(f"{what} is not UTF-8 text (byte {error.start})") from None


def _rank(value: Any) -> int:
    return 2 if value is None else 1 if isinstance(value, str) else 0


def _wanted(parameters: Parameters, name: str, ways: list[Node]) -> str:
    said = " or ".join(dict.fromkeys(map(wanted, ways)))
    return f"{said} (from a file: --arg {name}=@FILE)" if any(map(is_bytes, ways)) else said


def _candidates(word: str, way: Node) -> list[Any]:
    """Return the possible meanings of a word as one alternative."""
    members = members_of(way)
    if members:
        return [member for member in members if member == word or (type(member) is not str and _json(word) == [member])]
    if is_bytes(way):
        return []
    types = types_of(way)
    if not types:
        return [_json_or_text(word)]
    found: list[Any] = [word] if "string" in types else []
    lowered = word.lower()
    if "boolean" in types and lowered in ("true", "false"):
        found.append(lowered == "true")
    if "null" in types and lowered in ("null", "none"):
        found.append(None)
    if "integer" in types or "number" in types:
        found += _number(word, "number" in types)
    if "array" in types or "object" in types:
        found += [value for value in _json(word) if isinstance(value, (list, dict))]
    return found


def _number(word: str, may_be_float: bool) -> list[Any]:
    """Return the number that a word is, if it is one: an integer if possible."""
    if "_" in word or not word.isascii():  # Python accepts these, others do not
        return []
    for kind in (int, float) if may_be_float else (int,):
        with suppress(ValueError):
            return [kind(word)]
    return []


def _json(word: str) -> list[Any]:
    """Return the value that a word is in JSON, if it is one."""
    import json  # not at the top: most words do not need it

    try:
        return [json.loads(word)]
    except (ValueError, RecursionError):
        return []


def _json_or_text(word: str | bytes) -> Any:
    if isinstance(word, bytes):
        try:
            word = word.decode()
        except UnicodeDecodeError:
            return word
    return next(iter(_json(word)), word)
