"""Who may import what: read from the source, so that an arrow in the wrong direction fails here."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

import zjobs.broker

ROOT = Path(zjobs.broker.__path__[0]).parent
# From top to bottom: a file imports from those that its line names, and each line names only what stands below it. A
# folder stands for its files, unless a file or a folder in it has a line of its own.
ORDER = """
testing                       client
gateway.cli                   gateway.usage gateway.app gateway.server gateway.identity gateway client client.errors
                              program program.cli
gateway.usage                 program program.cli
gateway.app                   gateway.pages gateway.api gateway.services gateway.web gateway.identity.routes
                              gateway.identity gateway program
gateway.pages                 gateway.pages.people gateway.pages.acting gateway.pages.viewing gateway.pages.shared
gateway.pages.people          gateway.pages.shared gateway.identity gateway client.protocol client.errors
                              messages.requests messages
gateway.pages.acting          gateway.pages.viewing gateway.pages.shared gateway.pages.elements gateway client
                              client.protocol client.wording client.errors messages.requests messages program.schema
gateway.pages.viewing         gateway.pages.shared gateway.pages.elements gateway.output gateway.events gateway.web
                              gateway client client.protocol client.errors messages.requests messages program
gateway.pages.shared          gateway.pages.elements gateway.services gateway.events gateway.web gateway.identity
                              gateway client client.wording client.errors messages.requests program messages
gateway.pages.elements        gateway.web client.protocol client.wording messages.requests messages program.schema
gateway.server                gateway program
gateway.api                   gateway.services gateway.events gateway.together gateway.output gateway.web
                              gateway.identity gateway client client.protocol client.errors messages.requests messages
gateway.services              gateway.events gateway.together gateway client client.config
gateway.together              client client.errors client.protocol messages messages.requests
gateway.output                client messages.requests
gateway.events                gateway.web client client.protocol.events client.errors messages.requests program messages
gateway.web                   gateway client.protocol program.schema messages
gateway.identity.routes       gateway.identity gateway messages
gateway.identity.migrations   gateway.identity
gateway.identity.migrations.versions
gateway.identity              gateway program messages
gateway                       client.errors messages

client.cli.main               client.cli.call client.cli.usage client.cli.exit_codes client.cli.show client client.net
                              client.errors program.cli
client.cli                    client.cli.overview client.cli.selection client.cli.schema client.cli.call
                              client.cli.exit_codes client.cli.show client.wording client client.protocol.events
                              client.protocol client.errors messages.requests program.schema program.cli messages
client.cli.top                client.cli.overview client.cli.exit_codes client.cli.show client.wording client
                              client.errors messages.requests program.cli messages
client.cli.local              client.cli.usage client.cli.exit_codes client.cli.show client.wording client
                              client.config client.errors messages.requests program.cli messages
client.cli.overview           client.cli.show client.wording client.protocol client.config client.errors
                              messages.requests messages
client.cli.selection          client.cli.call client.cli.usage client.wording client.errors program.cli messages
client.cli.schema             client.wording program.schema messages
client.cli.call               client.cli.usage client.cli.show client.wording client client.protocol program.cli
                              messages
client.cli.usage              client.cli.exit_codes program program.cli messages
client.cli.exit_codes         client.errors
client.cli.show               client.wording client.protocol messages.requests messages
client.wording                messages
client                        client.net client.protocol.events client.protocol client.config client.errors
                              messages.requests program messages
client.net                    client.protocol client.config client.errors messages.codec messages.requests program
                              messages
client.protocol.events        client.protocol client.config client.errors messages.codec messages.requests program
                              messages
client.protocol               client.config client.errors messages.codec messages.requests program program.schema
                              program.cli messages
client.config                 client.errors program messages
client.errors                 messages

worker.cli                    worker.usage worker.service worker.files worker.task program program.cli messages
worker.usage                  program program.cli
worker.service                worker.turn worker.files worker.task worker.core messages.codec program messages
worker.turn                   worker.core messages.codec messages
worker.files                  worker.task worker.core program
worker.task.inside            worker worker.task program messages
worker                        messages.codec program.schema program.cli messages
worker.task                   worker.core messages.codec messages
worker.core                   messages.codec messages

broker.cli                    broker.service broker.journals broker.net broker.storage broker.credentials
                              broker.retention broker.core messages.codec program program.cli messages
broker.service                broker.journaling broker.requests broker.net broker.turn broker.storage
                              broker.requests.access broker.retention broker.checkpoint_pauses broker.core
                              broker.core.records messages.requests program messages
broker.journals               broker.storage.sqlite.maintenance broker.storage.sqlite broker.storage.postgres
                              broker.storage
broker.journaling             broker.turn broker.storage broker.core.records
broker.requests               broker.net broker.storage broker.credentials broker.requests.access broker.core
                              broker.core.people broker.core.records messages.codec messages.requests program messages
broker.net                    broker.credentials broker.retention broker.core broker.core.records messages.codec
                              program messages
broker.turn                   broker.sending broker.retention broker.core broker.core.people broker.core.records
                              messages.codec messages.requests messages
broker.sending                broker.core.records messages
broker.storage.sqlite.maintenance
                              broker.storage.sqlite broker.storage broker.credentials messages.codec messages.requests
                              program messages
broker.storage.postgres       broker.storage broker.credentials broker.core.records broker.core.estimates
                              program messages
broker.storage.sqlite         broker.storage broker.core.records broker.core.estimates program messages
broker.storage                broker.credentials broker.core.records messages
broker.credentials            broker.core.people program messages
broker.requests.access        broker.core.people messages.requests messages
broker.retention              broker.core broker.core.records messages
broker.checkpoint_pauses
broker.core                   broker.core.people broker.core.worker broker.core.timing broker.core.records
                              broker.core.estimates messages.requests messages
broker.core.people            broker.core.timing broker.core.records messages.requests messages
broker.core.worker            broker.core.records messages
broker.core.timing            messages
broker.core.records           broker.core.estimates messages.requests messages
broker.core.estimates         messages

messages.codec                messages.requests messages
messages.requests             messages
program                       program.cli messages
program.schema                program.cli
program.cli                   messages
messages
"""
PURE = ("broker.core.", "worker.core.", "client.protocol.", "messages.")
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


@functools.cache
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
    for top in ("broker", "client", "gateway", "messages", "program", "testing", "worker"):
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__init__" or any(name.startswith("zjobs.") for name in imported(path)):
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = files()


def rows() -> dict[str, set[str]]:
    """The lines of ORDER: what stands in front, and what it may import."""
    lines = re.sub(r"\n +", " ", ORDER).split("\n")
    return {words[0]: set(words[1:]) for words in map(str.split, lines) if words}


ROWS = rows()
# Without the first lines of each command, which know its `cli` alone.
MODULES = sorted(name for name in FILES if not name.endswith("__main__"))


def row_of(module: str) -> str:
    """The line that a module of ours stands in: its own, or that of the nearest folder around it."""
    while module not in ROWS:
        module, _, _ = module.rpartition(".")
        assert module, "a folder that no line names"
    return module


def ours(path: Path) -> set[str]:
    """The modules of ours that a file imports; of a folder, those in it that are meant."""
    names = {name.removeprefix("zjobs.") for name in imported(path) if name.startswith("zjobs.")} & FILES.keys()
    return {name for name in names if not names & inside(name)}


@functools.cache
def inside(folder: str) -> set[str]:
    """The modules in a folder and the folders in it."""
    return {name for name in FILES if name.startswith(f"{folder}.")}


def importers(module: str) -> set[str]:
    """The files that import `module`, such as broker/service.py."""
    return {
        str(path.relative_to(ROOT))
        for path in FILES.values()
        if any(name.split(".")[0] == module for name in imported(path))
    }


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_what_its_line_names(module: str) -> None:
    """And from its own line; nothing else of ours."""
    row = row_of(module)
    wrong = {name for name in ours(FILES[module]) if row_of(name) != row and row_of(name) not in ROWS[row]}
    assert not wrong, f"{module} imports {wrong}"


def test_the_lines_point_down() -> None:
    """So there is one order, and nobody imports from above: from the command line to the messages."""
    order = list(ROWS)
    for place, row in enumerate(order):
        assert ROWS[row] <= set(order[place + 1 :]), f"{row} names {ROWS[row] - set(order[place + 1 :])}"
    for program in ("broker", "worker"):
        steps = [f"{program}.{step}" for step in ("cli", "service", "turn", "core")]
        assert [row for row in order if row in (*steps, "messages")] == [*steps, "messages"]


def test_each_line_is_needed() -> None:
    """A name that no file needs any more would let the next one in unseen. (The gateway's are still being written.)"""
    used: dict[str, set[str]] = {row: set() for row in ROWS}
    for module in MODULES:
        used[row_of(module)] |= set(map(row_of, ours(FILES[module])))
    spare = {row: ROWS[row] - used[row] for row in ROWS if not row.startswith("gateway")}
    assert not any(spare.values()), spare


@pytest.mark.parametrize("program", ["broker", "worker"])
def test_the_turn_drives_the_core_alone(program: str) -> None:
    """What a turn needs beside the core it is given by the service, or by the simulation: no storage, no sockets."""
    needed = ours(FILES[f"{program}.turn"]) - set(PURE_FILES)
    assert all(name.startswith((f"{program}.core.", "messages.")) for name in needed)


def test_the_core_never_calls_storage() -> None:
    """Its records are named first, and read by those who call it."""
    for module in (*PURE_FILES, *inside("broker.core")):
        assert not {name for name in ours(FILES[module]) if name.startswith("broker.storage")}


def test_no_circles() -> None:
    """No file of the programs needs itself, by whatever way round."""
    arrows = {module: ours(path) - {module} for module, path in FILES.items() if not module.endswith("__main__")}
    while leaves := [module for module, names in arrows.items() if not names & arrows.keys()]:
        for module in leaves:
            del arrows[module]
    assert not arrows, arrows


@pytest.mark.parametrize("module", sorted(name for name in FILES if name in PURE_FILES or name.startswith(PURE)))
def test_the_cores_are_pure(module: str) -> None:
    """No clock, socket, file, random number or log is imported where decisions are taken."""
    assert not {name.split(".")[0] for name in imported(FILES[module])} & OUTSIDE


def test_few_files_know_the_database() -> None:
    """sqlite3 stays in its folder, and which storage is used is known to one file."""
    assert all(path.startswith("broker/storage/sqlite/") for path in importers("sqlite3"))
    assert all(path.startswith("broker/storage/postgres/") for path in importers("psycopg"))
    for storage in ("broker.storage.sqlite", "broker.storage.postgres"):
        users = {module for module, path in FILES.items() if any(storage in name for name in ours(path))}
        assert {module for module in users if not module.startswith(storage)} == {"broker.journals"}


def test_who_keeps_jobs_in_a_file_needs_no_driver() -> None:
    """The module of the other storage is imported by the function that makes it."""
    tree = ast.parse(FILES["broker.journals"].read_text(encoding="utf-8"))
    at_the_top = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not {"PostgresJournal", "DatabaseMaintenance"} & at_the_top and "SqliteJournal" in at_the_top


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
        "client/net/feed.py",
        "client/net/handshake.py",
        "client/net/link.py",
        "client/net/pool.py",
        "program/links.py",
        "program/zap.py",
        "worker/service.py",
    }


def test_one_file_knows_textual() -> None:
    """Nobody pays for zclient top who does not run it, and everything else works without the extra."""
    assert importers("textual") == importers("rich") == {"client/cli/top/app.py"}
    users = {module for module, path in FILES.items() if "client.cli.top.app" in ours(path)}
    assert users == {"client.cli.top.command"}


def test_msgpack_stays_in_the_encoding() -> None:
    """What is packed how is decided in one place, and in the packets between a worker and its task process."""
    assert importers("msgpack") <= {"messages/codec.py", "messages/values.py", "worker/task/packets.py"}
