"""What a task process says about the end of a job, as the broker will take it.

A task can reach into its process, so what that says may be anything. An end that the broker refused would come again
for ever, and stop the queue.
"""

from __future__ import annotations

from typing import Any

from zjobs.messages import codec
from zjobs.messages.dispatch import Ended
from zjobs.messages.fields import MAX_DURATION_MS, MAX_ID
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, JobId, Us

LONGEST_US = MAX_DURATION_MS * 1000
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_NOTHING_ELSE = (None, "", "")  # no reason, message, detail


def read(
    id: JobId,
    delivery: DeliveryNumber,
    outcome: str,
    elapsed_us: Us,
    result: bytes | None,
    reason: Any,
    message: str,
    detail: str,
    killed: Any,
    left: str,
) -> Ended:
    """The end of job `id` that the fields of a packet tell of. Raises TypeError, ValueError or KeyError for no end."""
    killed = killed if type(killed) is int and 0 < killed <= MAX_ID else 0
    why = reason and FailReason(reason)
    end = (delivery, _OUTCOMES[outcome], elapsed_us, result, why, message, detail)
    return Ended(*end, id=id, killed=killed, left_behind=left)


def mended(ended: Ended) -> Ended:
    """The end as it is, or, when it cannot be kept, one that says so."""
    elapsed_us = ended.elapsed_us
    if type(elapsed_us) is not int or not 0 <= elapsed_us <= LONGEST_US:
        elapsed_us = Us(min(max(0, elapsed_us), LONGEST_US) if type(elapsed_us) is int else 0)
        ended = ended._replace(elapsed_us=elapsed_us)
    if (
        type(ended.delivery) is int
        and type(ended.result) is bytes
        and ended[4:7] == _NOTHING_ELSE
        and not ended.left_behind
    ):
        return ended  # most are like this: to look closer would cost as much as all the rest here
    mistake = codec.refusal(ended)
    if mistake is None:
        return ended
    message = f"the task process told of an end that cannot be kept: {mistake}"
    return Ended(
        DeliveryNumber(int(ended.delivery)),
        Outcome.FAILED,
        elapsed_us,
        reason=FailReason.BAD_RESULT,
        message=message,
        id=ended.id,
        killed=ended.killed,
    )
