"""Does what a reader of a document would do in a terminal, and compares what is printed with what the page shows."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Service


def fenced(text: str, language: str) -> list[str]:
    """The blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def console_commands(block: str) -> list[tuple[str, str]]:
    """The commands of a console block (lines that begin with `$ `) and what each is said to print."""
    parts = re.split(r"^\$ (.+)\n", block, flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with a command"
    return list(zip(parts[1::2], parts[2::2]))


def is_printed(output: str, told: str) -> bool:
    """`…` stands for anything. Whether a job is seen before it starts or ends is chance: such lines may differ."""
    instant = re.compile(r"^\d+ (queued, 0 ahead|in progress)\n", re.MULTILINE)
    output, told = instant.sub("", output), instant.sub("", told)
    pattern = ".*".join(map(re.escape, told.rstrip("\n").split("…")))
    return re.fullmatch(pattern, output.rstrip("\n"), re.DOTALL) is not None


class Terminal:
    """Runs the commands of a page on a service of its own in place of the installed one."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def follow(self, block: str) -> None:
        """Runs each command of a console block; it must print what the page says."""
        for command, told in console_commands(block):
            self.do(command.removeprefix("scripts/start_all.sh ").strip(), told)

    def do(self, command: str, told: str) -> None:
        if command == "scripts/test.sh":
            return  # that is what runs this
        if command.startswith("zbroker"):
            assert command == "zbroker &"
            self.service.start_broker()
        elif command.startswith("zworker"):
            options = command.removesuffix("& WORKER=$!").removesuffix("&").split()[1:]
            self.service.start_worker(*options, tasks=False, time_scale=0.1)
            self.service.until_worker("ready")
        elif command.startswith("kill"):
            self.kill(command)
        else:
            self.run(command, told)

    def kill(self, command: str) -> None:
        if command == "kill $WORKER":
            self.service.worker.signal(15)
            assert self.service.worker.ended() == 0
        else:
            assert command == "kill -9 $WORKER"
            client = self.service.client()
            self.service.until(lambda: client.queue().jobs[0].state == "in_progress", "the job runs")
            self.service.worker.kill()
        self.service.until_worker("absent")

    def run(self, command: str, told: str) -> None:
        """Runs a program to its end. A status is asked for until it is what the page shows, as a reader would."""
        program, *words = shlex.split(command)
        assert program in ("zclient", "python"), f"the page has a command that no test runs: {command}"
        if words[:1] == ["status"]:
            self.service.until(lambda: is_printed(self.service.zclient(*words).stdout, told), f"{command}: {told}")
            return
        if program == "python":
            ended = self.service.script(self.service.place / "work" / words[0])
        else:
            ended = self.service.zclient(*words, stderr=subprocess.STDOUT)
        assert (ended.returncode == 0) != told.startswith("zclient: "), ended
        assert is_printed(ended.stdout, told), (command, ended.stdout, told)
