"""The operations: one entry for each request that a client may send.

The entries determine which requests and replies exist, who may send them, what is committed before the reply, what that
costs, and the table in docs/protocol.md. The broker carries out an operation with the methods of its name: one of
`broker.core.core.Core` for its changes, one of `broker.requests.queries.Queries` for its reply.
"""

from enum import Enum
from typing import Any, Union

from zjobs.messages.fields import OP_OF, ShortText, Text, called
from zjobs.messages.named import NamedTuple
from zjobs.messages.requests import changes, queries
from zjobs.messages.states import ErrorCode, Role
from zjobs.messages.units import JobId


class Error(NamedTuple):
    """The reply to a request that was not carried out. `message` is a sentence for people."""

    code: ErrorCode
    message: Text
    journal: ShortText = ""


class Changes(str, Enum):
    """The changes that an operation makes, in words for people. ALL_OR_NONE: one commit, and the core replies.
    JOB_BY_JOB: a few hundred jobs to a commit, and the reply is made after the last one."""

    NOTHING = "no"
    ALL_OR_NONE = "yes, all or none"
    JOB_BY_JOB = "yes, job by job"


class Operation(NamedTuple):
    """An operation. `role`: the least privileged role that may use it. `ids`: the request's field that names jobs; see
    `own_only`. `weight`: the list whose items each cost as much as a change of one job."""

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
        return self.role.and_above

    @property
    def own_only(self) -> tuple[Role, ...]:
        """The roles that may name only their own jobs. With others' jobs, a member may do what a viewer may."""
        if not self.ids:
            return ()
        narrow = (Role.SUBMITTER,) if self.role is Role.VIEWER else (Role.SUBMITTER, Role.MEMBER)
        return tuple(role for role in self.roles if role in narrow)

    def ids_in(self, request: Any) -> tuple[JobId, ...]:
        """Return the ids that a request names."""
        named = getattr(request, self.ids) if self.ids else ()
        return named if type(named) is tuple else (named,)

    def weight_of(self, request: Any) -> int:
        """Return the cost of a request's changes, in changes of one job."""
        return len(getattr(request, self.weight)) if self.weight else 0


OPERATIONS = (
    Operation("hello", queries.Hello, queries.HelloReply, Role.VIEWER),
    Operation("submit", changes.Submit, changes.SubmitReply, Role.SUBMITTER, Changes.ALL_OR_NONE, weight="jobs"),
    Operation("status", queries.Status, queries.StatusReply, Role.VIEWER, ids="ids"),
    Operation("queue", queries.Queue, queries.QueueReply, Role.VIEWER),
    Operation("result", queries.Result, queries.ResultReply, Role.SUBMITTER, ids="id"),
    Operation("data", queries.Data, queries.DataReply, Role.SUBMITTER, ids="id"),
    Operation("wait", queries.Wait, queries.WaitReply, Role.VIEWER, ids="ids"),
    Operation("show", queries.Show, queries.ShowReply, Role.VIEWER, ids="id"),
    Operation(
        "cancel", changes.Cancel, changes.CancelReply, Role.SUBMITTER, Changes.JOB_BY_JOB, ids="ids", weight="ids"
    ),
    Operation("edit", changes.Edit, changes.EditReply, Role.SUBMITTER, Changes.JOB_BY_JOB, ids="ids", weight="ids"),
    Operation("retry", changes.Retry, changes.RetryReply, Role.SUBMITTER, Changes.ALL_OR_NONE, ids="ids", weight="ids"),
    Operation("pause", changes.Pause, changes.PauseReply, Role.MEMBER, Changes.ALL_OR_NONE),
    Operation("resume", changes.Resume, changes.ResumeReply, Role.MEMBER, Changes.ALL_OR_NONE),
    Operation("log", queries.Log, queries.LogReply, Role.SUBMITTER, ids="id"),
    Operation("list", queries.List, queries.ListReply, Role.VIEWER),
    Operation(
        "forget", changes.Forget, changes.ForgetReply, Role.SUBMITTER, Changes.JOB_BY_JOB, ids="ids", weight="ids"
    ),
    Operation("types", queries.Types, queries.TypesReply, Role.VIEWER),
    Operation("schema", queries.Schema, queries.SchemaReply, Role.VIEWER),
    Operation("info", queries.Info, queries.InfoReply, Role.VIEWER),
    Operation("audit", queries.Audit, queries.AuditReply, Role.SUBMITTER),
    Operation("backup", queries.Backup, queries.BackupReply, Role.OPERATOR),
)

OPERATION_OF: dict[type, Operation] = {operation.request: operation for operation in OPERATIONS}
REQUESTS = called(OP_OF, {operation.name: operation.request for operation in OPERATIONS})
REPLIES = called(OP_OF, {operation.name: operation.reply for operation in OPERATIONS} | {"error": Error})

Request = Union[
    queries.Hello,
    changes.Submit,
    queries.Status,
    queries.Queue,
    queries.Result,
    queries.Data,
    queries.Wait,
    queries.Show,
    changes.Cancel,
    changes.Edit,
    changes.Retry,
    changes.Pause,
    changes.Resume,
    queries.Log,
    queries.List,
    changes.Forget,
    queries.Types,
    queries.Schema,
    queries.Info,
    queries.Audit,
    queries.Backup,
]

Reply = Union[
    queries.HelloReply,
    changes.SubmitReply,
    queries.StatusReply,
    queries.QueueReply,
    queries.ResultReply,
    queries.DataReply,
    queries.WaitReply,
    queries.ShowReply,
    changes.CancelReply,
    changes.EditReply,
    changes.RetryReply,
    changes.PauseReply,
    changes.ResumeReply,
    queries.LogReply,
    queries.ListReply,
    changes.ForgetReply,
    queries.TypesReply,
    queries.SchemaReply,
    queries.InfoReply,
    queries.AuditReply,
    queries.BackupReply,
    Error,
]
