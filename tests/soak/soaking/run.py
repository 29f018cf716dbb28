"""One soak: load, faults by the schedule, healing, draining, and the verdict over what everybody saw."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from checker import FINAL, GRACE_S, Record, Verdict, check, load

from soaking import backups
from soaking.asker import Asker
from soaking.schedule import CLOCK_EVERY, DATABASE, Step, clocks, steps
from soaking.soak_tasks import TYPES, result_of
from soaking.stage import SoakError, Stage, pause

DRAIN_S = 120.0
IDS_A_REQUEST = 1_000
MOST_RESULTS = 20_000
ROLES = ("submitter", "watcher", "waiter")

Say = Callable[[str], None]


class Soaked(NamedTuple):
    """`done`: how often each fault happened; `troubles`: what was wrong beside the history."""

    verdict: Verdict
    done: Counter[str]
    troubles: list[str]
    seconds: float
    broker_peak_kib: int
    journal_bytes: int


class Soak:
    """A run of `seconds`, or until `enough` says so of the counts, with `clients` submitters, as many watchers, and as
    many who wait."""

    def __init__(self, stage: Stage, clients: int, say: Say) -> None:
        self._stage = stage
        self._clients = clients
        self._say = say
        self._done: Counter[str] = Counter()
        self._troubles: list[str] = []
        self._backup: backups.Backup | None = None
        self._taken = 0

    def run(self, seconds: float, kills_only: bool = False, enough: int | None = None) -> Soaked:
        """Raises SoakError when something does not come up or does not drain."""
        stage = self._stage
        began = time.monotonic()
        stage.start_broker()
        stage.start_worker()
        for role in ROLES * self._clients:
            stage.start_client(role)
        schedule, wrong = steps(stage.seed, kills_only, stage.server is not None), clocks(stage.seed)
        while time.monotonic() - began < seconds and not self._has(enough):
            if not kills_only and self._taken % CLOCK_EVERY == 0:
                stage.set_clock(next(wrong))
                self._done["clock steps"] += 1
            self._taken += 1
            self._take(next(schedule))
            stage.still_lives()
        self._drain()
        if self._backup is not None:
            self._done["restores"] += 1
            self._troubles += backups.restore(stage, self._backup)
        verdict = check(load(stage.records), result_of)
        self._troubles += [f"a traceback in {name}" for name in stage.tracebacks()]
        return Soaked(
            verdict,
            self._done,
            self._troubles,
            time.monotonic() - began,
            stage.broker_peak_kib,
            stage.journal_bytes(),
        )

    def _has(self, enough: int | None) -> bool:
        return enough is not None and min(self._done["broker kills"], self._done["worker kills"]) >= enough

    # --- faults --------------------------------------------------------------------------------------------

    def _take(self, step: Step) -> None:
        pause(step.pause_s)
        verb, _, what = step.fault.partition(" ")
        if verb == "backup":
            self._back_up()
        elif step.fault in DATABASE:
            self._break_database(verb, step.hold_s)
        elif verb == "second":
            self._second(what)
        elif what in ROLES:
            self._kill_client(what)
        elif verb in ("kill", "end"):
            self._restart(verb, what, step.hold_s)
        elif verb == "stop":
            self._stop(what, step)
        else:
            self._break_link(verb, what, step)

    def _restart(self, verb: str, what: str, hold_s: float) -> None:
        stage = self._stage
        who = what.split(" and ")
        for name in who:
            stage.recorder.note("away", link=name, hearing=name == "broker")
            program = stage.broker if name == "broker" else stage.worker
            stage.kill(program, name) if verb == "kill" else stage.tell_to_end(program, name)
            self._done[f"{name} {verb}s"] += 1
        if verb == "end":  # both are told before the first has ended
            for name in who:
                stage.await_end(stage.broker if name == "broker" else stage.worker, name)
            self._done["spools"] += stage.spooled()
        pause(hold_s)
        for name in who:
            stage.start_broker() if name == "broker" else stage.start_worker()
            stage.recorder.note("back", link=name, hearing=name == "broker")

    def _stop(self, what: str, step: Step) -> None:
        stage = self._stage
        program = stage.broker if what == "broker" else stage.worker
        stage.recorder.note("away", link=f"stop {what}", hearing=what == "broker")
        program.send_signal(signal.SIGSTOP)
        self._inside(step)
        program.send_signal(signal.SIGCONT)
        stage.recorder.note("back", link=f"stop {what}", hearing=what == "broker")
        self._done[f"{what} stops"] += 1

    def _break_link(self, verb: str, what: str, step: Step) -> None:
        stage = self._stage
        links = stage.client_links if what == "clients" else stage.worker_links
        stage.recorder.note("away", link=step.fault, hearing=what == "clients")
        for link in links:
            {"cut": link.cut, "stall": link.stall, "half-open": link.half_open, "slow": link.slow}[verb]()
        self._inside(step)
        for link in links:
            link.heal()
        stage.recorder.note("back", link=step.fault, hearing=what == "clients")
        self._done["links slowed" if verb == "slow" else "links broken"] += 1

    def _break_database(self, verb: str, hold_s: float) -> None:
        """What watches hears nothing meanwhile."""
        stage = self._stage
        assert stage.server is not None
        stage.recorder.note("away", link="database", hearing=True)
        if verb == "kill":
            stage.server.kill()
            pause(hold_s)
            stage.server.start()
        else:
            stage.server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'zbroker'"
            )
        self._until_written()
        stage.recorder.note("back", link="database", hearing=True)
        self._done["database kills" if verb == "kill" else "sessions ended"] += 1

    def _until_written(self) -> None:
        """A job is taken again."""
        asker, key = Asker(self._stage.direct, self._stage.recorder), f"written {self._taken}"
        try:
            while asker.submit(key, "soak_once", [key], **TYPES["soak_once"])["op"] != "submit":
                pause(0.05)
        finally:
            asker.close()

    def _inside(self, step: Step) -> None:
        pause(step.hold_s / 2)
        if step.inside is not None:
            self._restart("kill", step.inside.removeprefix("kill "), 0.0)
        pause(step.hold_s / 2)

    def _second(self, what: str) -> None:
        self._done[f"second {what}s refused"] += 1
        if not self._stage.refused_second(what):
            self._troubles.append(f"a second {what} was not refused")

    def _kill_client(self, role: str) -> None:
        stage = self._stage
        name = next(name for name in stage.clients if name.startswith(role))
        program: subprocess.Popen[bytes] = stage.clients.pop(name)
        program.kill()
        program.wait()
        stage.recorder.note("dead", who="client", name=name)
        self._done["clients killed"] += 1
        stage.start_client(role)

    def _back_up(self) -> None:
        self._done["backups"] += 1
        self._backup, troubles = backups.make(self._stage, self._done["backups"])
        self._troubles += troubles

    # --- the end -------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Nobody submits any more, unanswered requests are repeated, and everything comes to its end."""
        stage = self._stage
        self._say("healed; draining")
        for name in [name for name in stage.clients if name.startswith("submitter")]:
            program = stage.clients.pop(name)
            program.kill()
            program.wait()
        asker = Asker(stage.direct, stage.recorder)
        try:
            self._repeat_unanswered(asker)
            self._await_the_end(asker)
            pause(GRACE_S + 1.0)
            self._ask_everything(asker)
        finally:
            asker.close()
        stage.recorder.note("drained")
        stage.end_clients()
        stage.terminate(stage.worker, "worker")
        stage.terminate(stage.broker, "broker")

    def _repeat_unanswered(self, asker: Asker) -> None:
        for asking in unanswered(load(self._stage.records)):
            asker.submit_again(asking["key"], asking["kind"], asking["tokens"], asking["at"], **asking["about"])
            self._done["requests repeated at the end"] += 1

    def _await_the_end(self, asker: Asker) -> None:
        deadline = time.monotonic() + DRAIN_S
        while True:
            info = asker.ask("info")
            if not info["queued"] and not info["in_progress"]:
                return
            if time.monotonic() > deadline:
                logs = "\n".join(self._stage.log(name) for name in ("broker", "worker"))
                raise SoakError(f"it does not drain: {info}\n{logs}")
            pause(0.05)

    def _ask_everything(self, asker: Asker) -> None:
        ids = sorted(accepted_ids(load(self._stage.records)))
        completed: list[int] = []
        for start in range(0, len(ids), IDS_A_REQUEST):
            states = asker.status(ids[start : start + IDS_A_REQUEST])
            completed += [job_id for job_id, state in states.items() if state == "completed"]
            if any(state not in FINAL for state in states.values()):
                self._troubles.append(f"some of the jobs {ids[start]}… have not ended after the drain")
        for job_id in completed[:: 1 + len(completed) // MOST_RESULTS]:
            asker.result(job_id)


def unanswered(records: list[Record]) -> Iterator[Record]:
    """The submits that nobody heard an answer to."""
    answered = {record["key"] for record in records if record["what"] == "accepted"}
    for record in records:
        if record["what"] == "asking" and record["key"] not in answered:
            yield record


def accepted_ids(records: list[Record]) -> set[int]:
    return {
        job_id
        for record in records
        if record["what"] == "accepted"
        for job_id in range(record["first_id"], record["first_id"] + record["count"])
    }
