"""The command line: what users may write, and what they are told when it is wrong."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import pytest

from zjobs.client.cli.usage import ZCLIENT
from zjobs.program.cli.options import Command, Option, Program, help_page, integer
from zjobs.program.cli.parse import UsageError, parse

EXIT_CODES = {0: "done"}
ZCOPY = Program(
    "zcopy",
    "zcopy 1",
    "Copies things.",
    (Command("put", "KIND [DATA]", "put a thing"), Command("list", "", "list things")),
    (
        Option("--broker", "ENDPOINT", "where to", default="nowhere"),
        Option("--key", "KEY", "a key"),
        Option("--arg", "NAME=VALUE", "one more", ("put",), repeatable=True),
        Option("--times", "N", "how often", ("put",), partial(integer, low=1, high=9), default="1"),
        Option("--json", "", "in another way"),
        Option("--long", "", "more of each", ("list",), short="-l"),
    ),
    EXIT_CODES,
)

DEFAULTS: dict[str, Any] = {
    "KIND": "k",
    "DATA": None,
    "--broker": "nowhere",
    "--key": None,
    "--arg": [],
    "--times": 1,
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
    ("put k --times 3", {"--times": 3}),
]


@pytest.mark.parametrize(("line", "change"), RIGHT, ids=[line for line, _ in RIGHT])
def test_right(line: str, change: dict[str, Any]) -> None:
    """Options stand anywhere and in both spellings, `--` ends them, and words arrive as they were written."""
    assert parse(ZCOPY, line.split()) == ("put", DEFAULTS | change)


VERBATIM = [
    ("run ls", ["ls"], False),
    ("run ls -l --json", ["ls", "-l", "--json"], False),
    ("run --json ls --help", ["ls", "--help"], True),
    ("--json run --key K -- ls", ["ls"], True),
    ("run --key K ls --json", ["ls", "--json"], False),
    ("run -- ls -- --json", ["ls", "--", "--json"], False),
    ("run ls -- -l", ["ls", "--", "-l"], False),
    ("run -- --json", ["--json"], False),
    ("run run --json", ["run", "--json"], False),
]


@pytest.mark.parametrize(("line", "words", "as_json"), VERBATIM, ids=[line for line, *_ in VERBATIM])
def test_a_command_line_within_the_command_line(line: str, words: list[str], as_json: bool) -> None:
    """Options end at its first word, and it arrives as it was written."""
    run = Command("run", "PROGRAM [ARG...]", "run a program", verbatim=True, common=True)
    name, values = parse(ZCOPY._replace(commands=(*ZCOPY.commands, run)), line.split())
    assert (name, [values["PROGRAM"], *values["ARG"]], values["--json"]) == ("run", words, as_json)


WRONG = [
    ("put k --jsno", "there is no option --jsno; did you mean --json?"),
    ("put k --brokr=x", "there is no option --brokr; did you mean --broker?"),
    (
        "put k --owner=x",
        "there is no option --owner; a parameter of the type is given as --arg owner=x",
    ),
    ("put k --dark-time 3 4", "there is no option --dark-time; a parameter of the type is given as --arg dark_time=3"),
    ("put k --dark --json", "there is no option --dark; a parameter of the type is given as --arg dark=VALUE"),
    ("put k --dark=$x", "there is no option --dark; a parameter of the type is given as --arg 'dark=$x'"),
    ("put k -5", "there is no option -5; words that begin with a dash go after --"),
    ("put k --key", "--key needs a value: --key KEY"),
    (
        "put k --key --json",
        "--key needs a value: --key KEY (a value that begins with a dash is written --key=--json)",
    ),
    ("put k --arg", "--arg needs a value: --arg NAME=VALUE"),
    ("put k --json=1", "--json takes no value"),
    ("put k --times 10", "--times: '10' is not a whole number from 1 to 9"),
    ("put k --long", "--long is an option of list, not of put; a parameter of the type is given as --arg long=VALUE"),
    ("list --arg a=1", "--arg is an option of put, not of list"),
    ("list --owner me", "there is no option --owner; zcopy list --help lists all"),
]


@pytest.mark.parametrize(("line", "sentence"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_option(line: str, sentence: str) -> None:
    """A wrong option is named, with the nearest right one or what it needs."""
    with pytest.raises(UsageError) as caught:
        parse(ZCOPY, line.split())
    assert str(caught.value) == sentence


USAGE = "\nusage: zcopy put [options] [--arg NAME=VALUE]... [--] KIND [DATA]"
COUNTS = [("put", "KIND is missing"), ("put --json", "KIND is missing")]


@pytest.mark.parametrize(("line", "sentence"), COUNTS)
def test_wrong_words(line: str, sentence: str) -> None:
    """Missing words are named, above the usage line."""
    with pytest.raises(UsageError) as caught:
        parse(ZCOPY, line.split())
    assert str(caught.value) == sentence + USAGE


def test_words_that_should_have_been_one() -> None:
    """Too many words where the last one is any text: it was not quoted, and the whole line is said as it should be."""
    with pytest.raises(UsageError) as caught:
        parse(ZCOPY, ["put", "my kind", "till", "5 o'clock"])
    assert str(caught.value) == """DATA is one argument; quote it: zcopy put 'my kind' 'till 5 o'"'"'clock'"""


@pytest.mark.parametrize(
    ("line", "command"), [("--help", None), ("-h", None), ("put --nonsense --help", "put"), ("put k d e -h", "put")]
)
def test_help(line: str, command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help gets the page, the command's where one is named, whatever else is wrong with the line."""
    with pytest.raises(SystemExit) as caught:
        parse(ZCOPY, line.split())
    assert caught.value.code == 0
    named = next((each for each in ZCOPY.commands if each.name == command), None)
    assert capsys.readouterr().out == help_page(ZCOPY, named) + "\n"


def test_help_after_the_end_of_options() -> None:
    """Behind `--` even --help is data."""
    assert parse(ZCOPY, ["put", "k", "--", "--help"])[1]["DATA"] == "--help"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the version as given and leaves with 0."""
    with pytest.raises(SystemExit) as caught:
        parse(ZCOPY, ["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "zcopy 1\n"


ZSERVE = Program(
    "zserve",
    "zserve 1",
    "Serves.",
    (
        Command("", "", ""),
        Command("check", "FILE", "look at a file"),
        Command("backup", "FILE TARGET", "copy a file"),
        Command("keys add", "NAME", "add a key"),
        Command("keys list", "", "list keys"),
    ),
    (
        Option("--listen", "ENDPOINT", "where", ("",)),
        Option("--fast", "", "soon", ("backup",)),
        Option("--keys", "DIR", "the keys", ("",)),
        Option("--keys", "DIR", "the folder", ("keys add", "keys list")),
    ),
    EXIT_CODES,
)

MISTAKES = [
    ("chek x", "there is no command chek; did you mean check?"),
    ("xyzzy", "there is no command xyzzy; there are check, backup, keys"),
    ("keys", "keys needs one of add, list after it"),
    ("keys ad x", "there is no command keys ad; did you mean keys add?"),
    ("keys xyzzy", "there is no command keys xyzzy; there are add, list"),
    ("check", "FILE is missing\nusage: zserve check [options] [--] FILE"),
    ("backup", "FILE and TARGET are missing\nusage: zserve backup [options] [--] FILE TARGET"),
    ("backup a", "TARGET is missing\nusage: zserve backup [options] [--] FILE TARGET"),
    ("check a b c", "too many words: b c\nusage: zserve check [options] [--] FILE"),
    ("check --listen x a", "--listen is an option of zserve, not of check"),
    (
        "check --keys x a",
        "--keys is an option of zserve, keys add and keys list, not of check",
    ),
    ("--fast", "--fast is an option of backup, not of zserve"),
]


@pytest.mark.parametrize(("line", "sentence"), MISTAKES)
def test_mistakes_with_commands(line: str, sentence: str) -> None:
    """A mistake is answered for the command that was meant, never with all of them."""
    with pytest.raises(UsageError) as caught:
        parse(ZSERVE, line.split())
    assert str(caught.value) == sentence


def test_commands() -> None:
    """A command is found behind options and their values, and so is none; a name may be two words."""
    assert parse(ZSERVE, ["--listen", "x"]) == ("", {"--listen": "x", "--keys": None})
    assert parse(ZSERVE, ["check", "a"]) == ("check", {"FILE": "a"})
    assert parse(ZSERVE, ["--fast", "backup", "a", "b"]) == ("backup", {"--fast": True, "FILE": "a", "TARGET": "b"})
    assert parse(ZSERVE, ["--keys", "check", "keys", "add", "a"]) == ("keys add", {"--keys": "check", "NAME": "a"})
    assert parse(ZSERVE, ["--keys=d", "keys", "list"]) == ("keys list", {"--keys": "d"})


def test_a_command_is_missing() -> None:
    """Where a program does nothing without a command."""
    with pytest.raises(UsageError, match="a command is missing; zcopy --help lists them"):
        parse(ZCOPY, ["--json"])


def test_words_that_may_be_many() -> None:
    """A list, which may be empty where it is optional."""
    for words, least in (("ID...", 1), ("[ID...]", 0)):
        program = ZCOPY._replace(commands=(Command("show", words, "show"),), options=())
        assert parse(program, ["show", "1", "-", "--", "-x"]) == ("show", {"ID": ["1", "-", "-x"]})
        if least:
            with pytest.raises(UsageError, match="ID is missing"):
                parse(program, ["show"])
        else:
            assert parse(program, ["show"]) == ("show", {"ID": []})


def test_a_program_without_commands() -> None:
    """It takes its own words, and says when there are too many."""
    program = ZCOPY._replace(commands=(Command("", "FILE", ""),), options=())
    assert parse(program, ["a"]) == ("", {"FILE": "a"})
    with pytest.raises(UsageError, match=r"too many words: b\nusage: zcopy \[options\] \[--\] FILE"):
        parse(program, ["a", "b"])


def test_the_words_before_an_option_need_not_be_known() -> None:
    """An unknown option is named before its command is complained of."""
    with pytest.raises(UsageError, match="there is no option --odd"):
        parse(ZCOPY, ["--odd", "put", "k"])


@pytest.mark.parametrize(
    "line",
    [
        "submit T",
        "submit T D",
        "submit T -- -d",
        "submit T --json",
        "submit --priority=3 T D",
        "submit T a b --arg x=1 --arg y=2",
        "status",
        "status 1 2 3",
        "result 7 --wait",
    ],
)
def test_a_common_command_line_means_what_docopt_finds(line: str) -> None:
    """zclient's most common commands do without docopt, and nobody can tell."""
    plain = parse(ZCLIENT, line.split())
    by_docopt = ZCLIENT._replace(commands=tuple(command._replace(common=False) for command in ZCLIENT.commands))
    assert plain == parse(by_docopt, line.split())


def test_a_submit_does_without_docopt(monkeypatch: pytest.MonkeyPatch) -> None:
    """To load it takes a tenth of the time that the whole command takes."""
    monkeypatch.setitem(sys.modules, "docopt", None)
    name, values = parse(ZCLIENT, ["submit", "reverse", "example", "--priority", "2"])
    assert (name, values["TYPE"], values["ARG"], values["--priority"]) == ("submit", "reverse", ["example"], 2)
