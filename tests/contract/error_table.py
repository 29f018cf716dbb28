"""The sentences that programs print or send when something goes wrong, read from the source.

    python -m tests.contract.error_table     writes docs/errors.md

Collected are the texts that are raised, that an exception makes of its arguments, that go with an error code of the
protocol, and that are printed as an error. What a sentence fills in stands in braces.
"""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
BEGIN, END = "<!-- errors -->", "<!-- /errors -->"
FOLDERS = ("broker", "worker", "client", "messages", "program", "gateway")
# Mistakes in a program that uses the library or in zjobs itself: no user of the service meets them.
FOR_PROGRAMMERS = {"AssertionError", "AttributeError", "NotImplementedError", "SystemExit", "StopIteration"}
# The methods and functions that print an error; a log is not meant.
PRINTING = {"error", "_refused", "_refuse"}
PAGE_COLUMNS = 98


class Sentence(NamedTuple):
    """A sentence, the exception or error code it comes with, and the file that says it."""

    text: str
    kind: str
    file: str


@functools.cache
def sentences() -> list[Sentence]:
    """All of them, in the order of the table."""
    found: set[Sentence] = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            file = str(path.relative_to(ROOT))
            found.update(Sentence(text, kind, file) for text, kind in _in_module(ast.parse(path.read_text("utf-8"))))
    return sorted(found, key=lambda sentence: (sentence.file, sentence.kind, sentence.text))


def _in_module(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from ((text, node.name) for text in _own_texts(node))
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            kind = _name(node.exc.func)
            if kind not in FOR_PROGRAMMERS and not any(map(_is_code, node.exc.args)):  # those with a code: below
                yield from ((text, kind) for text in _texts(node.exc))
        elif isinstance(node, ast.Call):
            code = next((_name(arg) for arg in node.args if _is_code(arg)), None)
            if code is not None:
                yield from ((text, code.lower()) for text in _texts(node))
            elif _prints(node):
                yield from ((text, "printed") for text in _texts(node))


def _own_texts(node: ast.ClassDef) -> Iterator[str]:
    """What an exception makes of its arguments."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
            yield from _texts(call)


def _texts(call: ast.Call) -> Iterator[str]:
    for argument in call.args:
        text = _text(argument)
        if text is not None and " " in text.strip():
            yield text


def _text(node: ast.expr) -> str | None:
    """The text of a string, an f-string, or a sum of them."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_part, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_text(node.left), _text(node.right)]
        return "".join(part or "{…}" for part in parts) if any(parts) else None
    return None


def _part(node: ast.expr) -> str:
    """A piece of an f-string: its text, or in braces the name of what is filled in, if that is short."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.FormattedValue)
    return "{" + (_name(node.value) or "…") + "}"


def _is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and _name(node.value) == "ErrorCode"


def _prints(node: ast.Call) -> bool:
    """Whether it prints an error of a program."""
    if isinstance(node.func, ast.Attribute) and _name(node.func.value) == "log":
        return False
    to_stderr = any(keyword.arg == "file" and ast.unparse(keyword.value) == "sys.stderr" for keyword in node.keywords)
    return _name(node.func) in PRINTING or to_stderr


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def listing() -> str:
    """The list of docs/errors.md, a part for each file."""
    wrapper = textwrap.TextWrapper(PAGE_COLUMNS, "", "  ", break_long_words=False, break_on_hyphens=False)
    lines: list[str] = []
    file = ""
    for sentence in sentences():
        if sentence.file != file:
            file = sentence.file
            lines += ["", f"### {file}", ""]
        text = " ".join(f"- `{sentence.kind}`: {sentence.text}".split())
        lines += wrapper.wrap(text)
    return "\n".join(lines).strip("\n")


def page() -> str:
    """docs/errors.md as it should be."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{listing()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
