"""Who may import what: read from the source, so that an arrow in the wrong direction fails here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import zjobs.broker

ROOT = Path(zjobs.broker.__path__[0]).parent
# Which room may import which: itself, and these. A room is a folder; files beside its folders form a room of its name.
ARROWS: dict[str, set[str]] = {
    "messages": {"messages.requests"},
    "messages.requests": {"messages"},
    "program.cli": set(),
    "program.schema": {"program.cli"},
    "program": {"program.cli", "messages"},
    "broker.core": {"broker.core.worker", "messages", "messages.requests"},
    "broker.core.worker": {"broker.core", "messages"},
    "broker.storage": {"broker.core", "broker", "messages"},
    "broker.storage.sqlite": {"broker.core", "broker.storage", "messages", "program"},
    "broker.storage.sqlite.maintenance": {
        "broker.storage",
        "broker.storage.sqlite",
        "broker",
        "messages",
        "messages.requests",
        "program",
    },
    "broker.net": {"broker.core", "broker", "messages", "program"},
    "broker.requests": {
        "broker.core",
        "broker.net",
        "broker.storage",
        "broker",
        "messages",
        "messages.requests",
        "program",
    },
    "broker": {
        "broker.core",
        "broker.net",
        "broker.requests",
        "broker.storage",
        "broker.storage.sqlite",
        "broker.storage.sqlite.maintenance",
        "messages",
        "messages.requests",
        "program",
    },
    "broker.cli": {"broker.core", "broker.net", "broker.storage", "broker", "messages", "program", "program.cli"},
    "worker.core": {"messages"},
    "worker.task": {"worker.core", "messages"},
    "worker.task.inside": {"worker.task", "worker", "messages", "program"},
    "worker.files": {"worker.core", "worker.task", "program"},
    "worker": {"worker.core", "worker.files", "worker.task", "messages", "program", "program.cli", "program.schema"},
    "client.protocol.events": {"client.protocol", "client", "messages", "messages.requests", "program"},
    "client.protocol": {"client", "messages", "messages.requests", "program", "program.cli", "program.schema"},
    "client.net": {"client.protocol", "client", "messages", "messages.requests", "program"},
    "client": {"client.net", "client.protocol", "client.protocol.events", "messages", "messages.requests", "program"},
    "client.cli.show": {"messages", "messages.requests"},
    "client.cli.local": {
        "client.cli.show",
        "client.cli",
        "client",
        "messages",
        "messages.requests",
        "program",
        "program.cli",
    },
    "client.cli.selection": {"client.cli.show", "client.cli", "client", "messages", "program", "program.cli"},
    "client.cli.overview": {"client.cli.show", "client.protocol", "client", "messages", "messages.requests"},
    "client.cli": {
        "client.cli.overview",
        "client.cli.selection",
        "client.cli.schema",
        "client.cli.show",
        "client.net",
        "client.protocol",
        "client.protocol.events",
        "client",
        "messages",
        "messages.requests",
        "program",
        "program.cli",
        "program.schema",
    },
    "client.cli.schema": {
        "client.cli.show",
        "client.protocol",
        "client",
        "messages",
        "program",
        "program.cli",
        "program.schema",
    },
    "testing": {"client"},
    "gateway.identity": {"gateway", "messages", "program"},
    "gateway.identity.migrations": {"gateway.identity"},
    "gateway.identity.migrations.versions": set(),
    "gateway.identity.routes": {"gateway.identity", "messages", "program"},
    "gateway.events": {"client", "messages"},
    "gateway.api": {"gateway.events", "gateway.identity", "gateway", "client", "messages", "program"},
    "gateway": {"gateway.api", "gateway.events", "gateway.identity", "client", "messages", "program", "program.cli"}
    | {"gateway.identity.routes"},
}
# Of the files beside the folders, those that a room below them may import: plain facts, no loops or sockets.
BELOW = {
    ("broker.core.worker", "broker.core"): {"jobs"},
    ("messages.requests", "messages"): {"fields", "records", "states", "units"},
    ("broker.storage", "broker"): {"credentials"},
    ("broker.storage.sqlite.maintenance", "broker"): {"credentials"},
    ("broker.net", "broker"): {"credentials", "retention"},
    ("broker.requests", "broker"): {"credentials"},
    ("worker.task.inside", "worker"): {"caller", "predefined", "tasks"},
    ("client.protocol", "client"): {"errors", "settings"},
    ("client.net", "client"): {"errors", "settings"},
    ("gateway.identity", "gateway"): {"config", "problems"},
    ("gateway.events", "client"): {"aio", "aio_job", "errors"},
    ("gateway.api", "gateway"): {"config", "problems", "services"},
    ("gateway.api", "client"): {"aio", "aio_job", "errors"},
}
PURE = (
    "broker.core",
    "broker.core.worker",
    "worker.core",
    "client.protocol",
    "client.protocol.events",
    "messages",
    "messages.requests",
)
PURE_FILES = ("broker.turn", "broker.sending", "broker.retention", "worker.turn")
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


def files() -> dict[str, Path]:
    """All modules, by name without `zjobs.`."""
    found = {}
    for top in {room.partition(".")[0] for room in ARROWS}:
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = files()


def room_of(module: str) -> str:
    """The room that a module of ours is in."""
    return module if module in ARROWS else module.rpartition(".")[0]


def ours(path: Path) -> set[str]:
    """The modules of ours that a file imports."""
    names = {name.removeprefix("zjobs.") for name in imported(path) if name.startswith("zjobs.")}
    return {name for name in names if name in FILES and not (name in ARROWS and names & inside(name))}


def inside(room: str) -> set[str]:
    """The modules in a room."""
    return {name for name in FILES if name != room and room_of(name) == room}


def importers(module: str) -> set[str]:
    """The files that import `module`, such as broker/service.py."""
    return {
        str(path.relative_to(ROOT))
        for path in FILES.values()
        if any(name.split(".")[0] == module for name in imported(path))
    }


@pytest.mark.parametrize("module", sorted(FILES))
def test_arrows_point_one_way(module: str) -> None:
    """A file imports from its own room and from those below it, and nothing else of ours."""
    room = room_of(module)
    for name in ours(FILES[module]):
        other = room_of(name)
        if module.endswith("__main__"):  # the command's first lines, which know where its command line is
            continue
        assert other == room or other in ARROWS[room], f"{module} imports {name}"
        if (room, other) in BELOW:
            assert name.rpartition(".")[2] in BELOW[room, other], f"{module} imports {name}, which stands above it"


@pytest.mark.parametrize("program", ["broker", "worker"])
def test_the_turn_drives_the_core_alone(program: str) -> None:
    """What a turn needs beside the core it is given by the service, or by the simulation: no storage, no sockets."""
    beside = {name for name in PURE_FILES if room_of(name) == program}
    rooms = {room_of(name) for name in ours(FILES[f"{program}.turn"]) - beside}
    assert rooms <= {f"{program}.core", "broker.core.worker", "messages", "messages.requests"}


def test_the_core_never_calls_storage() -> None:
    """Its records are named first, and read by those who call it."""
    for module in (*PURE_FILES, *inside("broker.core")):
        assert not {name for name in ours(FILES[module]) if room_of(name) == "broker.storage"}


def test_no_circles() -> None:
    """No file of the programs needs itself, by whatever way round."""
    arrows = {module: ours(path) - {module} for module, path in FILES.items() if not module.endswith("__main__")}
    while leaves := [module for module, names in arrows.items() if not names & arrows.keys()]:
        for module in leaves:
            del arrows[module]
    assert not arrows, arrows


@pytest.mark.parametrize("module", sorted(name for name in FILES if name in PURE_FILES or room_of(name) in PURE))
def test_the_cores_are_pure(module: str) -> None:
    """No clock, socket, file, random number or log is imported where decisions are taken."""
    assert not {name.split(".")[0] for name in imported(FILES[module])} & OUTSIDE


def test_few_files_know_the_database() -> None:
    """sqlite3 stays in its folder, and which storage is used is known to one file."""
    assert all(path.startswith("broker/storage/sqlite/") for path in importers("sqlite3"))
    users = {module for module, path in FILES.items() if any("storage.sqlite" in name for name in ours(path))}
    assert {module for module in users if not module.startswith("broker.storage.sqlite")} == {"broker.journals"}


def test_few_files_know_the_sockets() -> None:
    """zmq stays at the edge of each program."""
    assert importers("zmq") <= {
        "broker/net/events.py",
        "broker/net/frames.py",
        "broker/credentials.py",
        "broker/service.py",
        "broker/net/sockets.py",
        "broker/storage/sqlite/maintenance/backup.py",
        "client/net/async_events.py",
        "client/net/connection.py",
        "client/net/handshake.py",
        "client/net/link.py",
        "client/net/pool.py",
        "program/links.py",
        "program/zap.py",
        "worker/service.py",
    }


def test_msgpack_stays_in_the_encoding() -> None:
    """What is packed how is decided in one place, and in the packets between a worker and its task process."""
    assert importers("msgpack") <= {"messages/codec.py", "messages/values.py", "worker/task/packets.py"}
