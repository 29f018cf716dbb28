"""docs/security.md is followed to the letter, on two addresses of this host in place of two machines."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zjobs.messages.requests import ops
from zjobs.messages.states import Role

if TYPE_CHECKING:
    from tests.conftest import Service

PAGE = (Path(__file__).parents[2] / "docs/security.md").read_text(encoding="utf-8")
MACHINES = {"queue": ("192.0.2.10", "127.0.0.2"), "lab": ("192.0.2.20", "127.0.0.3")}
PORTS = (5570, 5571, 5572, 5573)
DONE = "--- done"

# `scp -p FILE... HOST:`, to the home of the machine that has this address.
SCP = """#!/bin/sh
shift
for last; do :; done
for file; do [ "$file" = "$last" ] || cp -p "$file" "$PLACE/${last%:}/"; done
"""


def free_ports() -> list[int]:
    """Four in a row that nobody uses on either address."""
    for first in range(20_000 + os.getpid() % 8_000, 32_000, 4):
        ports = [first + n for n in range(4)]
        sockets = [socket.socket() for _ in range(8)]
        try:
            for each, (port, address) in zip(sockets, [(p, a) for p in ports for _, a in MACHINES.values()]):
                each.bind((address, port))
            return ports
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no free ports")


class Machine:
    """A shell with a home of its own."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        home.mkdir()
        self.home = home
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home,
            env={**env, "HOME": str(home)},
        )

    def run(self, command: str) -> str:
        """What the command prints, errors included."""
        assert self._shell.stdin and self._shell.stdout
        self._shell.stdin.write(f"{command}\necho '{DONE}'\n")
        self._shell.stdin.flush()
        return "".join(iter(self._shell.stdout.readline, f"{DONE}\n"))

    def end(self) -> None:
        self.run("kill $(jobs -p); wait")
        assert self._shell.stdin and self._shell.stdout
        self._shell.stdin.close()
        self._shell.wait()
        self._shell.stdout.close()


@pytest.fixture
def machines(new_service: Callable[..., Service]) -> Iterator[dict[str, Machine]]:
    """Both of them, with the programs on their path."""
    service = new_service()
    programs = service.place / "bin"
    programs.mkdir()
    for name in ("broker", "worker", "client"):
        (programs / f"z{name}").write_text(f'#!/bin/sh\nexec {sys.executable} -m zjobs.{name} "$@"\n')
    (programs / "scp").write_text(SCP)
    for program in programs.iterdir():
        program.chmod(0o755)
    env = {k: v for k, v in service.env.items() if not k.startswith(("XDG_", "ZJOBS_BROKER", "ZJOBS_KEY"))}
    env |= {"PATH": f"{programs}:{env['PATH']}", "PLACE": str(service.place)}
    found = {name: Machine(service.place / address, env) for name, (_, address) in MACHINES.items()}
    yield found
    for name in ("lab", "queue"):  # the worker first
        found[name].end()


def commands() -> list[tuple[str, str, str]]:
    """(machine, command, what it is said to print) of all console blocks, with addresses and ports of this host."""
    text = "".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    text = re.sub(r" \\\n +", " ", text)  # a command that goes on in the next line
    for written, ours in MACHINES.values():
        text = text.replace(written, ours)
    for written, port in zip(PORTS, free_ports()):
        text = text.replace(f":{written}", f":{port}")
    parts = re.split(r"^(\w+)\$ (.+)\n", text, flags=re.MULTILINE)
    assert parts[0] == "" and len(parts) > 30
    return list(zip(parts[1::3], parts[2::3], parts[3::3]))


def test_two_machines_step_by_step(machines: dict[str, Machine], until: Callable[..., Any]) -> None:
    """Each command of the page, in order, prints what the page says; `…` stands for anything."""
    for name, command, told in commands():
        machine = machines[name]
        printed = machine.run(command)
        pattern = ".*".join(map(re.escape, told.rstrip("\n").split("…")))
        assert re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL), (command, printed)
        if command.endswith("&"):
            words = "requests at" if command.startswith("zbroker") else "ready"
            log = machine.home / command.split("> ")[1].split()[0]
            until(lambda log=log, words=words: log.exists() and words in log.read_text(), command, log.read_text)
        if command.startswith("zworker"):
            log = machines["queue"].home / "zbroker.log"
            until(lambda log=log: "the worker is ready" in log.read_text(), "they find each other", log.read_text)
    left = [path.name for path in machines["queue"].home.rglob("*.key")]
    assert left == ["broker.key"], "secret halves of others stay nowhere"


def test_the_table_of_roles_is_that_of_the_code() -> None:
    """Each command of the table may be used by the roles that it says, and no other."""
    table = re.findall(r"^\| (`.+?) \|(.*?)\|(.*?)\|(.*?)\|(.*?)\|$", PAGE, re.MULTILINE)
    rules = {operation.name: set(operation.roles) for operation in ops.OPERATIONS}
    told: set[str] = set()
    for words, *cells in table:
        for op in re.findall(r"`(?:zbroker )?(\w+)`", words):
            if op in rules:
                told.add(op)
                assert {role for role, cell in zip(Role, cells) if cell.strip()} == rules[op], op
    assert told == set(rules) - {"hello"}
