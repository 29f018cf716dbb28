"""Every --help names exactly the exit codes that its program has, and the options with their true defaults."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contract.man_pages import pages
from zjobs.broker.cli import usage as broker
from zjobs.client.cli import exit_codes
from zjobs.client.cli.usage import ZCLIENT
from zjobs.gateway import usage as gateway
from zjobs.messages.records import Limits
from zjobs.program import endpoints
from zjobs.program.cli.options import Program, help_page
from zjobs.program.cli.parse import parse
from zjobs.worker import usage as worker

PROGRAMS = [broker.ZBROKER, worker.ZWORKER, gateway.ZGATEWAY, ZCLIENT]


def codes_of(module: object, names: str) -> set[int]:
    """The module's constants whose names match `names`."""
    return {value for name, value in vars(module).items() if re.fullmatch(names, name) and type(value) is int}


def test_exit_codes() -> None:
    """All of each program's. 141 is not among them: nobody is there to read it any more."""
    names = "OK|USAGE_ERROR|ADDRESS_IN_USE|CANNOT_CREATE|DAMAGED|LOCKED|REFUSED"
    assert broker.ZBROKER.exit_codes.keys() == codes_of(broker, names) == {0, 64, 69, 73, 74, 75, 78}
    assert worker.ZWORKER.exit_codes.keys() == codes_of(worker, "EX_[A-Z]+") == {0, 64, 69, 73, 75, 78}
    names = "OK|USAGE_ERROR|UNAVAILABLE|CANNOT_CREATE|REFUSED"
    assert gateway.ZGATEWAY.exit_codes.keys() == codes_of(gateway, names) == {0, 64, 69, 73, 78}
    assert ZCLIENT.exit_codes.keys() == codes_of(exit_codes, "[A-Z_]+") - {exit_codes.BROKEN_PIPE}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_page(program: Program) -> None:
    """The program's page has the exit codes; a command's page says where they are. No line is wider than 80 columns."""
    pages = {command.name: help_page(program, command) for command in program.commands if command.name}
    for name, page in {**pages, "": help_page(program)}.items():
        assert ("Exit codes:\n" in page) == (name == ""), name
        assert (f"Options of every command, and exit codes: {program.name} --help" in page) == (name != ""), name
        assert all(len(line) <= 80 for line in page.splitlines()), name
        assert name == "" or program.name in page


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_options_belong_to_commands(program: Program) -> None:
    """Each option names commands that there are, is there once for each of them, and its default can be read."""
    names = {command.name for command in program.commands}
    for name in names:
        spellings = [option.name for option in program.options_of(name)]
        assert len(spellings) == len(set(spellings)), name
    for option in program.options:
        assert set(option.commands) <= names, option.name
        assert option.default is None or option.read(option.default) is not None


def test_the_defaults_of_zbroker_are_those_of_the_protocol() -> None:
    """Address and limits."""
    _, values = parse(broker.ZBROKER, [])
    assert values["--listen"] == endpoints.FRONTEND
    limits = Limits()
    assert values["--max-data"] == limits.data_bytes
    assert values["--max-result"] == limits.result_bytes
    assert values["--max-request"] == limits.request_bytes
    numbers = [values[name] for name in ("--max-jobs", "--max-queued", "--max-frames")]
    assert numbers == [limits.request_jobs, limits.queued_jobs, limits.frames]


def test_the_defaults_of_zworker_meet_those_of_zbroker() -> None:
    """The port two after the broker's own."""
    _, values = parse(worker.ZWORKER, [])
    assert values["--pipe"] == endpoints.after(endpoints.FRONTEND, endpoints.PIPE)
    assert endpoints.ENVIRONMENT_VARIABLE in help_page(ZCLIENT) and endpoints.FRONTEND in help_page(ZCLIENT)


# --- manual pages ------------------------------------------------------------------------------------------


def test_the_manual_pages_are_those_of_the_help() -> None:
    """Whoever changes a command or an option writes them anew."""
    stale = [path.name for path, page in pages().items() if not path.exists() or path.read_text("utf-8") != page]
    assert not stale, "python -m tests.contract.man_pages writes them anew"


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_manual_page_reads_as_one(path: Path) -> None:
    """The formatter has nothing to say against it, and shows every option and exit code."""
    if shutil.which("groff") is None:
        pytest.skip("GROFF IS NOT INSTALLED: the manual pages are not formatted")
    argv = ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=100n", str(path)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    (program,) = [one for one in PROGRAMS if f"{one.name}.1" == path.name]
    shown = ran.stdout
    assert [option.name for option in program.options if option.name not in shown] == []
    assert [code for code in program.exit_codes if not re.search(rf"^ +{code} ", shown, re.MULTILINE)] == []
