"""The parser of a command line: docopt finds the values, and every mistake is named in a sentence.

docopt answers a mistake with the whole usage text, which does not say what is wrong, so mistakes are found first.
"""

from __future__ import annotations

from typing import Any, NoReturn

from zjobs.program.cli.options import Command, Option, Program, help_page, nearest, usage_line

# docopt must not see words that begin with a dash: they are replaced by this and a number.
_PLACEHOLDER = "\0"


class UsageError(Exception):
    """A mistake in the command line; the text is a sentence for people (with the usage line where it helps)."""


def parse(program: Program, argv: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the command that `argv` names, and its values under `--option` and `WORD`.

    Options may stand before, between and after the words, as `--option value` or `--option=value`; the last one counts,
    unless the option is repeatable. `--` ends the options. `--help` and `--version` print and raise SystemExit(0).
    Raises UsageError.
    """
    argv = with_end_of_options(program, argv)
    before_words = argv[: argv.index("--")] if "--" in argv else argv
    if "--version" in before_words and "--help" not in before_words:
        _print_and_leave(program.version)
    words = _words(argv, program)
    if "--help" in before_words or "-h" in before_words:
        _print_and_leave(help_page(program, _command_named(program, words)))
    command = command_of(program, words)
    options = program.options_of(command.name)
    given, words = _split(argv, program, command)
    words = words[len(command.name.split()) :]
    _check_words(program, command, words)
    if command.common:
        values = _as_they_stand(command, options, given, words)
    else:
        values = _by_docopt(_docopt_text(program, command, options), command, given, words)
    for option in options:
        if option.value and values[option.name] is not None:
            values[option.name] = _read(option, values[option.name])
    return command.name, {name: values[name] for name in values if name not in ("--", "--help", "--version")}


def with_end_of_options(program: Program, argv: list[str]) -> list[str]:
    """Return `argv` with `--` before the words of a command that takes them as they are."""
    places = _places_of_words(argv, program)[:2]
    command = _command_named(program, [argv[place] for place in places[:1]])
    if len(places) < 2 or command is None or not command.verbatim:
        return argv
    return [*argv[: places[1]], "--", *argv[places[1] :]]


def _print_and_leave(text: str) -> NoReturn:
    print(text)
    raise SystemExit(0)


# --- which command ---------------------------------------------------------------------------------------


def _words(argv: list[str], program: Program) -> list[str]:
    """Return the words of `argv`, without options and their values. Unknown options are skipped."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [argv[place] for place in _places_of_words(argv, program)] + argv[end + 1 :]


def _places_of_words(argv: list[str], program: Program) -> list[int]:
    """Return where in `argv` the words before `--` are."""
    takes_value = {name for option in program.options if option.value for name in (option.name, option.short)}
    places: list[int] = []
    rest = enumerate(argv)
    for place, word in rest:
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            places.append(place)
        elif word in takes_value:
            next(rest, None)
    return places


def _command_named(program: Program, words: list[str]) -> Command | None:
    """Return the command with the longest name that `words` begin with, if any."""
    for command in program.commands:
        if command.alias and words[:1] == [command.alias]:
            return command
    fitting = [command for command in program.commands if command.name.split() == words[: len(command.name.split())]]
    return max(fitting, key=lambda command: len(command.name), default=None)


def command_of(program: Program, words: list[str]) -> Command:
    """Return the command that `words` begin with. Raises UsageError if there is none."""
    command = _command_named(program, words)
    if command is not None and (command.name or command.words or not words):
        return command
    names = [name for command in program.commands if (name := command.name.split())]
    if not names:
        return program.commands[0]
    if not words:
        raise UsageError(f"a command is missing; {program.name} --help lists them")
    inner = [name[1] for name in names if name[0] == words[0]]
    if inner and len(words) == 1:
        raise UsageError(f"{words[0]} needs one of {', '.join(inner)} after it")
    before, choices = (f"{words[0]} ", inner) if inner else ("", list(dict.fromkeys(name[0] for name in names)))
    wrong = words[1] if inner else words[0]
    near = nearest(wrong, choices)
    hint = f"did you mean {before}{near}?" if near else f"there are {', '.join(choices)}"
    raise UsageError(f"there is no command {before}{wrong}; {hint}")


# --- options and words -----------------------------------------------------------------------------------


def _split(argv: list[str], program: Program, command: Command) -> tuple[dict[str, list[str | None]], list[str]]:
    """Return the values given to each option, and the words."""
    table = {name: option for option in program.options_of(command.name) for name in (option.name, option.short)}
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
        option = table.get(name) or _unknown(word, rest[-1:], program, command, table)
        value = _value(option, attached if equals else None, rest)
        given[option.name] = [*given.get(option.name, []), value] if option.repeatable else [value]
    return given, words


def _unknown(word: str, behind: list[str], program: Program, command: Command, table: dict[str, Option]) -> NoReturn:
    name = word.partition("=")[0]
    called = f"{program.name} {command.name}".strip()
    as_argument = _as_argument(word, behind, table)
    owners = [owner for option in program.options if name in (option.name, option.short) for owner in option.commands]
    if owners:
        *most, last = [owner or program.name for owner in owners]
        others = f"{', '.join(most)} and {last}" if most else last
        raise UsageError(f"{name} is an option of {others}, not of {command.name or program.name}{as_argument}")
    near = nearest(name, filter(None, table))
    if near:
        raise UsageError(f"there is no option {name}; did you mean {near}?")
    if as_argument:
        raise UsageError(f"there is no option {name}{as_argument}")
    hints = [f"{called} --help lists all"] if name.startswith("--") else []
    if command.words:
        hints.append("words that begin with a dash go after --")
    raise UsageError("; ".join([f"there is no option {name}", *hints]))


def _as_argument(word: str, behind: list[str], table: dict[str, Option]) -> str:
    """Return how `--exposure 3` is written as a parameter, as the end of a sentence, if the command has parameters."""
    name, equals, value = word.removeprefix("--").partition("=")
    option = next((option for option in table.values() if option.value == "NAME=VALUE"), None)
    if option is None or not word.startswith("--"):
        return ""
    if not equals:
        value = next((each for each in behind if not each.startswith("-")), "VALUE")
    import shlex  # only after a mistake

    named = name.replace("-", "_")
    return f"; a parameter of the type is given as {option.name} {shlex.quote(f'{named}={value}')}"


def _value(option: Option, attached: str | None, rest: list[str]) -> str | None:
    """Return the option's value, removed from `rest` (which is reversed) unless it is attached."""
    if not option.value:
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


def _read(option: Option, text: Any) -> Any:
    try:
        return [option.read(each) for each in text] if option.repeatable else option.read(text)
    except ValueError as error:
        raise UsageError(f"{option.name}: {error}") from None


def _check_words(program: Program, command: Command, words: list[str]) -> None:
    """Raise UsageError if there are too few or too many words."""
    wanted = command.words.split()
    missing = [word.removesuffix("...") for word in wanted if not word.startswith("[")][len(words) :]
    usage = usage_line(program, command)
    if missing:
        raise UsageError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing\nusage: {usage}")
    extra = [] if "..." in command.words else words[len(wanted) :]
    if extra and wanted and wanted[-1].startswith("["):
        import shlex  # only after a mistake

        before = [program.name, *command.name.split(), *map(shlex.quote, words[: len(wanted) - 1])]
        meant = shlex.quote(" ".join(words[len(wanted) - 1 :]))
        raise UsageError(f"{wanted[-1].strip('[]')} is one argument; quote it: {' '.join(before)} {meant}")
    if extra:
        raise UsageError(f"too many words: {' '.join(extra)}\nusage: {usage}")


def _as_they_stand(
    command: Command, options: list[Option], given: dict[str, list[str | None]], words: list[str]
) -> dict[str, Any]:
    """Return what docopt would find. Loading docopt takes a tenth of the time of a whole submit."""
    values: dict[str, Any] = {}
    for option in options:
        if option.repeatable:
            values[option.name] = given.get(option.name, [])
        elif option.value:
            values[option.name] = given[option.name][-1] if option.name in given else option.default
        else:
            values[option.name] = option.name in given
    for place, word in enumerate(command.words.split()):
        name = word.strip("[]")
        if name.endswith("..."):
            values[name.removesuffix("...")] = words[place:]
        else:
            values[name] = words[place] if place < len(words) else None
    return values


def _by_docopt(text: str, command: Command, given: dict[str, list[str | None]], words: list[str]) -> dict[str, Any]:
    """Return docopt's values, without the names of commands."""
    from docopt import docopt  # not at the top: help pages and mistakes do not need it

    spelled = [name if value is None else f"{name}={value}" for name, values in given.items() for value in values]
    hidden = [f"{_PLACEHOLDER}{n}" if word.startswith("-") and word != "-" else word for n, word in enumerate(words)]
    values = docopt(text, [*spelled, *command.name.split(), *hidden], default_help=False)
    return {name: _restored(value, words) for name, value in values.items() if name not in command.name.split()}


def _restored(value: Any, words: list[str]) -> Any:
    """Return a value of docopt's, with the hidden words put back."""
    if isinstance(value, list):
        return [_restored(item, words) for item in value]
    if isinstance(value, str) and value.startswith(_PLACEHOLDER):
        return words[int(value[1:])]
    return value


def _docopt_text(program: Program, command: Command, options: list[Option]) -> str:
    lines = [f"  {o.spelling}" + ("" if o.default is None else f"  [default: {o.default}]") for o in options]
    return "\n".join([f"Usage: {usage_line(program, command)}", "", "Options:", *lines, ""])
