"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import PATIENCE_S, wait_until


class Postgres:
    """A server in a folder of its own, reached by a Unix socket there. It dies with us; it refuses root, so root makes
    it run as the user postgres."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._as_user = ["setpriv", "--pdeathsig=INT"]
        if os.geteuid() == 0:
            self._as_user += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(folder, "postgres")
        made = ["-D", f"{folder}/data", "-U", "zjobs", "-A", "trust", "--no-instructions", "-N"]
        command = [*self._as_user, str(programs / "initdb"), *made]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        # fsync: nothing here is about power failures
        options = ["-D", f"{self.folder}/data", "-k", str(self.folder), "-c", "fsync=off", "-c", "listen_addresses="]
        command = [*self._as_user, str(self._programs / "postgres"), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        wait_until(self._is_ready, "PostgreSQL is ready")

    def stop(self, signal_number: int = signal.SIGINT) -> None:
        self._process.send_signal(signal_number)
        self._process.wait(PATIENCE_S)

    def _is_ready(self) -> bool:
        """As the server itself tells it."""
        told = self.folder / "data/postmaster.pid"
        return told.exists() and told.read_text().split()[-1:] == ["ready"]

    async def emptied(self) -> str:
        """The URL of its database, in which nothing is."""
        connection = await asyncpg.connect(host=str(self.folder), user="zjobs", database="postgres")
        try:
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        finally:
            await connection.close()
        return f"postgresql://zjobs@/postgres?host={self.folder}"


def programs_of_postgresql() -> Path:
    """The folder of initdb and postgres: Debian's, or that on the path. Skips the test where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if (found := shutil.which("initdb")) is not None:
        folders.append(Path(found).parent)
    if not folders:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return folders[-1]


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server that runs until the end."""
    with tempfile.TemporaryDirectory(prefix="zj", dir="/tmp") as folder:
        server = Postgres(Path(folder), programs_of_postgresql())
        server.start()
        try:
            yield server
        finally:
            server.stop()
