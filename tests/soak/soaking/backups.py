"""Backups of the broker at work, and in the end a restore: what the last of them must know is known, and told truly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from checker import FINAL, Record, load

from soaking.asker import Asker
from soaking.recorder import Recorder
from soaking.soak_tasks import result_of
from soaking.stage import Stage

IDS_A_REQUEST = 1_000


class Backup(NamedTuple):
    """`records`: how many there were when it began; all that was acknowledged by then is in it."""

    file: Path
    records: int


def make(stage: Stage, number: int) -> tuple[Backup, list[str]]:
    """A backup while the load goes on; and what was wrong with it."""
    made = Backup(stage.place / f"backup{number}.db", len(load(stage.records)))
    said = [stage.upkeep("backup", str(stage.place / "journal.db"), str(made.file))]
    said += [stage.upkeep("check", str(made.file))] if made.file.exists() else []
    return made, [f"a backup: {error}" for error in said if error]


def restore(stage: Stage, made: Backup) -> Iterator[str]:
    """Restores it in place of the journal, with no broker there, and asks for everything. Gives out what is wrong."""
    journal = stage.place / "journal.db"
    error = stage.upkeep("restore", str(made.file), str(journal))
    if error:
        yield f"the restore: {error}"
        return
    if len(list(stage.place.glob("journal.db.before-*"))) == 0:
        yield "the restore left no old journal"
    stage.start_broker()
    recorder = Recorder(stage.place / "records-restored")
    asker = Asker(stage.direct, recorder)
    try:
        if asker.ask("info")["paused"] is None:
            yield "the restored queue is not paused"
        records = load(stage.records)
        yield from _lies(asker, acknowledged(records[: made.records]), finals(records))
    finally:
        asker.close()
        recorder.close()
        stage.terminate(stage.broker, "broker")


def acknowledged(records: list[Record]) -> dict[int, str]:
    """The token of each job that was acknowledged."""
    return {
        record["first_id"] + place: token
        for record in records
        if record["what"] == "accepted"
        for place, token in enumerate(record["tokens"])
    }


def finals(records: list[Record]) -> dict[int, str]:
    """What clients were told of how jobs ended, in the end."""
    return {
        record["id"]: record["state"]
        for record in records
        if record["what"] in ("status", "event") and record["state"] in FINAL
    }


def _lies(asker: Asker, jobs: dict[int, str], ends: dict[int, str]) -> Iterator[str]:
    """A job is as it was then: queued, or ended as it was told to have."""
    ids = sorted(jobs)
    for start in range(0, len(ids), IDS_A_REQUEST):
        wanted = ids[start : start + IDS_A_REQUEST]
        states = asker.status(wanted)
        for job_id in wanted:
            state = states.get(job_id)
            if state is None:
                yield f"job {job_id} was acknowledged before the backup, and is not in it"
            elif state in FINAL and state != ends.get(job_id, state):
                yield f"job {job_id} is {state} in the backup, and was told to be {ends[job_id]}"
    for job_id in ids[:: 1 + len(ids) // IDS_A_REQUEST]:
        value = asker.result(job_id)
        if value not in (None, result_of(jobs[job_id])):
            yield f"job {job_id} has the result {value!r} in the backup"
