"""Data is checked before it is sent, by the schema that the type's worker has announced, in both libraries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from zjobs.client import AsyncClient, BadData, Client, SchemaChanged
from zjobs.client.cli.schema.files import SchemaFiles
from zjobs.client.protocol.schemas import Schemas
from zjobs.messages import values
from zjobs.messages.requests.changes import CheckedBy, Submit
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import Schema, SchemaReply
from zjobs.messages.states import ErrorCode

COUNT = {"properties": {"count": {"type": "integer"}}, "required": ["count"], "additionalProperties": False}
OTHER = {"properties": {"count": {"type": "string"}}, "required": ["count"], "additionalProperties": False}

EITHER = {"properties": {"count": {"type": ["string", "integer"]}}}


def test_bad_data_is_not_sent(broker: Any, client: Client) -> None:
    """The sentence names the type, the field and what it must be. What is taken needs no further question."""
    broker.schemas["measure"] = COUNT
    for data in ("3", {"count": "3"}):
        with pytest.raises(BadData) as caught:
            client.submit("measure", data)
        assert str(caught.value) == "measure: count must be an integer, not '3'"
    with pytest.raises(BadData, match="count is missing"):
        client.submit("measure")
    assert broker.asked(Submit) == []
    asked = len(broker.asked(Schema))
    assert client.submit("measure", 3).id == 1
    assert broker.asked(Submit)[0].schemas == (CheckedBy("measure", broker.digest("measure")),)
    assert client.submit("measure", 3).id == 2
    assert len(broker.asked(Schema)) == asked


def test_of_many_those_before_the_mistake_are_sent(broker: Any, client: Client) -> None:
    """As with whatever else is wrong with one of them."""
    broker.schemas["measure"] = COUNT
    with pytest.raises(BadData):
        client.submit_many("measure", [1, 2, "3"])
    assert len(broker.jobs) == 2


def test_check_without_submitting(broker: Any, client: Client) -> None:
    """Whether there was something to check by is told."""
    broker.schemas["measure"] = COUNT
    assert client.check("measure", {"count": 3}) is True
    with pytest.raises(BadData, match=r"^measure: there is no parameter size; there is count$"):
        client.check("measure", {"size": 3})
    assert client.check("reverse", 17) is False
    assert client.schema("measure") == COUNT and client.schema("reverse") is None


def test_the_other_library(broker: Any) -> None:
    """Checks the same."""
    broker.schemas["measure"] = COUNT

    async def go() -> None:
        async with AsyncClient(broker.address) as client:
            with pytest.raises(BadData, match="count must be an integer"):
                await client.submit("measure", "3")
            assert await client.check("measure", 3) and await client.schema("measure") == COUNT
            await client.submit_many("measure", [1, 2])

    asyncio.run(go())
    assert len(broker.jobs) == 2


def test_a_schema_that_changes(broker: Any, client: Client) -> None:
    """The broker says so, and the client checks anew by the one that holds, and sends again under the same key."""
    broker.schemas["measure"] = COUNT
    client.submit("measure", 3)
    broker.schemas["measure"] = OTHER
    with pytest.raises(BadData, match="count must be text, not 4"):
        client.submit("measure", 4)
    assert client.submit("measure", "4").id == 2
    broker.schemas["measure"] = EITHER
    assert len(client.submit_many("measure", ["5", "6"], request_key="k")) == 2
    assert [request.request_key for request in broker.asked(Submit)[-2:]] == ["k", "k"]
    del broker.schemas["measure"]
    client.submit("measure", "anything")
    assert broker.asked(Submit)[-1].schemas == ()


def test_a_schema_that_changes_all_the_time(broker: Any, client: Client) -> None:
    """A worker that is restarted with other tasks again and again keeps nobody busy without end."""
    broker.schemas["measure"] = COUNT
    broker.script = [lambda _: Error(ErrorCode.SCHEMA_CHANGED, "changed")] * 9
    with pytest.raises(SchemaChanged):
        client.submit("measure", 3)
    assert len(broker.asked(Submit)) == 3


@pytest.mark.parametrize(
    "reply",
    [
        lambda broker: Error(ErrorCode.UNKNOWN_OP, "an older broker"),
        lambda broker: Error(ErrorCode.UNKNOWN_TYPE, "no such type"),
        lambda broker: SchemaReply(broker.journal, None, None),
        lambda broker: SchemaReply(broker.journal, "0011", None),
        lambda broker: SchemaReply(broker.journal, "0011", b"{"),
        lambda broker: SchemaReply(broker.journal, "0011", b"[1]"),
    ],
)
def test_without_a_schema(broker: Any, client: Client, reply: Any) -> None:
    """Whatever the reason, the data is sent as it is, and the worker is the judge."""
    broker._schema = lambda _: reply(broker)
    client.submit("measure", {"any": "thing"})
    (request,) = broker.asked(Submit)
    assert values.unpack_value(request.jobs[0].data) == {"any": "thing"} and request.schemas == ()


def test_what_no_worker_has_announced_yet_is_asked_for_again(broker: Any, client: Client) -> None:
    """As soon as one has, its schema counts."""
    broker._schema = lambda _: SchemaReply(broker.journal, None, None)
    client.submit("measure", "3")
    del broker._schema
    broker.schemas["measure"] = COUNT
    with pytest.raises(BadData):
        client.submit("measure", "3")


def test_schemas_that_zclient_keeps(
    broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The next one asks nobody, until the broker says that the schema has changed; a damaged file is none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broker.schemas["measure"] = COUNT

    def submit(data: Any) -> None:
        client.schemas = Schemas(SchemaFiles(client.address))
        client.submit("measure", data)

    submit(3)
    submit(3)
    assert len(broker.asked(Schema)) == 1
    broker.schemas["measure"] = OTHER
    submit("3")
    submit("3")
    assert len(broker.asked(Schema)) == 2
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xc1")
    submit("3")
    assert len(broker.asked(Schema)) == 3
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    submit("3")
    assert len(broker.asked(Schema)) == 4
