"""One vocabulary, and English that reads well: what a test can hold of it, in the product's code and the documents."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("api", "broker", "client", "gateway", "messages", "program", "testing", "worker")
SOURCES = sorted(path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LONGEST_LINE = 99

# Words that a newcomer could not guess, and what to say instead.
FORBIDDEN = {
    "handover": "dispatch",
    "hand over": "dispatch",
    "hand-over": "dispatch",
    "handed over": "dispatched",
    "parcel": "batch",
    "intake": "request reader",
    "upkeep": "maintenance",
    "guard": "worker lock",
    "beat": "heartbeat",
    "workerview": "worker status",
    "sign of life": "heartbeat (of the worker), liveness (of the task process)",
    "signs of life": "heartbeat (of the worker), liveness (of the task process)",
    "shared page": "shared memory",
    "take back": "recall (the broker asks), return (the worker gives back)",
    "taken back": "recalled, returned",
    "runner": "task process",
    "news": "change, event",
    "following": "watch, next",
    "at the most": "at most",
    "so many": "this many, N",
    "so long": "this long",
    "ended up to now": "finished",
}
# Where such a word means what everybody means by it.
ALLOWED = {
    "hand over": {"docs/security.md", "broker/credentials.py"},  # a key file, from person to person
    "runner": {"client/submitting.py", "client/aio.py", "client/job.py", "client/aio_job.py", "client/net/"},
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- words -------------------------------------------------------------------------------------------------


def in_words(name: str) -> str:
    """An identifier as a reader says it: `take_back` and `TakeBack` are `take back`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name).lower().strip()


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Each line of a document; each name, string and comment of a module, with the line that it stands in."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from enumerate(text.lower().splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], in_words(token.string)
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            for number, line in enumerate(token.string.lower().splitlines(), token.start[0]):
                yield number, line.replace("_", " ")


def forbidden_in(path: Path) -> list[str]:
    """What to mend in `path`, a sentence each."""
    banned = {
        word: why for word, why in FORBIDDEN.items() if not name_of(path).startswith(tuple(ALLOWED.get(word, ())))
    }
    pattern = re.compile(rf"(?<!\w)({'|'.join(banned)})s?(?!\w)")
    found = ((number, match[1]) for number, text in words_of(path) for match in pattern.finditer(text))
    return [f"{name_of(path)}:{number}: '{word}'; say {banned[word]}" for number, word in found]


@pytest.mark.parametrize("path", [*SOURCES, *DOCUMENTS], ids=name_of)
def test_words_that_nobody_could_guess_are_not_used(path: Path) -> None:
    """Neither in names nor in prose."""
    assert not (found := forbidden_in(path)), found


def test_forbidden_words_are_found_in_names_and_prose(tmp_path: Path) -> None:
    """The test above looks at names in each spelling, at strings and comments, and at no part of a word."""
    assert [in_words(name) for name in ("take_back", "TakeBack", "_TAKE_BACK")] == ["take back"] * 3
    bad = ROOT / "bad.py"
    code = 'class TakeBack:  # an upkeep\n    """The news."""\n    parcels = newsletter = 1\n'
    path = tmp_path / bad.name
    path.write_text(code, encoding="utf-8")
    told = {word for _, text in words_of(path) for word in FORBIDDEN if re.search(rf"(?<!\w){word}s?(?!\w)", text)}
    assert told == {"take back", "upkeep", "news", "parcel"}


# --- the glossary ------------------------------------------------------------------------------------------


def glossary() -> list[tuple[str, str]]:
    """The words that open docs/architecture.md, each with what stands for it in the code."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Words\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| ([a-z, ]+?) \|.*\| `(\w+)` \|$", section, re.MULTILINE)


def test_the_glossary_has_the_words() -> None:
    """About a dozen or two, each once."""
    words = [word for word, _ in glossary()]
    assert len(words) == len(set(words)) >= 12


def test_the_code_has_each_word_of_the_glossary() -> None:
    """A class, a function or a type of that name."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    defined = set(re.findall(r"^(?:class|def) (\w+)|^(\w+) = ", code, re.MULTILINE))
    names = {name for pair in defined for name in pair}
    assert [place for _, place in glossary() if place not in names] == []


# --- the documents -----------------------------------------------------------------------------------------


def long_lines(text: str) -> list[tuple[int, str]]:
    """Lines that are too long. Rows of tables may be; so may figures and a trace, which programs write."""
    kept = re.sub(r"^<!-- (\w+): .*?^<!-- (\1: end|/\1).*?-->$", blank, text, flags=re.MULTILINE | re.DOTALL)
    kept = re.sub(r"^```trace\n.*?^```$", blank, kept, flags=re.MULTILINE | re.DOTALL)
    lines = enumerate(kept.splitlines(), 1)
    return [(number, line) for number, line in lines if len(line) > LONGEST_LINE and not line.startswith("|")]


def blank(match: re.Match[str]) -> str:
    """As many lines, all of them empty."""
    return "\n" * match[0].count("\n")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_lines_of_documents_are_short(path: Path) -> None:
    """So that a change can be read, and a page in a terminal."""
    assert long_lines(path.read_text(encoding="utf-8")) == []


def test_the_index_of_decisions_names_each() -> None:
    """In the order in which they stand on the page."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Decisions\n")[2]
    index, _, rest = page.partition("\n### ")
    listed = re.findall(r"^- \[(.+?)\]\(#", re.sub(r"\n  +", " ", index), re.MULTILINE)
    assert listed == re.findall(r"^#### (.+)$", rest, re.MULTILINE) and len(listed) > 40


# --- docstrings --------------------------------------------------------------------------------------------


# A docstring that begins with a clause makes its reader wait for the verb, or for the thing that it is about.
CLAUSE = re.compile("At|From|How|Its?|Nobody|Nothing|Of|Th(at|ere|ese|ose)|Wh(at|en|ere|ether|ich|om?|ose|y)")
# Verbs that end as those of the third person do.
IMPERATIVES_IN_S = frozenset({"Address", "Discuss", "Focus", "Guess", "Pass", "Press", "Process"})


class Public(NamedTuple):
    """Something that a reader may meet from outside its module."""

    place: str
    kind: str  # module, class, property or function
    docstring: str | None


def publics(path: Path) -> Iterator[Public]:
    """Yield the module, and its classes, functions and methods whose names have no underscore in front."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield Public(name_of(path), "module", ast.get_docstring(tree))
    yield from members(tree, name_of(path))


def members(parent: ast.Module | ast.ClassDef, place: str) -> Iterator[Public]:
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        decorators = [ast.unparse(one) for one in node.decorator_list]
        if not any(one.endswith(("overload", ".setter")) for one in decorators):  # described elsewhere
            is_property = any(one.endswith("property") for one in decorators)
            kind = "class" if isinstance(node, ast.ClassDef) else "property" if is_property else "function"
            yield Public(f"{place}:{node.lineno} {node.name}", kind, ast.get_docstring(node))
        if isinstance(node, ast.ClassDef):
            yield from members(node, f"{place} {node.name}")


def stumbles(kind: str, docstring: str | None) -> str | None:
    """Return what makes a reader stop at the first sentences of a docstring, None if nothing does."""
    if not docstring:
        return "there is none"
    first = docstring.partition("\n\n")[0].rstrip()
    if not re.match(r"[A-Z0-9`'\"]|z(broker|client|gateway|worker)\b", first):
        return "it begins with a small letter"
    if not first.endswith((".", ":")):
        return "it ends without a full stop"
    word = re.split(r"[\s,.:;]", first)[0]
    if CLAUSE.fullmatch(word):
        return f"it begins with {word}, not with a verb or a noun"
    if kind == "function" and (word in ("A", "An", "The") or is_third_person(word)):
        return "a function begins with its verb: Return, Send, Raise"
    if kind == "property" and word.startswith("Return"):
        return "a property is a thing, or True if something is so"
    return None


def is_third_person(word: str) -> bool:
    return re.fullmatch("[A-Z][a-z]+s", word) is not None and word not in IMPERATIVES_IN_S


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_public_name_has_a_docstring_that_reads_well(path: Path) -> None:
    """It begins with a verb or a noun phrase, and ends with a full stop."""
    told = ((one, stumbles(one.kind, one.docstring)) for one in publics(path))
    found = [f"{one.place}: {why}: {one.docstring!r}" for one, why in told if why is not None]
    assert not found, found


@pytest.mark.parametrize(
    ("kind", "docstring"),
    [
        ("function", None),
        ("function", "Whether nothing of earlier task processes is left running."),
        ("function", "It is told to end now."),
        ("function", "Returns the ids."),
        ("function", "The ids of all jobs."),
        ("function", "Return the ids"),
        ("function", "return the ids."),
        ("property", "Return the ids."),
        ("property", "How many jobs are queued."),
        ("class", "Whom a stream is for."),
        ("module", "What a job leaves running, seen from inside the task process."),
    ],
)
def test_a_docstring_that_makes_a_reader_stop_is_found(kind: str, docstring: str | None) -> None:
    """Examples of each kind."""
    assert stumbles(kind, docstring) is not None


@pytest.mark.parametrize(
    ("kind", "docstring"),
    [
        ("function", "Return the ids of all jobs."),
        ("function", "Process a message."),
        ("property", "True if no earlier task process is still running."),
        ("class", "Runs tasks as jobs."),
        ("module", "The processes that a job leaves running:\n\n- found and ended."),
    ],
)
def test_a_docstring_that_reads_well_passes(kind: str, docstring: str) -> None:
    """Examples of each kind."""
    assert stumbles(kind, docstring) is None
