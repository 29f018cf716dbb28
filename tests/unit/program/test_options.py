"""The command line: what users may write, and what they are told when it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.program import options
from zjobs.program.options import UsageError, duration, integer, nearest, parse, size

DOC = """Copies things.

Usage:
  zcopy put [options] [--arg NAME=VALUE]... [--] KIND [DATA]

Options:
  --broker ENDPOINT   where to [default: nowhere]
  --key=KEY           a key
  --arg NAME=VALUE    one more
  --json              in another way
  -h, --help          this page
  --version           the version
"""

DEFAULTS: dict[str, Any] = {
    "put": True,
    "KIND": "k",
    "DATA": None,
    "--broker": "nowhere",
    "--key": None,
    "--arg": [],
    "--json": False,
}

RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("put k", {}),
    ("put k d", {"DATA": "d"}),
    ("put k -", {"DATA": "-"}),
    ("put k -- -x", {"DATA": "-x"}),
    ("put -- k -x", {"DATA": "-x"}),
    ("-- put k -x", {"DATA": "-x"}),
    ("--json -- put k --json", {"DATA": "--json", "--json": True}),
    ("put k -- --", {"DATA": "--"}),
    ("put k put", {"DATA": "put"}),
    ("--json put k", {"--json": True}),
    ("put k d --json", {"DATA": "d", "--json": True}),
    ("put --key K k", {"--key": "K"}),
    ("put k --key=K", {"--key": "K"}),
    ("put k --key=", {"--key": ""}),
    ("put k --key=-x=y", {"--key": "-x=y"}),
    ("--key - put k", {"--key": "-"}),
    ("--key A put k --key B", {"--key": "B"}),
    ("--json put k --json", {"--json": True}),
    ("put k --arg a=1 --arg b=2", {"--arg": ["a=1", "b=2"]}),
    ("--arg=a=1 put k", {"--arg": ["a=1"]}),
    ("--broker tcp://h:1 put k", {"--broker": "tcp://h:1"}),
]


@pytest.mark.parametrize(("line", "change"), RIGHT, ids=[line for line, _ in RIGHT])
def test_right(line: str, change: dict[str, Any]) -> None:
    """Options stand anywhere and in both spellings, `--` ends them, and words arrive as they were written."""
    assert parse(DOC, line.split(), "zcopy 1") == DEFAULTS | change


WRONG = [
    ("put k --jsno", "there is no option --jsno; did you mean --json?"),
    ("put k --brokr=x", "there is no option --brokr; did you mean --broker?"),
    (
        "put k --owner=x",
        "there is no option --owner; zcopy put --help lists all; words that begin with a dash go after --",
    ),
    ("put k -5", "there is no option -5; words that begin with a dash go after --"),
    ("put k --key", "--key needs a value: --key KEY"),
    (
        "put k --key --json",
        "--key needs a value: --key KEY (a value that begins with a dash is written --key=--json)",
    ),
    ("put k --arg", "--arg needs a value: --arg NAME=VALUE"),
    ("put k --json=1", "--json takes no value"),
]


@pytest.mark.parametrize(("line", "sentence"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_option(line: str, sentence: str) -> None:
    """A wrong option is named, with the nearest right one or what it needs."""
    with pytest.raises(UsageError) as caught:
        parse(DOC, line.split(), "zcopy 1")
    assert str(caught.value) == sentence


def test_a_wrong_option_where_there_are_no_words() -> None:
    """Where no word can begin with a dash, nothing is said of such; with several usages the program's name leads on."""
    usage = "Usage:\n  zcopy list [options]\n\nOptions:\n  --json  in another way\n"
    several = usage.replace("zcopy list [options]", "zcopy [options]\n  zcopy check FILE")
    for doc, called in ((usage, "zcopy list"), (several, "zcopy")):
        with pytest.raises(UsageError) as caught:
            parse(doc, ["--owner", "me"], "zcopy 1")
        assert str(caught.value) == f"there is no option --owner; {called} --help lists all"


USAGE = "\nusage: zcopy put [options] [--arg NAME=VALUE]... [--] KIND [DATA]"
COUNTS = [
    ("put", "KIND is missing"),
    ("", "put and KIND are missing"),
    ("get a", "put was expected, not get"),
]


@pytest.mark.parametrize(("line", "sentence"), COUNTS)
def test_wrong_words(line: str, sentence: str) -> None:
    """A wrong number of words is said with what is missing or too many, and one usage line."""
    with pytest.raises(UsageError) as caught:
        parse(DOC, line.split(), "zcopy 1")
    assert str(caught.value) == sentence + USAGE


def test_words_that_should_have_been_one() -> None:
    """Too many words where the last one is any text: it was not quoted, and the whole line is said as it should be."""
    with pytest.raises(UsageError) as caught:
        parse(DOC, ["put", "my kind", "till", "5 o'clock"], "zcopy 1")
    assert str(caught.value) == """DATA is one argument; quote it: zcopy put 'my kind' 'till 5 o'"'"'clock'"""


@pytest.mark.parametrize("line", ["--help", "-h", "put --nonsense --help", "put k d e -h"])
def test_help(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help gets the page, whatever else is wrong with the line."""
    with pytest.raises(SystemExit) as caught:
        parse(DOC, line.split(), "zcopy 1")
    assert caught.value.code == 0
    assert capsys.readouterr().out == DOC.strip("\n") + "\n"


def test_help_after_the_end_of_options() -> None:
    """Behind `--` even --help is data."""
    assert parse(DOC, ["put", "k", "--", "--help"], "zcopy 1")["DATA"] == "--help"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the version as given and leaves with 0."""
    with pytest.raises(SystemExit) as caught:
        parse(DOC, ["--version"], "zcopy 1")
    assert caught.value.code == 0
    assert capsys.readouterr().out == "zcopy 1\n"


SEVERAL = """Serves.

Usage:
  zserve [options]
  zserve check FILE
  zserve backup [--fast] FILE TARGET

Options:
  --listen ENDPOINT  where
  --fast             soon
"""

MANY_USAGES = [
    ("chek x", "there is no command chek; did you mean check?"),
    ("xyzzy", "there is no command xyzzy; there are check, backup"),
    ("check", "FILE is missing\nusage: zserve check FILE"),
    ("backup", "FILE and TARGET are missing\nusage: zserve backup [--fast] FILE TARGET"),
    ("backup a", "TARGET is missing\nusage: zserve backup [--fast] FILE TARGET"),
    ("check a b c", "too many words: b c\nusage: zserve check FILE"),
    ("check --listen x a", "--listen does not belong here\nusage: zserve check FILE"),
]


@pytest.mark.parametrize(("line", "sentence"), MANY_USAGES)
def test_several_usages(line: str, sentence: str) -> None:
    """With several usage lines a mistake is answered by the one that was meant, never by all of them."""
    with pytest.raises(UsageError) as caught:
        parse(SEVERAL, line.split(), "")
    assert str(caught.value) == sentence


def test_several_usages_that_are_right() -> None:
    """Each of several usage lines is understood."""
    assert parse(SEVERAL, ["--listen", "x"], "")["--listen"] == "x"
    assert parse(SEVERAL, ["check", "a"], "")["FILE"] == "a"
    values = parse(SEVERAL, ["backup", "--fast", "a", "b"], "")
    assert (values["backup"], values["--fast"], values["TARGET"]) == (True, True, "b")


def test_a_command_is_missing() -> None:
    """Where none of several usage lines does without a command, they are named."""
    with pytest.raises(UsageError) as caught:
        parse("Usage:\n  zx check FILE\n  zx backup FILE\n", [], "")
    assert str(caught.value) == "check or backup is missing"


LISTED = "Usage: zd [--listen ENDPOINT] [--tasks MODULE]... \n\nOptions:\n  --listen ENDPOINT  a\n  --tasks MODULE  b\n"


def test_options_in_the_usage_line() -> None:
    """A usage line that lists its options and takes no words is understood too."""
    assert parse(LISTED, ["--tasks", "a", "--tasks=b"], "") == {"--listen": None, "--tasks": ["a", "b"]}
    with pytest.raises(UsageError, match=r"too many words: x\nusage: zd \[--listen"):
        parse(LISTED, ["x"], "")


@pytest.mark.parametrize(
    ("line", "word"),
    [("put k", "put"), ("--key K put", "put"), ("--key=K put", "put"), ("--json put", "put"), ("-- -x", "-x")]
    + [("--odd put", "put"), ("--key", None), ("", None), ("--", None), ("-", "-")],
)
def test_first_word(line: str, word: str | None) -> None:
    """The first word is found behind options and their values."""
    assert options.first_word(line.split(), options.options_of(DOC)) == word


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200), ("7d", 604800), ("0.5", 0.5), ("1.5m", 90), ("0", 0)],
)
def test_duration(text: str, seconds: float) -> None:
    """Durations have a unit or are seconds."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1w", "1e3", "nan", "inf", "5 m", "1h30m", "٣", "9" * 400, "99999d"])
def test_no_duration(text: str) -> None:
    """What is no duration is refused with a sentence that quotes it."""
    with pytest.raises(ValueError, match=r"is not a duration|100 years"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("1048576", 1 << 20), ("64KiB", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30), ("2k", 2048), ("1.5M", 1572864)]
    + [("1kB", 1000), ("3MB", 3_000_000), ("7b", 7), ("1 TiB", 1 << 40), ("0", 0)],
)
def test_size(text: str, count: int) -> None:
    """Sizes are bytes, or have a unit: K and KiB are 1024, kB is 1000."""
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "k", "-1", "1X", "1iB", "1e3", "9" * 16, "1KiBB"])
def test_no_size(text: str) -> None:
    """What is no size is refused with a sentence that quotes it."""
    with pytest.raises(ValueError, match="is not a size"):
        size(text)


def test_integer() -> None:
    """A whole number within its bounds, and a sentence for anything else."""
    assert [integer(text, -5, 10) for text in ("-5", "0", "+7", "10")] == [-5, 0, 7, 10]
    for text in ("11", "-6", "1.0", "x", "", "9" * 30):
        with pytest.raises(ValueError, match="is not a whole number from -5 to 10"):
            integer(text, -5, 10)


def test_nearest() -> None:
    """The nearest word, or none when nothing is near."""
    assert nearest("stauts", ["submit", "status", "show"]) == "status"
    assert nearest("xyzzy", ["submit", "status"]) is None
    assert nearest("--owner", ["--broker", "--json"]) is None, "the dashes alone make no word near"
    assert nearest("--brokr", ["--broker", "--json"]) == "--broker"
