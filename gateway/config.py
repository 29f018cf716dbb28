"""The configuration of a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PasswordCost:
    """The cost of hashing a password with argon2. The defaults are those of RFC 9106 for little memory."""

    time_cost: int = 3
    memory_cost: int = 65_536  # KiB
    parallelism: int = 4


@dataclass(frozen=True)
class Config:
    """The configuration of a gateway, built once from the command line.

    database: an URL for SQLAlchemy, or None for an SQLite file in the state directory. services_file: the configuration
    that names the services, None for that of `zclient`. public_read: whoever is not logged in is a viewer.
    admin_password: that of the first user, None for a random one.
    """

    host: str
    port: int
    database: str | None = None
    services_file: Path | None = None
    public_read: bool = False
    admin_password: str | None = None
    login_lasts_s: int = 12 * 3600
    password_cost: PasswordCost = PasswordCost()
