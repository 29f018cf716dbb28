"""Commands and options as data, the same for zbroker, zworker and zclient, and their help pages.

A program lists its commands and options once; its help pages and docopt's usage text are generated from that list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zjobs.messages.named import NamedTuple

PAGE_COLUMNS = 80
NAME_COLUMNS = 23

# A word at least this similar to another (1: equal) counts as a misspelling of it, as `sumbit` of `submit`.
CLOSE = 0.65

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 36500 * 86400
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Option(NamedTuple):
    """An option. `read` converts the text of its value, or raises ValueError with a sentence."""

    name: str
    value: str  # the name of the value; empty: a flag
    help: str
    commands: tuple[str, ...] = ()  # the commands that have it; empty: every one
    read: Callable[[str], Any] = str
    default: str | None = None
    short: str = ""
    repeatable: bool = False

    @property
    def spelling(self) -> str:
        """The option as help texts show it: -f, --follow; --limit N."""
        names = f"{self.short}, {self.name}" if self.short else self.name
        return f"{names} {self.value}" if self.value else names


class Command(NamedTuple):
    """A command. `name`: may be two words, or empty for the program alone. `words`: TYPE [DATA], [ID...] or the like.

    `alias`: a shorter name. `common`: scripts run it so often that its start-up time counts. `verbatim`: its words are
    a command line of their own, so options end at the first of them.
    """

    name: str
    words: str
    summary: str  # for the program's page
    about: str = ""  # opens its own page
    notes: str = ""  # ends it
    alias: str = ""
    common: bool = False
    verbatim: bool = False


class Program(NamedTuple):
    """A program, with everything that its help says."""

    name: str
    version: str
    about: str
    commands: tuple[Command, ...]
    options: tuple[Option, ...]
    exit_codes: dict[int, str]
    notes: str = ""

    def options_of(self, command: str) -> list[Option]:
        """Return the options that may be given with a command, those of every command last."""
        every = [*(option for option in self.options if not option.commands), HELP, VERSION]
        return [*(option for option in self.options if command in option.commands), *every]


HELP = Option("--help", "", "show this help and exit", short="-h")
VERSION = Option("--version", "", "show the version and exit")


def usage_line(program: Program, command: Command) -> str:
    """Return the usage of a command, as docopt reads it."""
    repeated = [f"[{o.name} {o.value}]..." for o in program.options_of(command.name) if o.repeatable]
    words = ["[--]", command.words] if command.words else []
    return " ".join(filter(None, [program.name, command.name, "[options]", *repeated, *words]))


# --- help pages ------------------------------------------------------------------------------------------


def help_page(program: Program, command: Command | None = None) -> str:
    """Return the help of a command that has a name, else that of the program."""
    if command is None or not command.name:
        return _program_page(program)
    options = [option for option in program.options if command.name in option.commands]
    parts = [
        _filled(command.about) or f"{command.summary[:1].upper()}{command.summary[1:]}.",
        f"Usage:\n  {usage_line(program, command)}" + (f"\nAlias: {command.alias}" if command.alias else ""),
        _listed("Options:", [(option.spelling, help_of(option)) for option in options]),
        _filled(command.notes),
        f"Options of every command, and exit codes: {program.name} --help",
    ]
    return "\n\n".join(filter(None, parts))


def _program_page(program: Program) -> str:
    named = [command for command in program.commands if command.name]
    alone = [usage_line(program, command) for command in program.commands if not command.name]
    usages = [*alone, f"{program.name} [options] COMMAND [ARGUMENT...]"] if named else alone
    commands = [(f"{command.name} {command.words}".strip(), command.summary) for command in named]
    options = [(option.spelling, help_of(option)) for option in program.options_of("")]
    codes = [(str(code), text) for code, text in program.exit_codes.items()]
    parts = [
        _filled(program.about),
        "\n  ".join(["Usage:", *usages]),
        _listed("Commands:", commands),
        f"{program.name} COMMAND --help describes a command and its own options." if named else "",
        _listed("Options:" if alone else "Options of every command:", options),
        _filled(program.notes),
        _listed("Exit codes:", codes, columns=7),
    ]
    return "\n\n".join(filter(None, parts))


def help_of(option: Option) -> str:
    """Return the description of an option, with its default."""
    repeated = "; may be repeated" if option.repeatable else ""
    return option.help + repeated + ("" if option.default is None else f" [default:\N{NO-BREAK SPACE}{option.default}]")


def _filled(text: str) -> str:
    import textwrap  # only for those who ask

    paragraphs = [textwrap.fill(part, PAGE_COLUMNS, break_on_hyphens=False) for part in text.split("\n\n")]
    return "\n\n".join(paragraphs)


def _listed(title: str, rows: list[tuple[str, str]], columns: int = NAME_COLUMNS) -> str:
    """Return names beside their descriptions. A name that is too long has a line of its own."""
    import textwrap  # only for those who ask

    lines = [title]
    for name, text in rows:
        first, *more = textwrap.wrap(text, PAGE_COLUMNS - columns, break_on_hyphens=False) or [""]
        fits = len(name) + 4 <= columns
        lines += [f"  {name:<{columns - 2}}{first}"] if fits else [f"  {name}", f"{'':<{columns}}{first}"]
        lines += [f"{'':<{columns}}{line}" for line in more]
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ") if rows else ""


# --- values ----------------------------------------------------------------------------------------------


def duration(text: str) -> float:
    """Return the seconds of `90`, `90s`, `1.5m`, `2h`, `7d`; a bare number is seconds. Raises ValueError with a
    sentence."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)([smhd]?)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 90, 90s, 5m, 2h or 7d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST_S:
        raise ValueError(f"{text!r} is more than 100 years")
    return seconds


def size(text: str, low: int = 0, high: int = 1 << 63) -> int:
    """Return the bytes of `1048576`, `64KiB`, `1.5M`. `K` is `KiB`, 1024; `kB` is 1000. Raises ValueError with a
    sentence."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([kmgt]?)(ib|b)?", text.strip(), re.IGNORECASE)
    if match is None or (not match[2] and match[3] in ("iB", "ib", "IB", "Ib")):
        raise ValueError(f"{text!r} is not a size such as 1048576, 64KiB, 1MiB or 2GiB")
    number, power = match[1], _POWERS[match[2].lower()]
    base = 1000 if power and (match[3] or "").lower() == "b" else 1024
    count = int(float(number) * base**power) if "." in number else int(number) * base**power
    if not low <= count <= high:
        raise ValueError(f"{text!r} is not from {low} to {high} bytes")
    return count


def one_of(text: str, choices: Sequence[str]) -> str:
    """Return `text` if it is one of these words. Raises ValueError with a sentence."""
    if text in choices:
        return text
    near = nearest(text, choices)
    raise ValueError(f"{text!r} is not one of {', '.join(choices)}" + (f"; did you mean {near}?" if near else ""))


def integer(text: str, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`. Raises ValueError with a sentence."""
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text.strip()) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
    return int(text)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the one of `words` that somebody who wrote `word` most likely meant, None if none is close."""
    import difflib  # only after a mistake: it would cost every start a few milliseconds

    bare = {each.lstrip("-"): each for each in words}  # ignore the dashes, which all options share
    close = difflib.get_close_matches(word.lstrip("-"), list(bare), n=1, cutoff=CLOSE)
    return bare[close[0]] if close else None
