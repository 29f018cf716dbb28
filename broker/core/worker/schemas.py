"""The schemas of parameters: those in the journal, and those the worker has yet to send (docs/protocol.md, *Schemas*).

A schema is named by its digest. The broker asks for it with each heartbeat until it comes, and drops it with the last
type that names it. The schemas themselves stay in the journal, and are read when a client asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from zjobs.messages.fields import DIGEST_CHARS, MAX_DIGESTS, MAX_SCHEMA_BYTES
from zjobs.messages.records import TaskType


class Schemas:
    """Tracks which schemas the journal has, and which the worker's types name."""

    def __init__(self, digests: Iterable[str], types: Mapping[str, TaskType] | None) -> None:
        self._kept = set(digests)
        self._named: set[str] = set()
        self.announced(types or {})

    @property
    def missing(self) -> tuple[str, ...]:
        """The digests of schemas that the worker has yet to send."""
        return tuple(sorted(self._named - self._kept)[:MAX_DIGESTS])

    def announced(self, types: Mapping[str, TaskType]) -> list[str]:
        """Record the types that the worker has now. Return the digests of schemas that none of them names any more."""
        self._named = {task_type.schema_digest for task_type in types.values()} - {""}
        dropped = sorted(self._kept - self._named)
        self._kept -= set(dropped)
        return dropped

    def accepts(self, digest: str, schema: bytes) -> bool:
        """Count a schema as kept if it is one of those missing. Return False if it is not."""
        genuine = sha256(schema).hexdigest()[:DIGEST_CHARS] == digest and len(schema) <= MAX_SCHEMA_BYTES
        if not genuine or digest not in self._named or digest in self._kept:
            return False
        self._kept.add(digest)
        return True
