"""Events: what the broker publishes to those who watch, and the topics to watch."""

from typing import NamedTuple

from zjobs.messages.fields import MAX_ID, OP_OF, Number, ShortText, called
from zjobs.messages.records import JobStatus, Paused, QueuePause
from zjobs.messages.states import WorkerState
from zjobs.messages.units import JobId


class Listening(NamedTuple):
    """`listening`: answers a subscription to all jobs; from now on, every change after `change` is told."""

    journal: ShortText
    change: Number
    worker: WorkerState = WorkerState.READY
    paused: Paused | None = None
    pauses: tuple[QueuePause, ...] = ()


class ServiceEvent(NamedTuple):
    """`service`: the worker's state or a pause has changed. For listeners to all jobs."""

    journal: ShortText
    worker: WorkerState
    paused: Paused | None
    pauses: tuple[QueuePause, ...] = ()


class JobEvent(NamedTuple):
    """What became of a job. `change` counts journaled changes of all jobs; None on what is not journaled."""

    journal: ShortText
    job: JobStatus
    change: Number | None
    worker: WorkerState
    paused: bool = False


EVENTS = called(OP_OF, {"job": JobEvent, "listening": Listening, "service": ServiceEvent})

ALL_JOBS_TOPIC = b"jobs."


def job_topic(job_id: int) -> bytes:
    """The topic to subscribe to for one job; the final dot keeps job 1 apart from job 17."""
    return b"job.%d." % job_id


def watched_job(topic: bytes) -> JobId | None:
    """The id in a topic that `job_topic` could have made, else None."""
    word, _, rest = topic.partition(b".")
    digits = rest[:-1]
    if word != b"job" or rest[-1:] != b"." or not digits.isdigit() or len(digits) > 19 or digits[:1] == b"0":
        return None
    return job_id if (job_id := JobId(int(digits))) <= MAX_ID else None
