"""A connection to PostgreSQL: statements in one pipeline, which is one transaction and one round trip.

Whatever waits for the server is a generator that yields what it waits for. So the same code runs to its end at the
start of a broker, and a little at a time while a broker answers its clients without a database.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.pq.abc import PGconn, PGresult

from zjobs.broker.storage.api import CannotCreate, StorageError
from zjobs.broker.storage.postgres.connection.conninfo import Address
from zjobs.broker.storage.postgres.connection.values import Query, Statement

BINARY = 1

T = TypeVar("T")
Rows = list[tuple[Any, ...]]


class Lost(StorageError):
    """A lost connection; the last statements may or may not have been committed."""


class Refused(StorageError):
    """A refusal by the server, which carried out nothing. `code`: its SQLSTATE; `column`: the invalid one."""

    def __init__(self, message: str, code: str, column: str) -> None:
        super().__init__(message)
        self.code = code
        self.column = column


class Late(StorageError):
    """A wait that was longer than the time given."""


class Waiting(NamedTuple):
    """A descriptor, and the events for which a step waits."""

    descriptor: int
    events: int


Steps = Generator[Waiting, None, T]


class Task(Generic[T]):
    """Steps that wait for a server, run as far as time allows."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._waiting: Waiting | None = None

    def run(self, for_s: float) -> T:
        """Return what the steps return. Raises Late after `for_s`; another call goes on from there."""
        until_s = time.monotonic() + for_s
        try:
            while self._waiting is None or _ready(self._waiting, until_s):
                self._waiting = next(self._steps)
        except StopIteration as end:
            outcome: T = end.value
            return outcome
        raise Late(f"no answer within {for_s:g} s")

    def close(self) -> None:
        """Cancel the steps."""
        self._steps.close()


def _ready(waiting: Waiting, until_s: float) -> bool:
    poll = select.poll()
    poll.register(*waiting)
    return bool(poll.poll(max(0.0, until_s - time.monotonic()) * 1000))


def connected(conninfo: str) -> Steps[Link]:
    """Open a connection. Raises Lost."""
    connection = pq.PGconn.connect_start(conninfo.encode())
    try:
        while (status := connection.connect_poll()) != pq.PollingStatus.OK:
            if status == pq.PollingStatus.FAILED:
                raise Lost(_sentence(connection))
            reading = status == pq.PollingStatus.READING
            yield Waiting(connection.socket, select.POLLIN if reading else select.POLLOUT)
        connection.nonblocking = 1
        connection.enter_pipeline_mode()
    except psycopg.Error as error:
        connection.finish()
        raise Lost(_plain(str(error))) from error
    except BaseException:
        connection.finish()
        raise
    return Link(connection)


def connected_at_once(address: Address) -> Link:
    """Return a connection to the first server that answers. Raises CannotCreate."""
    errors = []
    for conninfo in address.attempts:
        task = Task(connected(conninfo))
        try:
            return task.run(address.connect_s)
        except StorageError as error:
            task.close()
            errors.append(str(error))
    raise CannotCreate(f"the journal {address.name} cannot be reached: {'; '.join(errors)}")


class Link:
    """An open connection, in pipeline mode for as long as it lives."""

    def __init__(self, connection: PGconn) -> None:
        self._connection = connection
        self._prepared: set[Query] = set()
        self._rows = Transformer()
        self.backend = connection.backend_pid

    @property
    def version(self) -> str:
        """The version of the server."""
        told = self._connection.parameter_status(b"server_version")
        return (told or b"?").decode().split(" ")[0]

    def close(self) -> None:
        """End the session."""
        self._connection.finish()

    def run(self, statements: Sequence[Statement], for_s: float) -> list[Rows]:
        """Carry out the statements as one transaction, and return the rows of each.

        Raises Refused, and Lost if the connection cannot be used any more.
        """
        try:
            return Task(self.steps(statements)).run(for_s)
        except Late as error:
            self.close()
            raise Lost(str(error)) from None

    def steps(self, statements: Sequence[Statement]) -> Steps[list[Rows]]:
        """Do the same as `run`, in steps that wait."""
        try:
            awaited = self._send(statements)
            results = yield from self._results()
        except psycopg.Error as error:
            self.close()
            raise Lost(_plain(str(error))) from error
        return self._outcome(awaited, results)

    def _send(self, statements: Sequence[Statement]) -> list[Query | None]:
        """Send all statements. Return for each expected result the query that it reports as prepared, None for rows."""
        connection = self._connection
        awaited: list[Query | None] = []
        preparing = set()
        for query, parameters in statements:
            if query not in self._prepared and query not in preparing:
                connection.send_prepare(query.name, query.text, query.oids)
                preparing.add(query)
                awaited.append(query)
            formats = [BINARY] * len(parameters)
            connection.send_query_prepared(query.name, parameters, formats, result_format=BINARY)
            awaited.append(None)
        connection.pipeline_sync()
        return awaited

    def _results(self) -> Steps[list[PGresult]]:
        """Return all results before the one that ends the pipeline."""
        connection = self._connection
        results: list[PGresult] = []
        while True:
            unsent = connection.flush()
            yield Waiting(connection.socket, select.POLLIN | select.POLLOUT if unsent else select.POLLIN)
            connection.consume_input()
            between = False
            while not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    if between or connection.status == pq.ConnStatus.BAD:
                        break
                    between = True
                    continue
                between = False
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    return results
                results.append(result)
            if connection.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError(_sentence(connection))

    def _outcome(self, awaited: list[Query | None], results: list[PGresult]) -> list[Rows]:
        rows: list[Rows] = []
        for query, result in zip(awaited, results):
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise _refused(result)
            if query is not None:
                self._prepared.add(query)
            else:
                self._rows.set_pgresult(result)
                rows.append(self._rows.load_rows(0, result.ntuples, tuple))
        for result in results[len(awaited) :]:  # the end of the transaction itself failed
            raise _refused(result)
        return rows


def _refused(result: PGresult) -> Refused:
    def field(which: pq.DiagnosticField) -> str:
        return (result.error_field(which) or b"").decode(errors="replace")

    message = field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.get_error_message()
    return Refused(_plain(message), field(pq.DiagnosticField.SQLSTATE), field(pq.DiagnosticField.COLUMN_NAME))


def _sentence(connection: PGconn) -> str:
    with contextlib.suppress(psycopg.Error):
        return _plain(connection.get_error_message())
    return "the connection is closed"


def _plain(message: str) -> str:
    """Return the message in one line."""
    return " ".join(message.split())
