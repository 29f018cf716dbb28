"""The decorator, how data reaches a function, and the predefined tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from zjobs.messages.records import TaskType
from zjobs.messages.values import pack_value
from zjobs.worker import predefined, tasks
from zjobs.worker.caller import Caller


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tasks.Task]]:
    """An empty registry for each test."""
    empty: dict[str, tasks.Task] = {}
    monkeypatch.setattr(tasks, "REGISTRY", empty)
    yield empty


FAMILY = "\U0001f468‍\U0001f469‍\U0001f467"
FLAG = "\U0001f1e9\U0001f1ea"
E_ACUTE = "e\u0301"


@pytest.mark.parametrize(
    ("text", "backwards", "swapped", "repeated"),
    [
        ("example", "elpmaxe", "xemalpe", "exxaaammmmppppplllllleeeeeee"),
        ("cat", "tac", "act", "caattt"),
        ("primer", "remirp", "rpmire", "prriiimmmmeeeeerrrrrr"),
        ("kot", "tok", "okt", "koottt"),
        ("", "", "", ""),
        ("x", "x", "x", "x"),
        (f"a{E_ACUTE}z", f"z{E_ACUTE}a", f"{E_ACUTE}az", f"a{E_ACUTE}{E_ACUTE}zzz"),
        (f"a{FAMILY}", f"{FAMILY}a", f"{FAMILY}a", f"a{FAMILY}{FAMILY}"),
        (f"{FLAG}b", f"b{FLAG}", f"b{FLAG}", f"{FLAG}bb"),
        ("שלום", "םולש", "לשםו", "שללוווםםםם"),
    ],
)
def test_predefined(text: str, backwards: str, swapped: str, repeated: str) -> None:
    """The predefined tasks work on what a person sees as one character."""
    assert predefined.reverse(text) == backwards
    assert predefined.swap(text) == swapped
    assert predefined.repeat(text) == repeated


def test_predefined_types(registry: dict[str, tasks.Task]) -> None:
    """The three announce themselves with a description, one attempt and two reruns."""
    predefined.register_all(0)
    assert list(registry) == ["reverse", "swap", "repeat"]
    for task in registry.values():
        assert task.type.description and (task.type.max_attempts, task.type.max_reruns) == (1, 2)


def test_predefined_durations(monkeypatch: pytest.MonkeyPatch, registry: dict[str, tasks.Task]) -> None:
    """They last 2, 5 and 7 seconds times the scale."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    predefined.register_all(0.5)
    assert [registry[name].function("ab") for name in ("reverse", "swap", "repeat")] == ["ba", "ba", "abb"]
    assert slept == [1, 2.5, 3.5]


def test_bare_decorator(registry: dict[str, tasks.Task]) -> None:
    """@task alone takes name and description from the function, and leaves the function as it is."""

    @tasks.task
    def greet(name: str) -> str:
        """Says hello.

        At length.
        """
        return "hello " + name

    assert registry["greet"].type == TaskType("greet", "Says hello.", 1, 0)
    assert greet("you") == "hello you"


def test_decorator_with_options(registry: dict[str, tasks.Task]) -> None:
    """What @task(...) says goes before what the function says."""

    @tasks.task(name="other", description="D", max_attempts=3, max_reruns=4)
    def greet() -> None:
        """Says hello."""

    assert list(registry) == ["other"]
    assert registry["other"].type == TaskType("other", "D", 3, 4)


def test_durations(registry: dict[str, tasks.Task]) -> None:
    """Durations are seconds or text, and announced in milliseconds; without them the protocol's defaults hold."""
    tasks.register(lambda: None, "a", time_limit="5m", grace=0, retry_delay=0.25)
    tasks.register(lambda: None, "b", time_limit=1.5, grace="90s")
    tasks.register(lambda: None, "c")
    assert [task.type[4:7] for task in registry.values()] == [
        (300_000, 0, 250),
        (1500, 90_000, 1000),
        TaskType("c")[4:7],
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"time_limit": 0}, "time_limit must be a number of seconds, more than 0"),
        ({"time_limit": "soon"}, "time_limit: 'soon' is not a duration"),
        ({"time_limit": True}, "time_limit must be"),
        ({"time_limit": float("nan")}, "time_limit must be"),
        ({"grace": -1}, "grace must be a number of seconds, from 0"),
        ({"grace": None}, "grace must be"),
        ({"retry_delay": float("inf")}, "retry_delay must be"),
        ({"name": ""}, "1 to 128 characters"),
        ({"name": "x" * 129}, "1 to 128 characters"),
        ({"max_attempts": 0}, "max_attempts must be"),
        ({"max_attempts": True}, "max_attempts must be"),
        ({"max_reruns": -1}, "max_reruns must be"),
        ({"max_reruns": 2**63}, "max_reruns must be an integer from 0 to 9223372036854775807"),
        ({"max_attempts": 2**63}, "max_attempts must be an integer from 1 to"),
        ({"keeps_state": 1}, "keeps_state must be True or False, not 1"),
        ({"keeps_processes": None}, "keeps_processes must be True or False, not None"),
        ({"name": "command"}, "the name 'command' is that of the commands of zworker --commands"),
        ({"name": 5}, "the name of a task must be text, not 5"),
        ({"name": "a\ud800"}, r"task 'a\\ud800': name has a character that is no UTF-8: '\\ud800'"),
        ({"description": 5}, "description must be text, not 5"),
        ({"description": "\udfff"}, "description has a character that is no UTF-8"),
        ({"description": "x" * 2_000_000}, "description must be text of 0 to"),
        ({"grace": 1e30}, "grace must be a number of seconds, from 0, at most 3,162,240,000 .* not 1e.30"),
        ({"retry_delay": 10**400}, "retry_delay must be .* not 1000.*\\.\\.\\."),
        ({"time_limit": float("nan")}, "time_limit must be"),
    ],
)
def test_refused_options(options: dict[str, Any], sentence: str) -> None:
    """Options that make no sense are refused when the module is imported, with a sentence."""
    with pytest.raises(tasks.TaskError, match=sentence):
        tasks.register(lambda: None, **options)


def test_duplicates_refused() -> None:
    """Two tasks of one name are refused, and the sentence says where the first is."""
    tasks.register(lambda: None, "one")
    with pytest.raises(tasks.TaskError, match=r"already a task named 'one' \(.*test_tasks.py, line \d+\)"):
        tasks.register(lambda: None, "one")


def test_async_refused() -> None:
    """An async function would return a coroutine that nobody runs."""

    async def later() -> None: ...

    with pytest.raises(tasks.TaskError, match="async"):
        tasks.register(later)


def call(function: Any, *data: Any, context: tasks.Context | None = None) -> Any:
    caller = Caller(tasks.Task(TaskType("it"), function))
    return caller.run(caller.bound(pack_value(data[0]) if data else None, context))


def first(job: tasks.Context, a: int = 0) -> Any:
    return job, a


def last(a: int = 0, *, job: tasks.Context) -> Any:
    return job, a


def among_unreadable(a: int, job: tasks.Context, b: NoSuchName = None) -> Any:  # noqa: F821 - that is the point
    return job, a


@pytest.mark.parametrize("function", [first, last, among_unreadable])
def test_context_is_not_data(function: Any) -> None:
    """A parameter annotated Context gets the context wherever it stands, and data fills the others."""
    context = tasks.Context(17, 2)
    assert call(function, 5, context=context) == (context, 5)
    assert call(function, {"a": 6}, context=context) == (context, 6)
    with pytest.raises(tasks.BadData, match="job"):
        call(function, {"a": 6, "job": 1}, context=context)


def test_context_without_data() -> None:
    """A task that takes nothing but its context is called without data, and may be called without a context."""
    assert call(lambda: 1) == 1
    assert call(first)[0].attempt == 1


def test_context_cannot_be_smuggled() -> None:
    """Not even through **rest does data replace the context."""

    def it(job: Any, **rest: Any) -> Any: ...

    it.__annotations__["job"] = tasks.Context
    with pytest.raises(tasks.BadData, match="the job's context"):
        call(it, {"job": 1})


def test_two_contexts_refused() -> None:
    """One would be the other, so somebody means something else."""

    def it(a: Any, b: Any) -> None: ...

    it.__annotations__ |= {"a": tasks.Context, "b": tasks.Context}
    with pytest.raises(tasks.TaskError, match="more than one Context: a, b"):
        call(it)


def test_progress() -> None:
    """What is not given stays; a fraction is cut to 0 … 1; what is no number or no text is refused."""
    told: list[Any] = []
    context = tasks.Context(1, 1, lambda *what: told.append(what))
    context.progress(0.5, "half")
    context.progress(note="still")
    context.progress(1.0000001)
    context.progress(-1)
    assert told == [(0.5, "half"), (0.5, "still"), (1.0, "still"), (0.0, "still")]
    for wrong in (float("nan"), "0.5"):
        with pytest.raises((ValueError, TypeError)):
            context.progress(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="note"):
        context.progress(note=5)  # type: ignore[arg-type]
    assert len(told) == 4


def test_cancelled_is_no_exception() -> None:
    """`except Exception` in a task lets it through."""
    assert issubclass(tasks.Cancelled, BaseException) and not issubclass(tasks.Cancelled, Exception)


def test_repeat_is_bounded() -> None:
    """A text whose result would fill the machine is refused before anything of it is made."""
    assert len(predefined.repeat("x" * 11_000)) == 11_000 * 11_001 // 2
    with pytest.raises(ValueError, match="500,000,500,000 bytes, more than the limit"):
        predefined.repeat("x" * 1_000_000)


def test_no_data_calls_without_arguments() -> None:
    """No data is not the same as an empty text, nor as a nil that somebody packed."""

    def it(*arguments: Any) -> Any:
        return arguments

    assert call(it) == ()
    assert call(it, "") == ("",)
    assert call(it, None) == (None,)


def test_map_becomes_keywords() -> None:
    """A map fills the parameters by name, defaults included."""

    def it(a: int, b: str = "b", **rest: Any) -> Any:
        return a, b, rest

    assert call(it, {"a": 1}) == (1, "b", {})
    assert call(it, {"a": 1, "b": "x", "c": 2}) == (1, "x", {"c": 2})


def test_anything_else_is_the_one_argument() -> None:
    """A list is not spread over the parameters."""

    def it(a: Any) -> Any:
        return a

    for value in (1, "x", [1, 2], b"b", 1.5, False):
        assert call(it, value) == value


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("str", ["x"], [1, b"x"]),
        ("int", [1], [True, 1.0, "1"]),
        ("float", [1.5, 1], [True, "1"]),
        ("bool", [True], [1]),
        ("list", [[1]], ["x"]),
        ("bytes", [b"x"], ["x"]),
    ],
)
def test_simple_annotations_are_checked(annotation: str, good: list[Any], bad: list[Any]) -> None:
    """A parameter annotated with a plain type takes that type alone, or the job fails without running."""
    ran: list[Any] = []
    function: Any = ran.append

    def it(a: Any) -> None:
        function(a)

    it.__annotations__["a"] = annotation
    for value in good:
        call(it, value)
    assert ran == good
    for value in bad:
        with pytest.raises(tasks.BadData, match=r"^it: a must be [a-z ]+, not"):
            call(it, value)
    assert ran == good


@pytest.mark.parametrize("annotation", ["NoSuchName", "list[NoSuchName]", "object", "'str | None'", "1"])
def test_other_annotations_are_not(annotation: str) -> None:
    """What nobody can describe, or cannot be read, stops nobody."""

    def it(a: Any) -> Any:
        return a

    it.__annotations__["a"] = annotation
    assert call(it, {"a": b"anything"}) == b"anything"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((), "^it: a is missing"),
        (({},), "^it: a is missing"),
        (({"b": 1},), "^it: there is no parameter b; there is a$"),
        (({"a": 1, "b": 1},), "^it: there is no parameter b; there is a$"),
        (({1: 1},), "text keys"),
    ],
)
def test_data_that_does_not_fit(data: tuple[Any, ...], sentence: str) -> None:
    """Data that the signature cannot take is bad_data, with a sentence that says why."""

    def it(a: Any) -> Any:
        return a

    with pytest.raises(tasks.BadData, match=sentence):
        call(it, *data)


def test_data_that_is_no_value() -> None:
    """Bytes that are not one msgpack value are bad_data as well."""
    caller = Caller(tasks.Task(TaskType("it"), lambda a: a))
    with pytest.raises(tasks.BadData, match="msgpack"):
        caller.bound(b"\xc1")
