"""Every --help names exactly the exit codes that its program has, and the options with their true defaults."""

from __future__ import annotations

import re

import pytest

from zjobs.broker import cli as broker
from zjobs.client.cli import exit_codes
from zjobs.client.cli import usage as client_help
from zjobs.messages.records import Limits
from zjobs.program import endpoints, options
from zjobs.worker import cli as worker


def told_exit_codes(text: str) -> set[int]:
    """The codes after "Exit codes:": numbers that begin an entry, so that numbers inside a sentence do not count."""
    listed = re.split(r"exit codes:", text, flags=re.IGNORECASE)[1].split("\n\n")[0]
    return {int(number) for number in re.findall(r"(?:^|; |  )\s*(\d+) (?=[a-z])", listed, re.MULTILINE)}


def codes_of(module: object, names: str) -> set[int]:
    """The module's constants whose names match `names`."""
    return {value for name, value in vars(module).items() if re.fullmatch(names, name) and type(value) is int}


@pytest.mark.parametrize("name", [*client_help.COMMANDS, "(none)"])
def test_zclient(name: str) -> None:
    """The same codes on every page. 141 is not among them: nobody is there to read it any more."""
    page = client_help.COMMANDS.get(name, client_help.GENERAL)
    assert told_exit_codes(page) == codes_of(exit_codes, "[A-Z_]+") - {exit_codes.BROKEN_PIPE}


def test_zbroker() -> None:
    """All of its codes."""
    told = told_exit_codes(broker.USAGE)
    assert told == codes_of(broker, "OK|USAGE_ERROR|ADDRESS_IN_USE|CANNOT_CREATE|DAMAGED|LOCKED|REFUSED")
    assert told == {0, 64, 69, 73, 74, 75, 78}


def test_zworker() -> None:
    """All of its codes."""
    assert told_exit_codes(worker.DOC) == codes_of(worker, "EX_[A-Z]+") == {0, 64, 69, 73, 75, 78}


def test_the_defaults_of_zbroker_are_those_of_the_protocol() -> None:
    """Address and limits."""
    values = options.parse(broker.USAGE, [], "")
    assert values["--listen"] == endpoints.FRONTEND
    limits = Limits()
    assert options.size(values["--max-data"]) == limits.data_bytes
    assert options.size(values["--max-result"]) == limits.result_bytes
    assert options.size(values["--max-request"]) == limits.request_bytes
    numbers = [int(values[name]) for name in ("--max-jobs", "--max-queued", "--max-frames")]
    assert numbers == [limits.request_jobs, limits.queued_jobs, limits.frames]


def test_the_defaults_of_zworker_meet_those_of_zbroker() -> None:
    """The port two after the broker's own."""
    values = options.parse(worker.DOC, [], "")
    assert values["--pipe"] == endpoints.after(endpoints.FRONTEND, endpoints.PIPE)
    assert endpoints.ENVIRONMENT_VARIABLE in client_help.COMMON and endpoints.FRONTEND in client_help.COMMON
