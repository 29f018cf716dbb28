"""A broker and a worker from the forge in a folder of their own, a client that records, and the verdict at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checker import FINAL, Verdict, check, load
from soaking.asker import Asker, NoAnswer
from soaking.recorder import Recorder
from soaking.run import accepted_ids, unanswered
from soaking.soak_tasks import TYPES, result_of

from faulting.disk import Fault
from faulting.forge import Forge, Program

PATIENCE_S = 30.0
TASKS = Path(__file__).parents[2] / "soak/soaking"


class Scene:
    """`clock`: a file; the number in it is added to the broker's wall clock (nanoseconds)."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge
        self.place = Path(tempfile.mkdtemp(prefix="zjf"))
        self.journal = self.place / "journal.db"
        self.database = ""  # the URL of the journal, where it is in no file
        self.records = self.place / "records"
        self.recorder = Recorder(self.records)
        self.endpoint = f"ipc://{self.place}/f"
        self.worker_at = ["--pipe", f"{self.endpoint}.pipe", "--reports", f"{self.endpoint}.reports"]
        self.env = {
            "SOAK_RECORDS": str(self.records),
            "XDG_STATE_HOME": str(self.place / "state"),
            "PYTHONPATH": os.pathsep.join([str(TASKS), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        self.clock = self.place / "clock"
        self.clock.write_text("0")
        self.asker = Asker(self.endpoint, self.recorder, PATIENCE_S, lambda: self.broker.code() is not None)
        self.broker: Program
        self.worker: Program
        self._programs: list[Program] = []

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.asker.close()
        for program in self._programs:
            program.kill()
        self.recorder.close()
        shutil.rmtree(self.place)

    def start_broker(self, *options: str, fault: Fault | None = None) -> Program:
        """Starts a broker, and does not wait for it."""
        argv = ["--listen", self.endpoint, *self.worker_at, "--journal", self.database or str(self.journal), *options]
        self.broker = self.forge.start("broker", argv, self.place, self.env, fault, str(self.journal), self.clock)
        self._programs.append(self.broker)
        return self.broker

    def step_clock(self, step_ns: int) -> None:
        """Moves the broker's wall clock. By a rename: it must never read half a number."""
        fresh = self.clock.with_suffix(".fresh")
        fresh.write_text(str(step_ns))
        fresh.rename(self.clock)

    def start_worker(self, *options: str, fault: Fault | None = None) -> Program:
        """Starts a worker, and does not wait for it."""
        argv = [*self.worker_at, "--tasks", "soak_tasks", "--time-scale", "0", *options]
        self.worker = self.forge.start("worker", argv, self.place, self.env, fault)
        self._programs.append(self.worker)
        return self.worker

    def kill(self, who: str) -> None:
        (self.broker if who == "broker" else self.worker).kill()
        self.recorder.note("dead", who=who)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Waits until the condition holds, and gives its value."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {PATIENCE_S:g} s\n{self.logs()}")
            time.sleep(0.01)
        return value

    def logs(self) -> str:
        return "\n".join(f"--- {program.err.name}\n{program.log[-3000:]}" for program in self._programs[-4:])

    def submit(self, key: str, kind: str, *tokens: str) -> dict[str, Any]:
        return self.asker.submit(key, kind, tokens or (key,), **TYPES[kind])

    def await_ends(self, ids: list[int]) -> dict[int, str]:
        """The final states of these jobs."""

        def ended() -> dict[int, str] | None:
            states = self.asker.status(ids)
            return states if len(states) == len(ids) and set(states.values()) <= FINAL else None

        states: dict[int, str] = self.until(ended, f"the jobs {ids} have ended")
        return states

    def await_ends_or_death(self, ids: list[int], program: str, each_time: Callable[[], None]) -> None:
        """As await_ends; raises NoAnswer when `broker` or `worker` dies instead. Calls `each_time` it asks."""

        def ended() -> bool:
            states = self.asker.status(ids)
            if len(states) == len(ids) and set(states.values()) <= FINAL:
                return True
            each_time()
            if (self.broker if program == "broker" else self.worker).code() is not None:
                raise NoAnswer(f"the {program} died")
            return False

        self.until(ended, f"the jobs {ids} have ended")

    def drained(self) -> Verdict:
        """Repeats what nobody answered, waits for the end of everything, asks for all of it, and judges."""
        for asking in unanswered(load(self.records)):
            self.asker.submit_again(asking["key"], asking["kind"], asking["tokens"], asking["at"], **asking["about"])
        ids = sorted(accepted_ids(load(self.records)))
        for start in range(0, len(ids), 1000):
            states = self.await_ends(ids[start : start + 1000])
            for job_id, state in states.items():
                if state == "completed":
                    self.asker.result(job_id)
        self.recorder.note("drained")
        return check(load(self.records), result_of)
