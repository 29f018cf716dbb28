"""zclient in-process, against a scripted broker: what is printed where, and with which exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from zjobs.client.__main__ import main
from zjobs.client.cli import wait
from zjobs.client.cli.usage.commands import COMMANDS
from zjobs.client.job import Watch
from zjobs.client.protocol.events import watch
from zjobs.messages import values
from zjobs.messages.records import DataPreview, Limits
from zjobs.messages.requests.changes import Submit, SubmitReply
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import List, Queue, Schema
from zjobs.messages.states import ErrorCode, JobState, WorkerState

QUEUED, RUNNING, COMPLETED, FAILED = (
    JobState.QUEUED,
    JobState.IN_PROGRESS,
    JobState.COMPLETED,
    JobState.FAILED,
)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def ending(broker: Any, state: JobState = COMPLETED, result: Any = None, **fields: Any) -> None:
    """Jobs end as soon as they are submitted."""

    usual = type(broker)._submit

    def submitted(request: Any) -> Any:
        reply = usual(broker, request)
        for number, job in enumerate(request.jobs):
            value = values.unpack_value(job.data) if result is None and job.data else result
            broker.add(reply.first_id + number, state, value, **fields)
        return reply

    broker._submit = submitted


# --- submit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "stdin", "data"),
    [
        (["reverse", "example"], b"", "example"),
        (["reverse", ""], b"", ""),
        (["reverse"], b"", "NO DATA"),
        (["reverse", "-"], "zwei\nZ\u00e9ilen\n".encode(), "zwei\nZéilen\n"),
        (["reverse", "--", "-x"], b"", "-x"),
        (["reverse", "--", "-"], b"on stdin", "on stdin"),
        (
            ["t", "--arg", "n=1", "--arg", "s=text", "--arg", "l=[1,null]", "--arg", "e="],
            b"",
            {"n": 1, "s": "text", "l": [1, None], "e": ""},
        ),
        (["t", "--arg", 'q="1"', "--arg", "b=a=b"], b"", {"q": "1", "b": "a=b"}),
    ],
)
def test_submit(run: Run, broker: Any, argv: list[str], stdin: bytes, data: Any) -> None:
    """The id on stdout and nothing else; the job gets exactly what was written."""
    assert run("submit", *argv, stdin=stdin) == Ran(0, "1\n", "")
    (job,) = broker.asked(Submit)[0].jobs
    assert ("NO DATA" if job.data is None else values.unpack_value(job.data)) == data


BYTES = {"type": "string", "contentEncoding": "base64"}
TYPED = {
    "properties": {"count": {"type": "integer"}, "name": {"type": "string"}, "raw": BYTES},
    "required": ["count"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("argv", "data"),
    [
        (["3"], 3),
        (["3", "532"], {"count": 3, "name": "532"}),
        (["--arg", "count=3", "--arg", "name=532"], {"count": 3, "name": "532"}),
        (["3", "--arg", "name=@@home"], {"count": 3, "name": "@home"}),
        (["3", "--arg", "name=@NAME"], {"count": 3, "name": "Zoë"}),
        (["3", "--arg", "raw=@NAME"], {"count": 3, "raw": "Zoë".encode()}),
        (["3", "--file", "NAME"], {"count": 3, "raw": "Zoë".encode()}),
        (["-"], 5),
        (["--", "-1"], -1),
    ],
)
def test_submit_by_the_schema(run: Run, broker: Any, tmp_path: Path, argv: list[str], data: Any) -> None:
    """What words mean follows from the parameters of the type."""
    (tmp_path / "name").write_text("Zoë", encoding="utf-8")
    broker.schemas["typed"] = TYPED
    words = [word.replace("NAME", str(tmp_path / "name")) for word in argv]
    assert run("submit", "typed", *words, stdin=b"5\n") == Ran(0, "1\n", "")
    (job,) = broker.asked(Submit)[0].jobs
    assert values.unpack_value(job.data) == data


def test_the_schema_is_kept_for_the_next_zclient(run: Run, broker: Any) -> None:
    """It asks nobody, until the broker says that the schema has changed; then the words are read anew."""
    broker.schemas["typed"] = TYPED
    run("submit", "typed", "3")
    run("submit", "typed", "4")
    assert len(broker.asked(Schema)) == 1
    broker.schemas["typed"] = {"properties": {"count": {"type": "string"}}}
    assert run("submit", "typed", "5").code == 0
    assert values.unpack_value(broker.asked(Submit)[-1].jobs[0].data) == "5"
    assert len(broker.asked(Schema)) == 2 and len(broker.asked(Submit)) == 4


def test_submit_bytes_of_a_file(run: Run, broker: Any, tmp_path: Path) -> None:
    """Also for a type whose parameters nobody has told."""
    (tmp_path / "raw").write_bytes(b"\0\xff")
    assert run("submit", "t", "--file", str(tmp_path / "raw")).code == 0
    assert values.unpack_value(broker.asked(Submit)[0].jobs[0].data) == b"\0\xff"


@pytest.mark.parametrize(
    ("value", "written"), [(b"\0\xff", b"\0\xff"), ("Zoë\n", "Zoë\n".encode()), ({"a": [1]}, b'{"a": [1]}')]
)
def test_result_into_a_file(run: Run, broker: Any, tmp_path: Path, value: Any, written: bytes) -> None:
    """Bytes and text unchanged, everything else as JSON; with --json, where it is."""
    broker.add(1, COMPLETED, value)
    path = tmp_path / "result"
    assert run("result", "1", "-o", str(path)) == Ran(0, "", "")
    assert path.read_bytes() == written
    told = json.loads(run("result", "1", "--json", "--output", str(path)).out)
    assert told == {"id": 1, "state": "completed", "file": str(path), "bytes": len(written)}
    assert run("result", "1", "-o", "/nonexistent/x") == Ran(
        2, "", "zclient: cannot write /nonexistent/x: No such file or directory\n"
    )


def test_types(run: Run, broker: Any) -> None:
    """How each is called, and what it does; of one, everything; with --json, the schema."""
    broker.schemas["reverse"] = {
        "properties": {"text": {"type": "string", "description": "any"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    assert run("types") == Ran(0, "reverse(text: str)\n    the text backwards\n", "")
    assert "  text  text: any\n" in run("types", "reverse").out
    assert json.loads(run("types", "--json").out)["schema"] == broker.schemas["reverse"]
    assert run("types", "revers") == Ran(2, "", "zclient: there is no type revers; did you mean reverse?\n")
    broker.schemas["reverse"] = {"additionalProperties": False}
    assert run("types").out.startswith("reverse()\n")  # not what is kept


def test_submit_lines(run: Run, broker: Any, tmp_path: Path) -> None:
    """Each line is a job: empty ones too, the last one without its newline too; only a newline ends a line."""
    broker.limits = Limits(request_jobs=2)
    file = tmp_path / "lines"
    file.write_bytes("a\n\nb\r\n é\u2028x".encode())
    assert run("submit", "reverse", "--lines", str(file)) == Ran(0, "1\n2\n3\n4\n", "")
    jobs = [job for request in broker.asked(Submit) for job in request.jobs]
    assert [values.unpack_value(job.data) for job in jobs] == ["a", "", "b\r", " é\u2028x"]
    assert run("submit", "reverse", "--lines", "-", stdin=b"x\n").out == "5\n"
    assert run("submit", "reverse", "--lines", "-", stdin=b"") == Ran(0, "", "")


def test_submit_lines_up_to_a_mistake(run: Run, broker: Any) -> None:
    """Ids of what was taken are printed; the error names the first line that was not."""
    ran = run("submit", "reverse", "--lines", "-", stdin=b"a\nb\n\xff\nc\n")
    assert ran == Ran(2, "1\n2\n", "zclient: line 3: - is not UTF-8 text (byte 0)\n")
    broker.limits = Limits(data_bytes=10)
    ran = run("submit", "reverse", "--lines", "-", stdin=b"a\n" + b"x" * 20 + b"\n")
    assert (ran.code, ran.out) == (5, "3\n") and ran.err.startswith("zclient: line 2: the data has 21 bytes")
    broker.limits = Limits(request_jobs=1)
    broker.script = [broker.answer, broker.answer, lambda request: Error(ErrorCode.QUEUE_FULL, "full")]
    assert run("submit", "reverse", "--lines", "-", stdin=b"a\nb\nc") == Ran(5, "4\n", "zclient: line 2: full\n")


def test_submit_before_any_worker(run: Run, broker: Any) -> None:
    """When the type could not be checked, stderr says so; the id is printed all the same."""
    broker.checked = False
    assert run("submit", "t") == Ran(
        0, "1\n", "zclient: no worker has announced its types yet: the type was not checked\n"
    )


def test_submit_without_an_answer(run: Run, broker: Any) -> None:
    """The key is printed with which repeating makes no second job."""
    broker.stop()
    ran = run("--timeout", "0.1", "submit", "t", "--once", "mine")
    as_json = run("--timeout", "0.1", "submit", "t", "--json")
    broker.start()
    assert (ran.code, ran.out) == (69, "") and broker.address in ran.err
    assert ran.err.endswith("; repeat with --once mine to know: that makes no second job\n")
    error = json.loads(as_json.err.splitlines()[-1])["error"]
    assert error["code"] == "unreachable" and len(error["request_key"]) == 32


def test_the_hint_can_be_pasted(run: Run, broker: Any) -> None:
    """A request key of several words, or with what a shell would expand, is quoted."""
    broker.stop()
    ran = run("--timeout", "0.1", "submit", "t", "--once", "lens 2; $HOME")
    broker.start()
    assert ran.err.endswith("; repeat with --once 'lens 2; $HOME' to know: that makes no second job\n")


# --- wrong usage -----------------------------------------------------------------------------------------------

WRONG = [
    ([], "a command is missing"),
    (["stauts"], "there is no command stauts; did you mean status?"),
    (["xyzzy"], "there is no command xyzzy; there are submit, status"),
    (["submit"], "TYPE is missing\nusage: zclient submit"),
    (["submit", "t", "a", "b"], "t: its parameters are not known yet, so one argument at most may be given: quote it"),
    (["submit", "typed", "three"], "typed: count must be an integer, not 'three'\n"),
    (["submit", "typed"], "typed: count is missing: it must be an integer\n"),
    (["submit", "typed", "3", "--arg", "nmae=x"], "typed: there is no parameter nmae; did you mean name?\n"),
    (["submit", "typed", "3", "x", "y", "z"], "typed: it takes 3 arguments at most (count, name, raw), not 4\n"),
    (["submit", "typed", "3", "--arg", "raw=x"], "typed: raw must be bytes (from a file: --arg raw=@FILE), not 'x'"),
    (["submit", "typed", "3", "--arg", "raw=@/nonexistent/x"], "cannot read /nonexistent/x: No such file"),
    (["batch", "typed", "--lines", "-"], "line 1: typed: count must be an integer, not 'no number'\n"),
    (["result", "1", "2"], "too many words: 2"),
    (["list", "--whose", "me"], "there is no option --whose; zclient list --help lists all"),
    (["submit", "t", "a", "--arg", "b=1"], "t: its parameters are not known yet, so --arg goes with nothing else"),
    (["submit", "t", "a", "--lines", "x"], "--lines excludes ARG, --arg and --file"),
    (["submit", "t", "--arg", "b"], "--arg b: this is not NAME=VALUE"),
    (["submit", "t", "--arg", "b=1", "--arg", "b=2"], "--arg b is given twice"),
    (["submit", "t", "--arg", "b=" + "9" * 30], "this cannot be sent: "),
    (["submit", "t", "--lines", "/nonexistent/x"], "cannot read /nonexistent/x: No such file"),
    (["submit", "t", "a\udcff"], "'a\\udcff' is not UTF-8 text"),
    (["submit", "t", "--once", ""], "a request key must have 1 to 64 characters"),
    (["submit", "t", "--kez", "k"], "there is no option --kez; did you mean --key?"),
    (["status", "--once", "k"], "--once is an option of submit, batch, run and retry, not of status"),
    (["status", "--key-file", "k"], "there is no option --key-file"),
    (["status", "seventeen"], "'seventeen' is not a job id"),
    (["result", "0"], "'0' is not a job id"),
    (["result", "1", "--max-wait", "soon"], "--max-wait: 'soon' is not a duration"),
    (["batch", "t", "--max-wait", "soon"], "--max-wait: 'soon' is not a duration"),
    (["info", "--timeout", "0"], "--timeout: '0' must be more than 0"),
    (["info", "--timeout", "x"], "--timeout: 'x' is not a duration"),
    (["info", "--broker", "nowhere"], "'nowhere' is not an endpoint"),
]


@pytest.mark.parametrize(
    ("argv", "sentence"), WRONG, ids=[" ".join(argv).encode("ascii", "replace") for argv, _ in WRONG]
)
def test_wrong_usage(run: Run, broker: Any, argv: list[str], sentence: str) -> None:
    """A mistake is a sentence on stderr and exit code 2, and nothing is submitted."""
    broker.schemas["typed"] = TYPED
    ran = run(*argv, stdin=b"no number\n")
    assert (ran.code, ran.out) == (2, "") and ran.err.startswith("zclient: " + sentence)
    assert broker.asked(Submit) == []
    ran = run(*argv[:1], "--json", *argv[1:], stdin=b"no number\n")
    assert ran.code == 2 and json.loads(ran.err)["error"]["code"] in ("usage", "bad_request", "bad_address", "bad_data")


@pytest.mark.parametrize("command", [["submit", "t"], ["batch", "t"], ["retry", "1"], ["status", "1"]])
def test_key_is_a_file_wherever_it_stands(run: Run, broker: Any, command: list[str]) -> None:
    """Before the command and after it: it never names a submit, so what is no key file is told and nothing is asked."""
    for argv in (["--key", "mine", *command], [*command, "--key", "mine"], [command[0], "--key=mine", *command[1:]]):
        ran = run(*argv)
        assert (ran.code, ran.out) == (2, "") and "mine" in ran.err and "No such file" in ran.err, ran
    assert broker.requests == []


def test_once_names_a_submit_wherever_it_stands(run: Run, broker: Any) -> None:
    """Before the command and after it."""
    assert run("--once", "mine", "submit", "t").out == run("submit", "t", "--once", "mine").out == "1\n"
    assert [request.request_key for request in broker.asked(Submit)] == ["mine", "mine"]


def test_standard_input_that_is_not_text(run: Run) -> None:
    """Data that is not UTF-8 is refused with a sentence."""
    assert run("submit", "t", "-", stdin=b"ab\xff") == Ran(
        2, "", "zclient: t: standard input is not UTF-8 text (byte 2)\n"
    )


NAMES = [command.name for command in COMMANDS]


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in NAMES), ["-h", "batch"]])
def test_help(run: Run, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    """The program's page has the exit codes; a command's page is its own and says where they are."""
    with pytest.raises(SystemExit) as caught:
        run(*argv)
    page = capsys.readouterr().out
    assert caught.value.code == 0
    command = next((word for word in argv if word in NAMES), None)
    assert ("130  interrupted" in page) == (command is None)
    assert ("exit codes: zclient --help" in page) == (command is not None)
    command = command or "[options] COMMAND"
    assert f"  zclient {command} " in page
    assert max(map(len, page.splitlines())) <= 80


# --- status, show, types, info -----------------------------------------------------------------------------------


def test_help_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`help COMMAND` prints what `COMMAND --help` does, `help` what `--help` does; aliases lead to the same page."""
    for argv, words in ((["--help"], []), (["batch", "--help"], ["batch"]), (["ls", "--help"], ["list"])):
        with pytest.raises(SystemExit):
            run(*argv)
        page = capsys.readouterr().out
        assert run("help", *words) == Ran(0, page, "")
    assert "\nAlias: ls\n" in run("help", "ls").out
    assert run("help", "lsit").err == "zclient: there is no command lsit; did you mean list?\n"


@pytest.mark.parametrize(("alias", "name"), [("ls", "list"), ("rm", "forget"), ("kill", "cancel")])
def test_aliases(run: Run, broker: Any, alias: str, name: str) -> None:
    """An alias is the command, with its options and its words."""
    broker.add(7)
    words = [] if alias == "ls" else ["7"]
    assert run("--json", alias, *words) == run("--json", name, *words)
    assert run(alias, "--nosuch", "1").err.startswith("zclient: there is no option --nosuch")


def test_status(run: Run, broker: Any) -> None:
    """A line for each job that there is, then the ids without one, and exit code 3 for those."""
    broker.worker = WorkerState.ABSENT
    broker.add(17, ahead=3)
    broker.add(18, COMPLETED, "x")
    assert run("status", "18", "17") == Ran(0, "18 completed\n17 queued, 3 ahead (no worker)\n", "")
    ran = run("status", "99", "18")
    assert ran == Ran(3, "18 completed\n", "zclient: there is no job 99\n")


def test_the_whole_queue(run: Run, broker: Any) -> None:
    """status without ids: the running job with its limit, the next ones, delayed ones, and those that ended last."""
    broker.add(16, COMPLETED, ended_at=1, elapsed_ms=500)
    broker.add(17, RUNNING, elapsed_ms=1_000)
    broker.add(18, ahead=1, data_preview=DataPreview(b"\x03", 1))
    broker.add(19, ready_at=1)
    head, running, coming, delayed, ended = run("status").out.splitlines()[5:]
    assert head.split()[:3] == ["PLACE", "ID", "STATE"] and running.split("  ")[-1].strip() == "limit 1 min 30 s"
    assert [line.split()[:3] for line in (running, coming, delayed, ended)] == [
        ["0", "17", "in_progress"],
        ["1", "18", "queued"],
        ["-", "19", "waiting"],
        ["-", "16", "completed"],
    ]
    shown = [json.loads(line) for line in run("status", "--json").out.splitlines()]
    assert [(job["id"], job["worker"], job["paused"]) for job in shown] == [(n, "ready", False) for n in (17, 18, 19)]
    assert [job["data_preview"] for job in shown] == [None, "3", None] and "  3  " in run("status").out
    assert all(request.preview for request in (*broker.asked(Queue), *broker.asked(List)))
    broker.script = [broker.answer] * 3 + [lambda _: Error(ErrorCode.NOT_PERMITTED, "no")]
    assert "limit" not in run("status").out
    broker.jobs.clear()
    assert len(run("status").out.splitlines()) == 6 and run("status", "--json") == Ran(0, "", "")


def test_status_as_json(run: Run, broker: Any) -> None:
    """One object a line."""
    broker.add(17, ahead=3)
    ran = run("status", "17", "99", "--json")
    shown = json.loads(ran.out)
    assert (shown["id"], shown["state"], shown["ahead"], shown["worker"]) == (17, "queued", 3, "ready")
    assert json.loads(ran.err)["error"] == {"code": "not_found", "message": "there is no job 99", "id": 99}


def test_show_types_info(run: Run, broker: Any) -> None:
    """What a person wants to see is there, nothing a terminal would act on, and JSON that parses."""
    broker.add(17, FAILED, message="ValueError: odd")
    shown = run("show", "17").out
    assert "17 failed: ValueError: odd\n" in shown and "key-1" in shown and "\n    line\n" in shown
    assert "\x1b" not in shown and "odd\\x1b[2J" in shown
    assert run("types") == Ran(0, "reverse(…)\n    the text backwards\n", "")
    broker.checked = False
    assert run("types").err == "zclient: no worker has announced its types yet\n"
    assert "ready for 1.5 s, pid 12 on host, running job 17" in run("info").out
    for argv in (["show", "17"], ["types"], ["info"]):
        assert isinstance(json.loads(run(*argv, "--json").out), dict)


# --- result ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "out"),
    [("elpmaxe", "elpmaxe\n"), ("a\nb\t", "a\nb\t\n"), (None, "null\n"), ({"a": [1, "é"]}, '{"a": [1, "é"]}\n')],
)
def test_result(run: Run, broker: Any, value: Any, out: str) -> None:
    """Text as it is, everything else as JSON."""
    broker.add(17, COMPLETED, value)
    assert run("result", "17") == run("result", "17", "--wait") == Ran(0, out, "")
    assert json.loads(run("result", "17", "--json").out) == {"id": 17, "state": "completed", "result": value}


def test_binary_result(broker: Any, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Bytes are written as they are, without a newline; JSON has them as base64."""
    monkeypatch.setenv("ZJOBS_BROKER", broker.address)
    broker.add(17, COMPLETED, b"\x00\xff")
    assert main(["result", "17"]) == 0
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == b"\x00\xff"
    assert main(["result", "17", "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["result"] == {"base64": "AP8="}


def test_no_result(run: Run, broker: Any) -> None:
    """Failed 1, unknown 3, unfinished 4, each with its sentence."""
    broker.add(16, FAILED, message="ValueError: odd")
    broker.add(17)
    for waiting in ([], ["--wait"]):
        assert run("result", "16", *waiting) == Ran(1, "", "16 failed: ValueError: odd\n")
        assert run("result", "99", *waiting) == Ran(3, "", "zclient: there is no job 99\n")
    assert run("result", "17") == Ran(4, "", "zclient: job 17 has not ended yet\n")
    ran = run("result", "17", "--max-wait", "0.05")
    assert ran == Ran(4, "", "zclient: job 17 is not finished after 0.05 s; job 17 goes on: zclient result 17 --wait\n")
    named = run("result", "17", "--max-wait", "0", "--broker", broker.address)
    assert named.err.endswith(f": zclient --broker {broker.address} result 17 --wait\n")


# --- batch -------------------------------------------------------------------------------------------------------


def test_batch(run: Run, broker: Any) -> None:
    """Two lines on stdout, the id and the result; the changes on stderr."""
    ending(broker)
    assert run("batch", "reverse", "elpmaxe") == Ran(0, "1\nelpmaxe\n", "1 completed\n")


def test_batch_of_a_job_that_fails(run: Run, broker: Any) -> None:
    """The id is printed, the failure said once, and the exit code is 1."""
    ending(broker, FAILED, message="ValueError: odd")
    assert run("batch", "reverse", "x") == Ran(1, "1\n", "1 failed: ValueError: odd\n")


def test_batch_as_json(run: Run, broker: Any) -> None:
    """Every line on both streams is an object."""
    ending(broker)
    ran = run("batch", "reverse", "x", "--json")
    assert [json.loads(line) for line in ran.out.splitlines()] == [
        {"id": 1},
        {"id": 1, "state": "completed", "result": "x"},
    ]
    assert [json.loads(line)["state"] for line in ran.err.splitlines()] == ["completed"]


def test_batch_of_lines(run: Run, broker: Any) -> None:
    """`ID<TAB>RESULT` in order, one line each whatever the result, a count on stderr."""
    ending(broker)
    assert run("batch", "reverse", "--lines", "-", stdin=b"a\tb\n\nc\\") == Ran(0, "1\ta\\tb\n2\t\n3\tc\\\\\n", "3/3\n")
    ending(broker, result=b"\x00")
    assert run("batch", "reverse", "--lines", "-", stdin=b"x").out == '4\t{"base64": "AA=="}\n'


def test_batch_of_lines_with_failures(run: Run, broker: Any) -> None:
    """A failed line is named, the others go on, the exit code is 1."""
    ending(broker)
    every = broker._submit

    def one_fails(request: Any) -> Any:
        reply = every(request)
        broker.add(2, FAILED, message="E: odd")
        return reply

    broker._submit = one_fails
    assert run("batch", "reverse", "--lines", "-", stdin=b"a\nb\nc") == Ran(
        1, "1\ta\n3\tc\n", "line 2: 2 failed: E: odd\n3/3\n"
    )


def test_batch_of_lines_that_is_refused(run: Run, broker: Any) -> None:
    """A refusal names the line, and what was taken before and goes on."""
    broker.limits = Limits(request_jobs=2)
    broker.script = [broker.answer, broker.answer, lambda request: Error(ErrorCode.QUEUE_FULL, "full")]
    ran = run("batch", "reverse", "--lines", "-", stdin=b"a\nb\nc")
    assert ran == Ran(5, "", "zclient: line 3: full; before it, jobs 1 to 2 go on: zclient result 1 --wait\n")


def test_batch_with_a_lost_broker(run: Run, broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is said, and when it lasts the command that resumes is named: exit code 69."""
    monkeypatch.setattr(watch, "CHECK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(watch, "LOST_CHECK_EVERY_S", 0.05)
    monkeypatch.setattr("zjobs.client.submitting.Submitting.__init__.__defaults__", (None, 5.0, 0.2, None, None))

    usual = Watch.next

    def gone_after_the_first_status(watching: Watch, seconds: float) -> Any:
        broker._ending.set()
        return usual(watching, seconds)

    monkeypatch.setattr(Watch, "next", gone_after_the_first_status)
    ran = run("batch", "reverse", "x")
    broker.stop()
    broker.start()
    assert (ran.code, ran.out) == (69, "1\n")
    assert f"zclient: {broker.address} is lost: waiting for it\n" in ran.err
    assert ran.err.endswith("; job 1 goes on: zclient result 1 --wait\n")


def test_the_live_line(run: Run, broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the status is one line that is rewritten, and gone when the result is printed."""
    monkeypatch.setattr("zjobs.client.cli.show.console._is_terminal", lambda stream: True)
    monkeypatch.setattr(wait, "LIVE_S", 0.01)

    def submitted(request: Any) -> Any:
        broker.add(1, ahead=3)
        return SubmitReply(broker.journal, 1, 1, True)

    def finished(request: Any) -> Any:
        reply = broker.answer(request)
        broker.add(1, COMPLETED, "x")
        return reply

    broker.script = [submitted, broker.answer, finished]
    ran = run("batch", "reverse", "x")
    assert (ran.code, ran.out) == (0, "1\nx\n")
    assert ran.err.startswith("\r1 queued, 3 ahead (0.0 s)\x1b[K")
    assert ran.err.endswith("\r\x1b[K1 completed\n")
