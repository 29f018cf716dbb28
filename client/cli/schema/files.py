"""The cache of schemas that zclient keeps between its runs: those of each broker's types, by digest.

They are msgpack, not JSON, because zclient has msgpack loaded anyway. If anything is wrong with a file, it counts as
missing, and the broker is asked.
"""

from __future__ import annotations

import os
from typing import Any

from zjobs.messages import values

MOST_FILES = 500  # in each of the two folders; then all are removed


class SchemaFiles:
    """Keeps the schemas of the types of the broker at one address, by digest."""

    def __init__(self, address: str) -> None:
        base = os.environ.get("XDG_CACHE_HOME", "")
        cache = os.path.join(base if base.startswith("/") else os.path.expanduser("~/.cache"), "zjobs")
        self._types = os.path.join(cache, "types", _file_name(address))
        self._schemas = os.path.join(cache, "schemas")

    def digest_of(self, type: str) -> str | None:
        """Return the digest of the schema that the type had when it was last asked for."""
        digest = _read(self._types).get(type)
        return digest if isinstance(digest, str) and digest.isalnum() else None

    def schema(self, digest: str) -> dict[str, Any] | None:
        """Return the schema of this digest, None if it is not kept."""
        return _read(os.path.join(self._schemas, digest)) or None

    def keep(self, type: str, digest: str, schema: dict[str, Any]) -> None:
        """Keep a schema for later runs."""
        _write(os.path.join(self._schemas, digest), schema)
        _write(self._types, {**_read(self._types), type: digest})


def _file_name(address: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else f"_{ord(c):x}_" for c in address)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = values.unpack_value(file.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: str, what: dict[str, Any]) -> None:
    """Write a file in one step, because another zclient may read it. A disk that refuses is no reason to fail."""
    folder = os.path.dirname(path)
    passing = f"{path}.{os.getpid()}"
    try:
        packed = values.pack_value(what)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with os.scandir(folder) as entries:
            names = [entry.path for entry in entries]
        for name in names if len(names) >= MOST_FILES else ():
            os.unlink(name)
        with open(passing, "wb") as file:
            file.write(packed)
        os.replace(passing, path)
    except (OSError, ValueError, OverflowError):
        return
