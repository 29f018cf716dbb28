"""The exit codes of zclient, which its help lists."""

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
# What a shell shows for a program ended by SIGPIPE: in `zclient ... | head`, head has read enough.
BROKEN_PIPE = 141

MEANINGS = {
    DONE: "done",
    JOB_FAILED: "a job failed or was cancelled (result, batch, wait)",
    USAGE: "wrong usage",
    NO_SUCH_JOB: "there is no such job, or it was deleted",
    NOT_FINISHED: "not finished yet",
    REFUSED: "refused: unknown type, too large, queue full, key conflict, not permitted, the journal cannot be"
    " written, a job has started already (hold, release, edit), or this is not the broker that the key file names",
    OTHER_JOURNAL: "the broker runs on another journal now; ids from before mean nothing there",
    UNREACHABLE: "the broker cannot be reached in time",
    NO_OUTPUT: "the output cannot be written",
    INTERRUPTED: "interrupted",
}

_CODES: dict[type[ZjobsError], int] = {
    errors.JobFailed: JOB_FAILED,
    errors.JobCancelled: JOB_FAILED,
    errors.BadRequest: USAGE,
    errors.BadAddress: USAGE,
    errors.BadConfig: USAGE,
    errors.BadKeyFile: USAGE,
    errors.BadData: USAGE,
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
    """Return the exit code for an error; the broker's other refusals share one."""
    return _CODES.get(type(error), REFUSED)
