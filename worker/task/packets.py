"""Packets between the worker and its task process: one for each message, a msgpack array.

worker -> task process   [packet, after, n, type, data or nil, result_bytes, id, attempt] (packet: its own number, never
                         used again; after: that of the packet before it, 0 when all those have ended)
task process -> worker   first ["types", [[name, description, ...], ...], token, [schema, ...]] (see `TaskType`,
                         `capture`; a schema for each type, empty: none) or
                         ["error", sentence], then for each job [marked, n, outcome, elapsed_us, result, reason,
                         message, detail, killed,
                         left behind, exit_code] (see `Ended`; marked: a mark stands behind its output) or
                         ["skipped", packet], which did not run, because the one before it had not

A message that does not fit a packet travels as the descriptor of a nameless file: nothing to clean up after a crash.
"""

from __future__ import annotations

import array
import os
import signal
import socket
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgpack

from zjobs.messages import codec
from zjobs.messages.dispatch import Ended
from zjobs.messages.fields import DIGEST_CHARS, MAX_DURATION_MS, MAX_ID, MAX_SCHEMA_BYTES
from zjobs.messages.records import TaskType
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, JobId, Us
from zjobs.worker.task import platform

# Eight of these fit into the default buffer of a Linux socket, so no packet is too large to be sent.
PACKET_BYTES = 16 * 1024

EXIT_LEFTOVERS = 71  # the code of a task process that cannot end what its job has left running
# The task process ends because of what its last job, whose end it has reported, left behind.
EXIT_REPLACED = 72

_IN_FILE = b"\xc0"  # a packed nil: "see the descriptor"
LONGEST_US = MAX_DURATION_MS * 1000
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_NOTHING_ELSE = (None, "", "")  # no reason, message, detail
_DESCRIPTOR_SPACE = socket.CMSG_SPACE(array.array("i", [0]).itemsize)


# Created once: creating a packer takes longer than using it.
_pack = msgpack.Packer().pack


def described_exit(code: int) -> str:
    """Say how a task process ended, from its exit code. A negative one is the number of a signal, negated."""
    if code == EXIT_LEFTOVERS:
        return "the task process ended, because something that its job had started cannot be killed"
    if code == EXIT_REPLACED:
        return "the task process is replaced, because of what its last job left behind"
    if code >= 0:
        return f"the task process exited with code {code}"
    try:
        return f"the task process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the task process was killed by signal {-code}"


class Garbled(Exception):
    """A packet that this module did not send: a task has written to descriptors that are not its own."""


def send(sock: socket.socket, message: Sequence[Any], flags: int = 0) -> None:
    """Send one message. Raises OSError; BlockingIOError with platform.DONT_WAIT if there is no room."""
    body = _pack(message)
    if len(body) <= PACKET_BYTES:
        sock.send(body, flags)
        return
    with platform.nameless_file() as file:
        file.write(body)
        file.flush()
        socket.send_fds(sock, [_IN_FILE], [file.fileno()], flags)


def receive(sock: socket.socket, flags: int = 0) -> list[Any] | None:
    """Return the next message, None at the end. Raises Garbled, OSError; BlockingIOError if nothing waits."""
    body, ancillary, _, _ = sock.recvmsg(PACKET_BYTES, _DESCRIPTOR_SPACE, flags | platform.RECEIVE_FLAGS)
    if ancillary:
        body = _from_file(ancillary)
    elif not body:
        return None
    try:
        message = msgpack.unpackb(body)
    except Exception as error:  # unpackb raises whatever its input leads it to
        raise Garbled(f"not a packet: {error or type(error).__name__}") from None
    if type(message) is not list:
        raise Garbled("not a packet: no list")
    return message


def _from_file(ancillary: list[tuple[int, int, bytes]]) -> bytes:
    (descriptor,) = array.array("i", ancillary[0][2])
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


# --- the end of a job ------------------------------------------------------------------------------------------
# A task can reach into its process, so a packet may contain anything. An end that the broker refuses would be repeated
# for ever, and stop the queue.


def read_types(types: Any, schemas: Sequence[bytes]) -> tuple[tuple[TaskType, ...], dict[str, bytes]]:
    """Return the types of an announcement, and their schemas by digest, without those too large to be kept. Raises
    TypeError or ValueError if it is not one."""
    kept = [schema if len(schema) <= MAX_SCHEMA_BYTES else b"" for schema in schemas]
    digests = [sha256(schema).hexdigest()[:DIGEST_CHARS] if schema else "" for schema in kept]
    read = tuple(TaskType(*fields)._replace(schema_digest=digest) for fields, digest in zip(types, digests))
    if any(map(codec.refusal, read)):
        raise ValueError("no task types")
    return read, {digest: schema for digest, schema in zip(digests, kept) if digest}


def read_end(
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
    exit_code: Any,
) -> Ended:
    """Return the end of job `id` from the fields of a packet. Raises TypeError, ValueError or KeyError if they are not
    one."""
    killed = killed if type(killed) is int and 0 < killed <= MAX_ID else 0
    why = reason and FailReason(reason)
    end = (delivery, _OUTCOMES[outcome], elapsed_us, result, why, message, detail)
    return Ended(*end, id=id, killed=killed, left_behind=left, exit_code=exit_code)


def mended(ended: Ended) -> Ended:
    """Return the end as it is or, if it cannot be stored, one that says so."""
    elapsed_us = ended.elapsed_us
    if type(elapsed_us) is not int or not 0 <= elapsed_us <= LONGEST_US:
        elapsed_us = Us(min(max(0, elapsed_us), LONGEST_US) if type(elapsed_us) is int else 0)
        ended = ended._replace(elapsed_us=elapsed_us)
    if (
        type(ended.delivery) is int
        and type(ended.result) is bytes
        and ended[4:7] == _NOTHING_ELSE
        and not ended.left_behind
        and ended.exit_code is None
    ):
        return ended  # most are like this, and a closer look would cost as much as all the rest here
    mistake = codec.refusal(ended)
    if mistake is None:
        return ended
    message = f"the task process reported an end that cannot be stored: {mistake}"
    return Ended(
        DeliveryNumber(int(ended.delivery)),
        Outcome.FAILED,
        elapsed_us,
        reason=FailReason.BAD_RESULT,
        message=message,
        id=ended.id,
        killed=ended.killed,
    )
