"""The migrations of the database, run by alembic inside a transaction that the caller opened."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Run the steps that are missing."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells each thing that it looks at
    command.upgrade(config(connection), "head")


def formats(connection: Connection) -> list[str]:
    """Return the formats that this gateway knows, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(config(connection)).walk_revisions()]


def config(connection: Connection) -> Config:
    """Return what alembic needs to know, to work on `connection`."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made
