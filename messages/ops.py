"""The operations: one entry for each request that a client may send.

The entries determine which requests and replies exist, who may send them, what is committed before the reply, what that
costs, and the table in docs/protocol.md. The broker carries out an operation with the methods of its name: one of
`broker.core.core.Core` for its changes, one of `broker.requests.queries.Queries` for its reply.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from zjobs.messages.requests import (
    Backup,
    BackupReply,
    Cancel,
    CancelReply,
    Error,
    Forget,
    ForgetReply,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    List,
    ListReply,
    Log,
    LogReply,
    Pause,
    PauseReply,
    Queue,
    QueueReply,
    Result,
    ResultReply,
    Resume,
    ResumeReply,
    Retry,
    RetryReply,
    Schema,
    SchemaReply,
    Show,
    ShowReply,
    Status,
    StatusReply,
    Submit,
    SubmitReply,
    Types,
    TypesReply,
    Wait,
    WaitReply,
)
from zjobs.messages.states import Role


class Changes(str, Enum):
    """What an operation changes, in words for people. ALL_OR_NONE: one commit, and the core replies. JOB_BY_JOB: a few
    hundred jobs to a commit, and the reply is made after the last."""

    NOTHING = "no"
    ALL_OR_NONE = "yes, all or none"
    JOB_BY_JOB = "yes, job by job"


class Operation(NamedTuple):
    """An operation. `role`: the least privileged one that may use it. `ids`: the request's field that names jobs; a
    submitter may name its own only. `weight`: the list whose items each cost as much as a change of one job."""

    name: str
    request: Any
    reply: Any
    role: Role
    changes: Changes = Changes.NOTHING
    ids: str = ""
    weight: str = ""

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that may use it."""
        roles = tuple(Role)
        return roles[roles.index(self.role) :]

    def ids_in(self, request: Any) -> tuple[int, ...]:
        """Return the ids that a request names."""
        named = getattr(request, self.ids) if self.ids else ()
        return named if type(named) is tuple else (named,)

    def weight_of(self, request: Any) -> int:
        """Return the cost of a request's changes, in changes of one job."""
        return len(getattr(request, self.weight)) if self.weight else 0


OPERATIONS = (
    Operation("hello", Hello, HelloReply, Role.VIEWER),
    Operation("submit", Submit, SubmitReply, Role.SUBMITTER, Changes.ALL_OR_NONE, weight="jobs"),
    Operation("status", Status, StatusReply, Role.VIEWER, ids="ids"),
    Operation("queue", Queue, QueueReply, Role.VIEWER),
    Operation("result", Result, ResultReply, Role.SUBMITTER, ids="id"),
    Operation("wait", Wait, WaitReply, Role.VIEWER, ids="ids"),
    Operation("show", Show, ShowReply, Role.VIEWER, ids="id"),
    Operation("cancel", Cancel, CancelReply, Role.SUBMITTER, Changes.JOB_BY_JOB, ids="ids", weight="ids"),
    Operation("retry", Retry, RetryReply, Role.SUBMITTER, Changes.ALL_OR_NONE, ids="ids", weight="ids"),
    Operation("pause", Pause, PauseReply, Role.OPERATOR, Changes.ALL_OR_NONE),
    Operation("resume", Resume, ResumeReply, Role.OPERATOR, Changes.ALL_OR_NONE),
    Operation("log", Log, LogReply, Role.SUBMITTER, ids="id"),
    Operation("list", List, ListReply, Role.VIEWER),
    Operation("forget", Forget, ForgetReply, Role.SUBMITTER, Changes.JOB_BY_JOB, ids="ids", weight="ids"),
    Operation("types", Types, TypesReply, Role.VIEWER),
    Operation("schema", Schema, SchemaReply, Role.VIEWER),
    Operation("info", Info, InfoReply, Role.VIEWER),
    Operation("backup", Backup, BackupReply, Role.OPERATOR),
)

OPERATION_OF: dict[type, Operation] = {operation.request: operation for operation in OPERATIONS}
REQUESTS: dict[str, Any] = {operation.name: operation.request for operation in OPERATIONS}
REPLIES: dict[str, Any] = {operation.name: operation.reply for operation in OPERATIONS} | {"error": Error}
