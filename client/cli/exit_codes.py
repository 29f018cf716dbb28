"""The exit codes of zclient; every --help lists them."""

from __future__ import annotations

from zjobs.client import errors
from zjobs.client.errors import ZjobsError

DONE = 0
JOB_FAILED = 1
USAGE = 2
NO_SUCH_JOB = 3
NOT_FINISHED = 4
REFUSED = 5
OTHER_JOURNAL = 6
UNREACHABLE = 69
NO_OUTPUT = 74
INTERRUPTED = 130
# What a shell shows for a program that SIGPIPE ended: `zclient ... | head` took what it wanted.
BROKEN_PIPE = 141

_CODES: dict[type[ZjobsError], int] = {
    errors.JobFailed: JOB_FAILED,
    errors.JobCancelled: JOB_FAILED,
    errors.BadRequest: USAGE,
    errors.BadAddress: USAGE,
    errors.BadKeyFile: USAGE,
    errors.NotFound: NO_SUCH_JOB,
    errors.Expired: NO_SUCH_JOB,
    errors.BrokerChanged: OTHER_JOURNAL,
    errors.NotFinished: NOT_FINISHED,
    errors.WaitTimeout: NOT_FINISHED,
    errors.StillRunning: NOT_FINISHED,
    errors.BrokerUnreachable: UNREACHABLE,
    errors.BadReply: UNREACHABLE,
}


def code_of(error: ZjobsError) -> int:
    """The exit code for an error; the broker's other refusals share one."""
    return _CODES.get(type(error), REFUSED)
