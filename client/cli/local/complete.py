"""Completion: answers the shells, which call `zclient __complete WORD...` to ask what may stand at the cursor.

Everything comes from the list of commands and options, so the script that a shell has loaded never gets out of date.
Types, ids and services are asked for, with little patience, and silently if there is no reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from zjobs.client.cli import usage
from zjobs.client.cli.usage.options import STATES
from zjobs.client.errors import ZjobsError
from zjobs.client.wording.text import printable
from zjobs.program.cli.options import Command, Option
from zjobs.program.cli.parse import UsageError, command_of

PATIENCE_S = 1.0
MOST_IDS = 50
# Printed alone, this makes the shell offer names of files.
FILES = ":files"

SHELLS = {"bash": "the shell of most systems", "zsh": "the Z shell", "fish": "the friendly interactive shell"}


class Choice(NamedTuple):
    """A word that may stand at the cursor, and what it is."""

    word: str
    about: str = ""


def main(words: list[str]) -> int:
    """Print a line for each choice: the word, a tab, what it is. The last of `words` is the one to complete."""
    try:
        choices = choices_for(words or [""])
    except (ZjobsError, UsageError, OSError):
        choices = []
    for choice in choices:
        print(printable(choice.word) if not choice.about else f"{printable(choice.word)}\t{printable(choice.about)}")
    return 0


def choices_for(words: list[str]) -> list[Choice]:
    """Return the choices for the last word: those that begin with it."""
    *before, current = words
    typed = _Typed(before)
    if typed.waiting is not None:
        return _fitting(_values(typed.waiting.value, typed), current)
    name, equals, _ = current.partition("=")
    if current.startswith("-") and not typed.ended:
        option = next((one for one in typed.options if one.name == name and one.value), None)
        if equals:
            values = [] if option is None else _values(option.value, typed)
            return (
                values
                if values == [Choice(FILES)]
                else _fitting([c._replace(word=f"{name}={c.word}") for c in values], current)
            )
        return _fitting([Choice(one.name, one.help) for one in typed.options], current)
    return _fitting(_values(typed.next_word, typed), current)


def _fitting(choices: Iterable[Choice], current: str) -> list[Choice]:
    return [one for one in choices if one.word.startswith(current) or one.word == FILES]


class _Typed:
    """The words before the cursor: the command they name, what it is given, and the option that still needs its
    value."""

    def __init__(self, words: list[str]) -> None:
        self.ended = False  # by --
        self.waiting: Option | None = None
        self.given: dict[str, str] = {}
        self._words: list[str] = []
        for word in words:
            self._read(word)

    def _read(self, word: str) -> None:
        if self.waiting is not None:
            self.given[self.waiting.name], self.waiting = word, None
        elif self.ended or not word.startswith("-") or word == "-":
            self._words.append(word)
        elif word == "--":
            self.ended = True
        else:
            name, equals, value = word.partition("=")
            option = next((one for one in self.options if name in (one.name, one.short)), None)
            if equals:
                self.given[name] = value
            elif option is not None and option.value:
                self.waiting = option

    @property
    def command(self) -> Command | None:
        try:
            return command_of(usage.ZCLIENT, self._words[:1])
        except UsageError:
            return None

    @property
    def options(self) -> list[Option]:
        """The options of the command; before it, those of every command."""
        return usage.ZCLIENT.options_of(self.command.name if self.command else "")

    @property
    def next_word(self) -> str:
        """The name of the word at the cursor: TYPE, ID, …; empty if there are no more."""
        if not self._words:
            return "COMMAND"
        wanted = self.command.words.split() if self.command else []
        if not wanted:
            return ""
        place = len(self._words) - 1
        last = wanted[-1] if wanted[-1].endswith(("...", "...]")) else ""
        return (wanted[place] if place < len(wanted) else last).strip("[].")


def _values(called: str, typed: _Typed) -> list[Choice]:
    """Return the choices for a word or a value, by its name in the help."""
    source = _SOURCES.get(called)
    return [] if source is None else source(typed)


def _commands(_: _Typed) -> list[Choice]:
    return [Choice(command.name, command.summary) for command in usage.ZCLIENT.commands]


def _files(_: _Typed) -> list[Choice]:
    return [Choice(FILES)]


def _states(_: _Typed) -> list[Choice]:
    return [Choice(state) for state in STATES]


def _shells(_: _Typed) -> list[Choice]:
    return [Choice(*item) for item in SHELLS.items()]


def _services(typed: _Typed) -> list[Choice]:
    if typed.waiting is None and "--service" not in {option.name for option in typed.options}:
        return []
    from zjobs.client.config.services import load

    known = load()
    return [] if known is None else [Choice(one.name, one.broker) for one in known.named.values()]


def _types(typed: _Typed) -> list[Choice]:
    with _client(typed) as client:
        return [Choice(kind.name, kind.description) for kind in client.types().types]


def _ids(typed: _Typed) -> list[Choice]:
    """Return the newest jobs that the command can do something to."""
    goes_on = _GOES_ON.get(typed.command.name if typed.command else "")
    with _client(typed) as client:
        jobs = client.queue(MOST_IDS).jobs if goes_on else client.list(limit=MOST_IDS)
        wanted = [job for job in jobs if goes_on in (None, not job.state.final)]
        return [Choice(str(job.id), f"{job.state.value} {job.type}") for job in wanted]


def _client(typed: _Typed) -> Any:
    from zjobs.client.client import Client  # commands and options need no ZeroMQ

    given = typed.given
    return Client(given.get("--broker"), PATIENCE_S, key=given.get("--key"), service=given.get("--service"))


# True for commands on jobs that go on, False for those on ended jobs; the others are for all.
_GOES_ON = {"cancel": True, "wait": True, "retry": False, "forget": False}

_SOURCES: dict[str, Callable[[_Typed], list[Choice]]] = {
    "COMMAND": _commands,
    "FILE": _files,
    "ID": _ids,
    "SERVICE": _services,
    "SHELL": _shells,
    "STATE": _states,
    "TYPE": _types,
}
