"""Options as data: help pages made from them, and how their values are read."""

from __future__ import annotations

import pytest

from zjobs.program.cli.options import (
    Command,
    Option,
    Program,
    duration,
    help_page,
    integer,
    nearest,
    one_of,
    size,
)

ZCOPY = Program(
    "zcopy",
    "zcopy 1",
    "zcopy copies things from one place to another, and tells what it did; whatever was there before stays.",
    (
        Command("put", "KIND [DATA]", "put a thing", "Put a thing.", "KIND is a word."),
        Command("list", "", "list things"),
    ),
    (
        Option("--arg", "NAME=VALUE", "one more", ("put",), repeatable=True),
        Option("--time-limit", "DURATION", "no longer than this", ("put",), default="5s"),
        Option("--broker", "ENDPOINT", "the broker; if omitted, the one that was asked last by this very user"),
    ),
    {0: "done", 69: "not done"},
    "A note.",
)

PROGRAM_PAGE = """\
zcopy copies things from one place to another, and tells what it did; whatever
was there before stays.

Usage:
  zcopy [options] COMMAND [ARGUMENT...]

Commands:
  put KIND [DATA]      put a thing
  list                 list things

zcopy COMMAND --help describes a command and its own options.

Options of every command:
  --broker ENDPOINT    the broker; if omitted, the one that was asked last by
                       this very user
  -h, --help           show this help and exit
  --version            show the version and exit

A note.

Exit codes:
  0    done
  69   not done"""

PUT_PAGE = """\
Put a thing.

Usage:
  zcopy put [options] [--arg NAME=VALUE]... [--] KIND [DATA]

Options:
  --arg NAME=VALUE     one more; may be repeated
  --time-limit DURATION
                       no longer than this [default: 5s]

KIND is a word.

Options of every command, and exit codes: zcopy --help"""

LIST_PAGE = """\
List things.

Usage:
  zcopy list [options]

Options of every command, and exit codes: zcopy --help"""


def test_help_pages() -> None:
    """The program's page has what all commands share; a command's page has what is its own."""
    put, listing = ZCOPY.commands
    assert help_page(ZCOPY) == PROGRAM_PAGE
    assert help_page(ZCOPY, put) == PUT_PAGE
    assert help_page(ZCOPY, listing) == LIST_PAGE


def test_the_page_of_a_program_that_runs_without_a_command() -> None:
    """Its own options are on its page."""
    alone = ZCOPY._replace(commands=(Command("", "", ""),), options=(Option("--fast", "", "soon", ("",)),))
    assert "Usage:\n  zcopy [options]\n\nOptions:\n  --fast  " in help_page(alone)
    assert "COMMAND" not in help_page(alone)


def test_one_of() -> None:
    """A word of a list, or a sentence with the list and the nearest."""
    assert one_of("never", ("never", "lost")) == "never"
    with pytest.raises(ValueError, match=r"'nevr' is not one of never, lost; did you mean never\?"):
        one_of("nevr", ("never", "lost"))
    with pytest.raises(ValueError, match=r"'x' is not one of never, lost$"):
        one_of("x", ("never", "lost"))


def test_size_bounds() -> None:
    """A size outside its bounds is refused with them."""
    assert size("1KiB", 1, 1024) == 1024
    for text in ("0", "1025"):
        with pytest.raises(ValueError, match=f"'{text}' is not from 1 to 1024 bytes"):
            size(text, 1, 1024)


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
