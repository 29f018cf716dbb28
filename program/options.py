"""The command line, the same for zbroker, zworker and zclient: options, words, durations, sizes.

docopt reads the usage text and fills in the values; what it makes of a mistake (the usage page, without a
word on what is wrong) is not good enough for people, so the mistakes are found and named here first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from docopt import DocoptExit, docopt

_OPTION_LINE = re.compile(r"^[ \t]*(-\S.*)$", re.MULTILINE)
_OPTION_NAME = re.compile(r"(?:^|[\s,])(--?\w[\w-]*)(?:[ =]([A-Z<]\S*))?")
_REPEATED = re.compile(r"(--[\w-]+)[^\]]*\]\.\.\.")
_USAGE = re.compile(r"usage:\s*(\S.*?)(?:\n[ \t]*\n|\Z)", re.IGNORECASE | re.DOTALL)
_USAGE_WORD = re.compile(r"(\[?)([A-Za-z<][\w<>-]*)(\]?)(\.\.\.)?")

# docopt must not look at words that begin with a dash again: they travel under this name and a number.
_PLACEHOLDER = "\0"

# From here on (of 1, the same) a word is taken for a misspelling of another: `sumbit` is, `owner` is not `broker`.
CLOSE = 0.65

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 36500 * 86400
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class UsageError(Exception):
    """The command line is wrong; the text is a sentence for people (and the usage line where it helps)."""


class Option(NamedTuple):
    """An option as the help text has it: `name` is the long spelling, `value` what its value is called."""

    name: str
    value: str | None
    repeatable: bool


def parse(doc: str, argv: list[str], version: str) -> dict[str, Any]:
    """What `argv` says by the usage text `doc`: docopt's values under `--option`, `WORD` and `command`.

    Options may stand before, between and after the words, as `--option value` or `--option=value`; the last
    one counts, unless the usage line repeats it (`[--arg VALUE]...`: a list). `--` ends the options. `--help`
    prints `doc`, `--version` prints `version` as it is; both raise SystemExit(0). Raises UsageError.
    """
    before_words = argv[: argv.index("--")] if "--" in argv else argv
    if "--help" in before_words or "-h" in before_words:
        _print_and_leave(doc.strip("\n"))
    if "--version" in before_words:
        _print_and_leave(version)
    table = options_of(doc)
    given, words = _split(argv, table, usage_lines(doc))
    hidden = [f"{_PLACEHOLDER}{n}" if word.startswith("-") and word != "-" else word for n, word in enumerate(words)]
    try:
        values = docopt(doc, [*_spelled(given), *hidden], default_help=False)
    except DocoptExit:
        raise UsageError(_mistake(usage_lines(doc), words, given)) from None
    shown = {name: _shown(value, words) for name, value in values.items()}
    return {name: value for name, value in shown.items() if name not in ("--", "--help", "--version")}


def options_of(doc: str) -> dict[str, Option]:
    """The options that the help text `doc` describes, by each of their spellings."""
    usage = _USAGE.search(doc)
    repeatable = set(_REPEATED.findall(usage[1] if usage else ""))
    table = {}
    for line in _OPTION_LINE.findall(doc):
        spellings = _OPTION_NAME.findall(line.split("  ")[0])
        value = next((value for _, value in spellings if value), None)
        name = spellings[-1][0]
        table.update({spelling: Option(name, value, name in repeatable) for spelling, _ in spellings})
    return table


def first_word(argv: list[str], table: dict[str, Option]) -> str | None:
    """The first word of `argv` that is neither an option nor the value of one."""
    words = iter(argv)
    for word in words:
        if word == "--":
            return next(words, None)
        if not word.startswith("-") or word == "-":
            return word
        option = table.get(word)
        if option is not None and option.value is not None:
            next(words, None)
    return None


def usage_lines(doc: str) -> list[str]:
    """The ways to call the program that the help text `doc` lists, each on one line."""
    match = _USAGE.search(doc)
    words = match[1].split() if match else []
    starts = [place for place, word in enumerate(words) if word == words[0]]
    return [" ".join(words[start:end]) for start, end in zip(starts, [*starts[1:], None])]


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that somebody who wrote `word` most likely meant; None when none is close."""
    import difflib  # only for those who erred: it costs every other start a few milliseconds

    bare = {each.lstrip("-"): each for each in words}  # the dashes, which all options share, make none of them close
    close = difflib.get_close_matches(word.lstrip("-"), list(bare), n=1, cutoff=CLOSE)
    return bare[close[0]] if close else None


def _print_and_leave(text: str) -> NoReturn:
    print(text)
    raise SystemExit(0)


def _split(
    argv: list[str], table: dict[str, Option], usages: list[str]
) -> tuple[dict[str, list[str | None]], list[str]]:
    """(the values given to each option, the words)."""
    given: dict[str, list[str | None]] = {}
    words: list[str] = []
    rest = list(reversed(argv))
    while rest:
        word = rest.pop()
        if word == "--":
            return given, words + rest[::-1]
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, attached = word.partition("=")
        option = _known(name, table, usages)
        value = _value(option, attached if equals else None, rest)
        given[option.name] = [*given.get(option.name, []), value] if option.repeatable else [value]
    return given, words


def _known(name: str, table: dict[str, Option], usages: list[str]) -> Option:
    if name in table:
        return table[name]
    near = nearest(name, table)
    if near:
        raise UsageError(f"there is no option {name}; did you mean {near}?")
    hints = [f"{_called(usages)} --help lists all"] if name.startswith("--") else []
    if any("[--]" in usage for usage in usages):
        hints.append("words that begin with a dash go after --")
    raise UsageError("; ".join([f"there is no option {name}", *hints]))


def _called(usages: list[str]) -> str:
    """The words with which a help text is asked for: `zclient list`; of a program with several usages its name."""
    if len(usages) != 1:
        return usages[0].split()[0]
    return usages[0].partition(" [")[0]


def _value(option: Option, attached: str | None, rest: list[str]) -> str | None:
    """The option's value, taken from `rest` (which is reversed) where it is not attached."""
    if option.value is None:
        if attached is not None:
            raise UsageError(f"{option.name} takes no value")
        return None
    if attached is not None:
        return attached
    if not rest:
        raise UsageError(f"{option.name} needs a value: {option.name} {option.value}")
    if rest[-1].startswith("-") and rest[-1] != "-":
        raise UsageError(
            f"{option.name} needs a value: {option.name} {option.value}"
            f" (a value that begins with a dash is written {option.name}={rest[-1]})"
        )
    return rest.pop()


def _spelled(given: dict[str, list[str | None]]) -> list[str]:
    return [name if value is None else f"{name}={value}" for name, values in given.items() for value in values]


def _shown(value: Any, words: list[str]) -> Any:
    """A value of docopt's, with the words that were hidden from it put back."""
    if isinstance(value, list):
        return [_shown(item, words) for item in value]
    if isinstance(value, str) and value.startswith(_PLACEHOLDER):
        return words[int(value[1:])]
    return value


def _mistake(usages: list[str], words: list[str], given: Iterable[str]) -> str:
    """What is wrong with a command line that fits none of `usages`; `given`: the names of the options in it."""
    commands = {wanted[0][1]: usage for usage in usages if (wanted := _wanted(usage)) and _is_literal(wanted[0])}
    if len(usages) == 1 or not commands:
        return _word_mistake(usages[0], words, given)
    if not words:
        return f"{' or '.join(commands)} is missing"
    if words[0] in commands:
        return _word_mistake(commands[words[0]], words, given)
    near = nearest(words[0], commands)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(commands)}"
    return f"there is no command {words[0]}; {hint}"


def _wanted(usage: str) -> list[tuple[str, str, str, str]]:
    """The words of a usage line: (bracket, name, bracket, dots)."""
    return _USAGE_WORD.findall(re.sub(r"\[-[^\]]*\](\.\.\.)?|\[options\]", "", usage))[1:]


def _is_literal(wanted: tuple[str, str, str, str]) -> bool:
    """Whether the word is to be written as it stands."""
    bracket, name, _, _ = wanted
    return not bracket and name.islower()


def _word_mistake(usage: str, words: list[str], given: Iterable[str]) -> str:
    """What is wrong with `words` by the usage line they belong to; if nothing is, with the options beside them."""
    wanted = _wanted(usage)
    for word, want in zip(words, wanted):
        if _is_literal(want) and word != want[1]:
            return f"{want[1]} was expected, not {word}\nusage: {usage}"
    required = [name for bracket, name, _, _ in wanted if not bracket]
    if len(words) < len(required):
        missing = required[len(words) :]
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing\nusage: {usage}"
    extra = words[len(wanted) :]
    if extra and wanted and wanted[-1][0]:
        return _unquoted(usage, words, wanted)
    if extra:
        return f"too many words: {' '.join(extra)}\nusage: {usage}"
    out_of_place = [name for name in given if name not in usage and "[options]" not in usage]
    return (f"{out_of_place[0]} does not belong here\n" if out_of_place else "") + f"usage: {usage}"


def _unquoted(usage: str, words: list[str], wanted: list[tuple[str, str, str, str]]) -> str:
    """Too many words where the last one wanted is any text: it was probably meant to be one."""
    import shlex  # only for those who erred

    place = len(wanted) - 1
    before = [usage.split()[0], *map(shlex.quote, words[:place])]
    return f"{wanted[place][1]} is one argument; quote it: {' '.join(before)} {shlex.quote(' '.join(words[place:]))}"


# --- values ----------------------------------------------------------------------------------------------


def duration(text: str) -> float:
    """Seconds: `90`, `90s`, `1.5m`, `2h`, `7d`; a bare number is seconds. Raises ValueError with a sentence."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)([smhd]?)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 90, 90s, 5m, 2h or 7d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST_S:
        raise ValueError(f"{text!r} is more than 100 years")
    return seconds


def size(text: str) -> int:
    """Bytes: `1048576`, `64KiB`, `1.5M`, `2GiB`. `K` is `KiB`, 1024; `kB` is 1000. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([kmgt]?)(ib|b)?", text.strip(), re.IGNORECASE)
    if match is None or (not match[2] and match[3] in ("iB", "ib", "IB", "Ib")):
        raise ValueError(f"{text!r} is not a size such as 1048576, 64KiB, 1MiB or 2GiB")
    number, power = match[1], _POWERS[match[2].lower()]
    base = 1000 if power and (match[3] or "").lower() == "b" else 1024
    return int(float(number) * base**power) if "." in number else int(number) * base**power


def integer(text: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`. Raises ValueError with a sentence."""
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text.strip()) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
    return int(text)
