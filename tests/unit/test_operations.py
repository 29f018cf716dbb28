"""Each operation has one entry, in messages/requests/ops.py; what carries it out has its name, everywhere."""

from __future__ import annotations

import inspect
import typing

import pytest

from zjobs.broker.core.core import Core
from zjobs.broker.requests.queries import Queries
from zjobs.messages.requests.ops import OPERATIONS, REPLIES, REQUESTS, Changes, Error, Operation, Reply, Request
from zjobs.messages.states import Role

CHANGE = ["self", "request", "reply_to", "now", "who"]


def changed_by_core() -> set[str]:
    """The methods of the core that carry out a request."""
    methods = inspect.getmembers(Core, inspect.isfunction)
    return {name for name, method in methods if list(inspect.signature(method).parameters) == CHANGE} - {"change"}


def answered_by_queries() -> set[str]:
    """The methods that answer a request, and `backup`, which the service lends them."""
    methods = inspect.getmembers(Queries, inspect.isfunction)
    handlers = {name for name, method in methods if list(inspect.signature(method).parameters) == ["self", "request"]}
    return {name for name in handlers | {"backup"} if not name.startswith("_")} - {"answer"}


def test_each_operation_has_a_handler_and_each_handler_an_operation() -> None:
    """By its name: in the core, if it changes something, in the queries, if something is read for the answer."""
    assert changed_by_core() == {each.name for each in OPERATIONS if each.changes is not Changes.NOTHING}
    assert answered_by_queries() == {each.name for each in OPERATIONS if each.changes is not Changes.ALL_OR_NONE}
    assert "backup" in Queries._fields


def test_what_may_come_is_what_there_is_an_entry_for() -> None:
    """The types of requests and replies are those of the entries, and each name stands once."""
    assert set(typing.get_args(Request)) == set(REQUESTS.values())
    assert set(typing.get_args(Reply)) == set(REPLIES.values()) and REPLIES["error"] is Error
    assert len(REQUESTS) == len(set(REQUESTS.values())) == len(set(REPLIES.values())) - 1 == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_entry_names_fields_that_its_request_has(operation: Operation) -> None:
    """And all that name jobs: a field of ids that no entry names would be open to everybody."""
    fields = operation.request._fields
    assert {"id", "ids"} & set(fields) == ({operation.ids} if operation.ids else set())
    assert operation.weight in ("", *fields)
    assert not operation.weight or operation.changes is not Changes.NOTHING
    assert operation.changes is not Changes.JOB_BY_JOB or operation.ids == "ids"


def test_roles_are_in_order() -> None:
    """Who may more comes later, and may all that one before may: `Operation.roles` rests on it."""
    assert list(Role) == [Role.VIEWER, Role.SUBMITTER, Role.MEMBER, Role.OPERATOR]
    assert [len(each.roles) for each in OPERATIONS if each.name in ("list", "submit", "pause")] == [3, 2, 4]
