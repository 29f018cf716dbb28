"""Manual pages, generated from the same list of commands and options as the help pages."""

from __future__ import annotations

from zjobs.program.cli.options import Command, Option, Program, help_of, usage_line


def man_page(program: Program) -> str:
    """Return the page of a program, for section 1, in the language of man(7)."""
    alone = [command for command in program.commands if not command.name]
    named = [command for command in program.commands if command.name]
    usages = [usage_line(program, command) for command in alone]
    usages += [f"{program.name} [options] COMMAND [ARGUMENT...]"] if named else []
    summary = _plain(program.about).partition(":")[0].partition(". ")[0].rstrip(".")
    lines = [
        f'.TH {program.name.upper()} 1 "" "{program.version}"',
        ".nh",  # a hyphenated command could not be copied
        ".SH NAME",
        f"{program.name} \\- {_escaped(summary.removeprefix(f'{program.name} '))}",
        ".SH SYNOPSIS",
        *(line for usage in usages for line in (_escaped(usage), ".br")),
        ".SH DESCRIPTION",
        *_paragraphs(program.about),
        *([".SH COMMANDS"] if named else []),
        *(line for command in named for line in _command(program, command)),
        ".SH OPTIONS" if alone or not named else ".SH OPTIONS OF EVERY COMMAND",
        *(line for option in program.options_of("") for line in _option(option)),
        *([".SH NOTES", *_paragraphs(program.notes)] if program.notes else []),
        ".SH EXIT STATUS",
        *(line for code, text in program.exit_codes.items() for line in (".TP", str(code), _escaped(text))),
    ]
    return "\n".join(lines) + "\n"


def _command(program: Program, command: Command) -> list[str]:
    options = [option for option in program.options if command.name in option.commands]
    return [
        f".SS {_escaped(usage_line(program, command).removeprefix(program.name).strip())}",
        *_paragraphs(command.about or f"{command.summary[:1].upper()}{command.summary[1:]}."),
        *([".PP", f"Alias: {command.alias}"] if command.alias else []),
        *(line for option in options for line in _option(option)),
        *([".PP", *_paragraphs(command.notes)] if command.notes else []),
    ]


def _option(option: Option) -> list[str]:
    return [".TP", f"\\fB{_escaped(option.spelling)}\\fR", _escaped(help_of(option))]


def _paragraphs(text: str) -> list[str]:
    parts = [_escaped(_plain(part)) for part in text.split("\n\n")]
    return [line for part in parts for line in (".PP", part)][1:]


def _plain(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Escape the formatter's commands; a dash stays a dash that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("\N{NO-BREAK SPACE}", "\\ ").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text
