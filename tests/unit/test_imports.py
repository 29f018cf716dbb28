"""Who may import what: read from the source, so that an arrow in the wrong direction fails here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import zjobs.broker
import zjobs.client
import zjobs.messages
import zjobs.worker

PACKAGES = {
    package.__name__.rpartition(".")[2]: Path(package.__path__[0])
    for package in (zjobs.broker, zjobs.worker, zjobs.client, zjobs.messages)
}
PURE = {
    "broker": ("core", "effects", "handover", "jobs", "queue", "sending", "window", "workerview"),
    "messages": ("flow", "types"),
    "worker": ("core", "delivery", "effects", "news", "outbox", "run", "spool"),
}
OUTSIDE = {
    "zmq",
    "sqlite3",
    "time",
    "random",
    "os",
    "socket",
    "logging",
    "secrets",
    "threading",
    "subprocess",
    "signal",
}


def imported(path: Path) -> set[str]:
    """The full names of all modules that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: imports are absolute"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def importers(module: str) -> set[str]:
    """The files that import `module`, such as broker/shell.py."""
    return {
        f"{package}/{path.name}"
        for package, folder in PACKAGES.items()
        for path in folder.glob("*.py")
        if any(name.split(".")[0] == module for name in imported(path))
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_know_themselves_and_the_messages_alone(package: str) -> None:
    """Broker, worker and client never import each other; messages imports none of them."""
    for path in PACKAGES[package].glob("*.py"):
        known = {name.split(".")[1] for name in imported(path) if name.startswith("zjobs.")}
        assert known <= {package, "messages"}, path


@pytest.mark.parametrize(("package", "name"), [(package, name) for package, names in PURE.items() for name in names])
def test_the_cores_are_pure(package: str, name: str) -> None:
    """No clock, socket, file, random number or log: nothing of the outside is imported, directly or by our own."""
    names = imported(PACKAGES[package] / f"{name}.py")
    assert not {name.split(".")[0] for name in names} & OUTSIDE
    ours = {name.split(".")[2] for name in names if name.startswith(f"zjobs.{package}.")}
    assert ours <= set(PURE[package]), "imports what is not pure"


def test_the_clients_view_is_pure() -> None:
    """What the client knows of a job is worked out without sockets and clocks."""
    assert not {name.split(".")[0] for name in imported(PACKAGES["client"] / "view.py")} & OUTSIDE


def test_few_files_know_the_database() -> None:
    """sqlite3 stays behind the journal, and the check of its log."""
    assert importers("sqlite3") == {"broker/journal.py", "broker/wal.py"}


def test_few_files_know_the_sockets() -> None:
    """zmq stays at the edge of each program."""
    assert importers("zmq") <= {
        "broker/events.py",
        "broker/frames.py",
        "broker/keys.py",
        "broker/shell.py",
        "broker/sockets.py",
        "broker/backups.py",
        "client/connection.py",
        "client/handshake.py",
        "messages/links.py",
        "messages/zap.py",
        "worker/shell.py",
    }


def test_msgpack_stays_in_the_encoding() -> None:
    """What is packed how is decided in one place, and in the packets between a worker and its task process."""
    assert importers("msgpack") <= {"messages/wire.py", "worker/packets.py"}
