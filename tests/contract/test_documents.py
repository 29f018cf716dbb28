"""The documents say what is: their examples run, their tables agree with the code, their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from tests.contract import error_table
from tests.contract.console import Terminal, fenced
from zjobs.broker.core.records.jobs import TRANSITIONS
from zjobs.messages import records
from zjobs.messages.dispatch import PIPE, REPORTS, Ended, Returned, Running
from zjobs.messages.events import JobEvent, Listening, ServiceEvent
from zjobs.messages.records import Limits
from zjobs.messages.requests import ops
from zjobs.messages.requests.changes import NewJob
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome, Role, WorkerState
from zjobs.worker.core.states import TABLE, Signal, State

if TYPE_CHECKING:
    from tests.conftest import Service

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
INSTALL = "python3 -m venv .venv\n. .venv/bin/activate\npip install .\n"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def sections(text: str) -> dict[str, str]:
    """What stands under each heading, up to the next heading of any level."""
    parts = re.split(r"^#+ (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def first_column(table: str) -> list[str]:
    """The code words that begin the rows of the tables in `table`, without the headings."""
    cells = re.findall(r"^\| (`[^|]*) \|.*$(?!\n\| ---)", table, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`(\w+)`", cell)]


SECTIONS = sections(PROTOCOL)


# --- the architecture --------------------------------------------------------------------------------------


def test_the_diagram_of_job_states_has_the_transitions() -> None:
    """Each arrow of the diagram is an entry of the table, and each entry is an arrow."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    diagram = page.partition("<!-- transitions -->")[2].partition("<!-- /transitions -->")[0]
    arrows = re.findall(r"^    (\w+) --> (\w+) : (\w+)$", diagram, re.MULTILINE)
    table = [(before.value, after.value, step.value) for (before, step), after in TRANSITIONS.items()]
    assert sorted(arrows) == sorted(table)


# --- the protocol ------------------------------------------------------------------------------------------


def test_the_examples_of_the_protocol_run(shared_service: Service) -> None:
    """Every Python block of docs/protocol.md, in order, as the script of somebody who has only that page."""
    names: dict[str, Any] = {"BROKER": shared_service.endpoint}
    try:
        for block in fenced(PROTOCOL, "python"):
            exec(compile(block, "docs/protocol.md", "exec"), names)
    finally:
        context = names.get("context")
        if isinstance(context, zmq.Context):
            context.destroy(linger=0)
    assert names["state"] == "completed"


def test_a_plain_client_written_from_the_protocol_works(shared_service: Service) -> None:
    """It imports nothing of zjobs, and does everything a client can."""
    script = ROOT / "tests/contract/plain_client.py"
    assert not re.search(r"^\s*(from|import) zjobs", script.read_text(encoding="utf-8"), re.MULTILINE)
    ended = shared_service.script(script, shared_service.endpoint)
    assert ended.returncode == 0, ended


def test_the_closed_lists_are_complete() -> None:
    """Error codes, reasons, worker states, job states, outcomes: in the page as in the code."""
    assert first_column(SECTIONS["Errors"]) == [code.value for code in ErrorCode]
    assert first_column(SECTIONS["Reasons"]) == [reason.value for reason in FailReason]
    for words in (JobState, WorkerState, Outcome):
        missing = [word.value for word in words if f"`{word.value}`" not in PROTOCOL]
        assert not missing, (words, missing)


def test_the_states_of_a_worker_are_those_in_the_code() -> None:
    """The table of messages against states is the one that the worker looks things up in."""
    assert states_of_a_worker() in sections(PROTOCOL)["The states of a worker"]


def states_of_a_worker() -> str:
    """As it stands in the page. A state in which everything is dropped has no column."""
    columns = [state for state in State if any(state is known for known, _ in TABLE)]
    lines = [["", *(state.value for state in columns)], ["---"] * (len(columns) + 1)]
    for name, heard in [*((f"`{op}`", kind) for op, kind in PIPE.items()), *((one.value, one) for one in Signal)]:
        cells = [cell(state, heard) for state in columns]
        same = [cell == before != "drops" for before, cell in zip(["", *cells], cells)]
        lines.append([name, *("the same" if one else cell for one, cell in zip(same, cells))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("|  |", "| |")


def cell(state: State, heard: Any) -> str:
    """What a worker in this state does, and which state that leads to."""
    action, after = TABLE.get((state, heard), (None, state))
    text = "drops" if action is None else action.value
    return text if after is state else f"{text} → *{after.value}*"


def test_the_limits_are_those_in_force() -> None:
    """Names and defaults of the table under Limits."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+)( MiB)? \|", SECTIONS["Limits"], re.MULTILINE)
    told = {name: int(number.replace(",", "")) << (20 if unit else 0) for name, number, unit in rows}
    assert told == Limits()._asdict()


@pytest.mark.parametrize("op", ops.REQUESTS)
def test_each_request_has_a_section_with_its_fields(op: str) -> None:
    """Every field of the request and of its reply is named in the section of the request."""
    section = SECTIONS[f"`{op}`"]
    for kind in (ops.REQUESTS[op], ops.REPLIES[op]):
        missing = [field for field in kind._fields if f"`{field}`" not in section and field != "journal"]
        assert not missing, (kind.__name__, missing)


def operations_table() -> str:
    """The table of operations, from their entries."""
    lines = ["| operation | who may | changes state |", "| --- | --- | --- |"]
    for operation in ops.OPERATIONS:
        who = "everybody" if len(operation.roles) == len(Role) else ", ".join(role.value for role in operation.roles)
        narrow = " and ".join(role.value for role in operation.own_only)
        own = f"; {narrow} with their own jobs" if narrow else ""
        lines.append(f"| `{operation.name}` | {who}{own} | {operation.changes.value} |")
    return "\n".join(lines)


def test_the_table_of_operations_is_that_of_the_code() -> None:
    """As messages/requests/ops.py says. When it differs, what is expected is what to put there."""
    (told,) = re.findall(r"^\| operation \|.*?(?=\n\n)", PROTOCOL, re.MULTILINE | re.DOTALL)
    assert told == operations_table()


def test_there_is_no_section_for_a_request_that_does_not_exist() -> None:
    """The sections under Requests are the requests."""
    told = re.findall(r"^### `(\w+)`$", PROTOCOL, re.MULTILINE)
    assert told == list(ops.REQUESTS)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(records).values() if hasattr(kind, "_fields")]
    + [JobEvent, ServiceEvent, Listening, NewJob, Running, Ended, Returned, *PIPE.values(), *REPORTS.values()],
    ids=lambda kind: kind.__name__,
)
def test_each_field_of_a_map_is_explained(kind: type) -> None:
    """Every field that can travel stands somewhere in the page as a code word."""
    missing = [field for field in kind._fields if f"`{field}`" not in PROTOCOL]  # type: ignore[attr-defined]
    assert not missing


# --- the README --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(fenced(README, "console"))))
def test_what_the_readme_shows_is_what_happens(number: int, new_service: Callable[..., Service]) -> None:
    """Each console block, from its first command on a service of its own, prints what it is said to print."""
    service = new_service()
    service.start_broker()
    service.start_worker(time_scale=0.1)
    service.until_worker("ready")
    Terminal(service).follow(fenced(README, "console")[number])


def test_the_tutorial_from_start_to_end(new_service: Callable[..., Service]) -> None:
    """Its files are saved, its commands are run in order, and each prints what the page says."""
    service = new_service()
    terminal = Terminal(service)
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL):
        if language == "console":
            terminal.follow(block)
        elif language == "python":
            (name,) = re.findall(r"^# (\S+)\n", block)
            (service.place / "work" / name).write_text(block, encoding="utf-8")
        else:
            assert (language, block) == ("sh", INSTALL)


def test_the_page_of_commands_from_start_to_end(
    new_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Its commands are run in order, and each prints what the page says; then its Python."""
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    terminal = Terminal(new_service())
    for block in fenced(page, "console"):
        terminal.follow(block)
    monkeypatch.setenv("ZJOBS_BROKER", terminal.service.endpoint)
    (python,) = fenced(page, "python")
    exec(compile(python, "docs/commands.md", "exec"), {})
    assert capsys.readouterr().out == "completed None b'me\\n'\n"


def test_the_examples_of_times_run(service: Service) -> None:
    """The console block of docs/times.md, in order."""
    for block in fenced((ROOT / "docs/times.md").read_text(encoding="utf-8"), "console"):
        Terminal(service).follow(block)


def test_the_python_of_the_readme_runs(service: Service, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The example of the library as it stands; the task module as `--tasks`."""
    blocking, with_asyncio, tasks = fenced(README, "python")[:3]
    monkeypatch.setenv("ZJOBS_BROKER", service.endpoint)
    for library in (blocking, with_asyncio):
        exec(compile(library, "README.md", "exec"), {})
        assert capsys.readouterr().out.splitlines()[-1] == "elpmaxe"
    (service.place / "work/lab.py").write_text(tasks, encoding="utf-8")
    service.worker.signal(15)
    assert service.worker.ended() == 0
    service.start_worker("--tasks", "lab")
    service.until_worker("ready")
    (line,) = [line for line in README.splitlines() if line.startswith("zclient batch measure")]
    ended = service.zclient(*line.split()[1:])
    assert ended.returncode == 0 and "532.1" in ended.stdout, ended


def test_the_examples_of_the_library_run(service: Service, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Every Python block of docs/library.md, as a script of its own."""
    monkeypatch.setenv("ZJOBS_BROKER", service.endpoint)
    for block in fenced((ROOT / "docs/library.md").read_text(encoding="utf-8"), "python"):
        exec(compile(block, "docs/library.md", "exec"), {})
    told = capsys.readouterr().out.splitlines()
    assert told == ["1 eno", "2 owt", "['eno', 'owt']", "eerht", "ruof", "['eno', 'owt', 'eerht']", "completed"]


# --- the documents among themselves --------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_documents_are_there() -> None:
    """Those that the README and a newcomer count on."""
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert names >= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/protocol.md", "docs/architecture.md"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Files exist, anchors belong to a heading."""
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_tests_that_are_named_exist(document: Path) -> None:
    """A path in code type that looks like one of ours is one."""
    folders = "broker|worker|client|messages|tests|scripts|docs"
    for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", document.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_the_errors_are_listed() -> None:
    """docs/errors.md has every error sentence of the source; `python -m tests.contract.error_table` writes it."""
    assert error_table.PAGE.read_text("utf-8") == error_table.page()


def test_the_list_of_errors_finds_them() -> None:
    """One of each kind: raised, made by an exception, sent with a code, printed."""
    found = {(sentence.kind, sentence.text) for sentence in error_table.sentences()}
    assert ("UsageError", "{name} takes no value") in found
    assert ("WaitTimeout", "job {id} is not finished after {seconds} s") in found
    assert ("not_finished", "job {id} has not ended yet; wait for it") in found
    assert ("printed", "cannot write the output: {strerror}") in found


def test_errors_are_sentences() -> None:
    """No capital letter at the beginning, no full stop at the end: they stand after a program's name."""
    for sentence in error_table.sentences():
        assert not sentence.text.rstrip().endswith("."), sentence
        assert not (sentence.text[:1].isupper() and sentence.text[1:2].islower()), sentence
