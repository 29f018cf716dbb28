"""A PostgreSQL server for tests: started as an ordinary user, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PATIENCE_S, wait_until


class Postgres:
    """A server that is reached by a Unix socket in its folder. It dies with the thread that started it; it refuses
    root, so root makes it run as the user postgres."""

    def __init__(self, folder: Path, programs: Path, primary: Postgres | None = None) -> None:
        """`primary`: the server of which it is a standby, named standby."""
        self.folder = folder
        self._programs = programs
        self._as_user = ["setpriv", "--pdeathsig=INT"]
        if os.geteuid() == 0:
            self._as_user += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(folder, "postgres")
        if primary is not None:
            self._follow(primary)
            return
        made = ["-D", f"{folder}/data", "-U", "zjobs", "-A", "trust", "-E", "UTF8", "--no-instructions", "-N"]
        command = [*self._as_user, str(programs / "initdb"), *made]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _follow(self, primary: Postgres) -> None:
        source = f"host={primary.folder} user=zjobs application_name=standby"
        copied = ["-D", f"{self.folder}/data", "-d", source, "-R", "-X", "stream", "-c", "fast", "-N"]
        command = [*self._as_user, str(self._programs / "pg_basebackup"), *copied]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self, **settings: str) -> None:
        """Start it, also again."""
        # fsync: nothing here is about power failures
        settings = {"fsync": "off", "listen_addresses": "", **settings}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        where = ["-D", f"{self.folder}/data", "-k", str(self.folder)]
        command = [*self._as_user, str(self._programs / "postgres"), *where, *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", start_new_session=True)
        wait_until(self._is_ready, "PostgreSQL is ready", lambda: (self.folder / "log").read_text()[-2000:])

    def stop(self, signal_number: int = signal.SIGINT) -> None:
        """End it; SIGQUIT: as a crash does."""
        self._process.send_signal(signal_number)
        self._process.wait(PATIENCE_S)

    def end(self) -> None:
        """End it, if it runs."""
        if self._process.poll() is None:
            self.stop()

    def kill(self) -> None:
        """kill -9 of all its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)

    def _is_ready(self) -> bool:
        """As the server itself tells it."""
        told = self.folder / "data/postmaster.pid"
        words = told.read_text().split() if told.exists() else []
        # the pid, because a server that was killed has left its own
        return words[:1] == [str(self._process.pid)] and words[-1] in ("ready", "standby")

    def sql(self, *statements: str) -> str:
        """Carry out statements one by one; return what they print."""
        words = [word for statement in statements for word in ("-c", statement)]
        command = [str(self._programs / "psql"), "-XAtqv", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "zjobs"]
        done = subprocess.run([*command, "postgres", *words], check=True, capture_output=True, text=True, cwd="/")
        return done.stdout.strip()

    def url(self, schema: str = "") -> str:
        """The URL of its database. `schema`: where tables are made and looked for."""
        return f"postgresql://zjobs@/postgres?host={self.folder}" + (
            f"&options=-csearch_path%3D{schema}" if schema else ""
        )

    def emptied(self) -> str:
        """The URL of its database, in which nothing is."""
        self.sql("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        return self.url()


def programs_of_postgresql() -> Path:
    """The folder of initdb and postgres: Debian's, or that on the path. Skips the test where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if (found := shutil.which("initdb")) is not None:
        folders.append(Path(found).resolve().parent)
    if not folders:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return folders[-1]


@contextlib.contextmanager
def running_postgres(primary: Postgres | None = None, **settings: str) -> Iterator[Postgres]:
    """A server that runs until the end; with `primary`, a standby of it."""
    with tempfile.TemporaryDirectory(prefix="zj", dir="/tmp") as folder:
        server = Postgres(Path(folder), programs_of_postgresql(), primary)
        server.start(**settings)
        try:
            yield server
        finally:
            server.end()
