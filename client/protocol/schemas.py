"""Schemas of a broker's types: asked for once, named with each submit, renewed when the broker says one has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from zjobs.client import errors
from zjobs.client.protocol.actions import Ask, Flow
from zjobs.messages.named import NamedTuple
from zjobs.messages.requests.queries import Schema, SchemaReply

if TYPE_CHECKING:
    from zjobs.program.schema.parameters import Parameters

Node = dict[str, Any]

# A worker that keeps coming back with other tasks may change schemas faster than jobs can be checked by them.
MOST_CHANGES = 3


class TypeSchema(NamedTuple):
    """The schema of a type, as far as known. digest: named with a submit; None if it is unknown whether there is a
    schema. parameters: None if there is no schema, so that only the worker can judge data."""

    digest: str | None = None
    parameters: Parameters | None = None


UNKNOWN = TypeSchema()
NONE = TypeSchema("")


class Store(Protocol):
    """A store of schemas for later clients of the same broker. Schemas that it lacks are asked for."""

    def digest_of(self, type: str) -> str | None:
        """Return the digest kept for a type, None without one."""

    def schema(self, digest: str) -> Node | None:
        """Return the schema with this digest, None if it is not kept."""

    def keep(self, type: str, digest: str, schema: Node) -> None:
        """Keep a type's schema."""


class Schemas:
    """The schemas of one broker's types, in memory, and in `store` where there is one."""

    def __init__(self, store: Store | None = None) -> None:
        self._store = store
        self._cached: dict[str, TypeSchema] = {}
        self._outdated: set[str] = set()

    def of(self, type: str, digest: str | None = None) -> Flow[TypeSchema]:
        """Return the schema of this type, asking for it the first time. digest: the present one, if the caller knows
        it."""
        found = self._cached.get(type) or self._stored(type)
        if digest is not None and found is not None and found.digest != digest:
            found = None
        if found is None:
            found = yield from self._asked(type)
        if found is not UNKNOWN:
            self._cached[type] = found
        return found

    def changed(self, type: str) -> None:
        """Forget the schema of this type, which has changed."""
        self._cached.pop(type, None)
        self._outdated.add(type)

    def _stored(self, type: str) -> TypeSchema | None:
        if self._store is None or type in self._outdated:
            return None
        digest = self._store.digest_of(type)
        schema = None if digest is None else self._store.schema(digest)
        return None if digest is None or schema is None else _type_schema(digest, schema)

    def _asked(self, type: str) -> Flow[TypeSchema]:
        try:
            reply: SchemaReply = yield Ask(Schema(type), SchemaReply)
        except errors.UnknownType:  # the submit fails with this, too, unless it repeats an accepted one
            return UNKNOWN
        except errors.UnknownOp:  # an older broker
            return NONE
        if reply.digest is None or (reply.digest and reply.schema is None):
            return UNKNOWN
        schema = _read(reply.schema)
        if schema is None:
            return NONE
        if self._store is not None:
            self._store.keep(type, reply.digest, schema)
        self._outdated.discard(type)
        return _type_schema(reply.digest, schema)


def _type_schema(digest: str, schema: Node) -> TypeSchema:
    from zjobs.program.schema.parameters import Parameters  # not before there is one

    return TypeSchema(digest, Parameters(schema))


def _read(packed: bytes | None) -> Node | None:
    """Return the schema in `packed`, None if it is not one."""
    import json  # not at the top: a client that has the schema does not need it

    try:
        schema = json.loads(packed or b"")
    except (ValueError, RecursionError):
        return None
    return schema if isinstance(schema, dict) else None
