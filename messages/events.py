"""Events: the messages that the broker publishes to watchers, and their topics."""

from zjobs.messages.fields import MAX_ID, OP_OF, Number, ShortText, called
from zjobs.messages.named import NamedTuple
from zjobs.messages.records import JobStatus, Paused, QueuePause
from zjobs.messages.states import WorkerState
from zjobs.messages.units import JobId


class Listening(NamedTuple):
    """`listening`: answers a subscription to all jobs. Every change after `change` follows."""

    journal: ShortText
    change: Number
    worker: WorkerState = WorkerState.READY
    paused: Paused | None = None
    pauses: tuple[QueuePause, ...] = ()


class ServiceEvent(NamedTuple):
    """`service`: the worker's state or a pause has changed. For watchers of all jobs."""

    journal: ShortText
    worker: WorkerState
    paused: Paused | None
    pauses: tuple[QueuePause, ...] = ()


class JobEvent(NamedTuple):
    """`job`: a change of a job. `change` counts the journaled changes of all jobs; None if this one is not
    journaled."""

    journal: ShortText
    job: JobStatus
    change: Number | None
    worker: WorkerState
    paused: bool = False


EVENTS = called(OP_OF, {"job": JobEvent, "listening": Listening, "service": ServiceEvent})

ALL_JOBS_TOPIC = b"jobs."


def job_topic(job_id: int) -> bytes:
    """Return the topic to subscribe to for one job. The final dot distinguishes job 1 from job 17."""
    return b"job.%d." % job_id


def subscription_of(topic: bytes) -> bytes:
    """Return the subscription that an event with this topic answers: the broker adds to some."""
    return ALL_JOBS_TOPIC if topic.startswith(ALL_JOBS_TOPIC) else b".".join(topic.split(b".", 2)[:2]) + b"."


def watched_job(topic: bytes) -> JobId | None:
    """Return the id in a topic that `job_topic` could have made, else None."""
    word, _, rest = topic.partition(b".")
    digits = rest[:-1]
    if word != b"job" or rest[-1:] != b"." or not digits.isdigit() or len(digits) > 19 or digits[:1] == b"0":
        return None
    return job_id if (job_id := JobId(int(digits))) <= MAX_ID else None
