"""How a gateway is to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Config:
    """The configuration of a gateway, built once from the command line.

    database: an URL for SQLAlchemy, or None for an SQLite file in the state directory. services_file: the configuration
    that names the services, None for that of `zclient`. public_read: who is not logged in is a viewer.
    """

    host: str
    port: int
    database: str | None = None
    services_file: Path | None = None
    public_read: bool = False
