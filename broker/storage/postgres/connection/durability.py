"""The guarantee of a commit, by the settings of the server."""

from __future__ import annotations

from zjobs.broker.storage.api import Guarantee
from zjobs.broker.storage.postgres.connection.values import Query

# A reply means "on disk", so the session asks for that where the server's or the role's setting is weaker.
AT_LEAST_LOCAL = Query(
    "SELECT set_config('synchronous_commit', 'local', false) WHERE current_setting('synchronous_commit') = 'off'"
)
READ_DURABILITY = Query(
    "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), "
    "current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean"
)
STANDBY_HAS = {
    "on": "flushed to the disk of a standby",
    "remote_apply": "to be read on a standby",
    "remote_write": "received by a standby",
}


def guarantee(synchronous_commit: str, standby_names: str, fsync: bool, full_page_writes: bool) -> Guarantee:
    """Return the guarantee that these settings give."""
    here = "flushed to the disk of the server" if fsync else "handed to the operating system of the server"
    on_standby = bool(standby_names.strip()) and synchronous_commit in STANDBY_HAS
    there = (
        f"{STANDBY_HAS[synchronous_commit]} ({standby_names.strip()})" if on_standby else "perhaps on no standby yet"
    )
    warnings = []
    if not fsync:
        warnings.append("PostgreSQL runs with fsync = off: a power failure loses acknowledged jobs")
    if not full_page_writes:
        warnings.append("PostgreSQL runs with full_page_writes = off: a power failure may damage the journal")
    return Guarantee(f"{here}, and {there}", tuple(warnings), on_standby)
