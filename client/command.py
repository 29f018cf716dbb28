"""Commands as jobs: the data of the type `command`, from what a caller gives."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from zjobs.client.errors import BadData

Path = str | os.PathLike[str]


def command_data(argv: Sequence[Path], cwd: Path | None, env: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the data of a command. cwd: by default the current directory. Raises BadData for what the type cannot
    have, such as bytes that are not UTF-8 text."""
    if isinstance(argv, (str, bytes)) or not argv:
        raise BadData("a command is a list: the program and its arguments; for a shell, ['sh', '-c', '…']")
    words = [_text(f"argument {place}" if place else "the program", word) for place, word in enumerate(argv)]
    variables = {_name(name): _text(f"the value of {name}", value) for name, value in (env or {}).items()}
    return {"argv": words, "cwd": _directory(cwd), **({"env": variables} if variables else {})}


def _directory(cwd: Path | None) -> str:
    try:
        return _text("the directory", os.path.abspath(cwd or ""))
    except FileNotFoundError:
        raise BadData("the current directory does not exist any more; say in which one the command runs") from None


def _name(name: str) -> str:
    if not name or "=" in name:
        raise BadData(f"{name!r} is not the name of a variable")
    return _text("the name of a variable", name)


def _text(what: str, value: Any) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or "\0" in text:
        raise BadData(f"{what} must be text without NUL characters, not {text!a}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadData(f"{what} is not UTF-8 text: {os.fsencode(text)!r}") from None
    return text
