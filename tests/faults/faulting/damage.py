"""A journal, damaged in every way, and what a broker makes of it: refused and left as it is, or served truthfully."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from faulting.forge import Ended
from faulting.scene import Scene

REFUSED = 74
Files = dict[str, bytes]
Truth = dict[int, tuple[dict[str, Any], Any]]


class Sample(NamedTuple):
    """A journal as kill -9 left it: its file and its log, and what was told of every job in it."""

    files: Files
    truth: Truth


def told(scene: Scene, ids: list[int]) -> Truth:
    """Status and result of each job, as a client is told them. Errors are told too."""
    jobs = {job["id"]: job for job in scene.asker.ask("status", ids=ids)["jobs"]}
    truth = {}
    for job_id in ids:
        job = {name: value for name, value in jobs[job_id].items() if name != "ahead"} if job_id in jobs else {}
        result = scene.asker.ask("result", id=job_id)
        truth[job_id] = job, result["body"] if result["op"] == "result" else result["code"]
    return truth


def sample(scene: Scene) -> Sample:
    """Made by a broker and a worker that are killed in the end."""
    scene.start_broker().ready()
    scene.start_worker().ready()
    ids = [
        scene.submit(f"{kind} {delivery}", kind)["first_id"]
        for delivery in range(20)
        for kind in ("soak_once", "soak_dies")[:1]
    ]
    ids += [
        scene.submit(f"large {delivery}", "soak_safe", "x" * 9000 + str(delivery))["first_id"] for delivery in range(4)
    ]
    scene.await_ends(ids)
    scene.kill("worker")
    ids += [scene.submit(f"waits {delivery}", "soak_once")["first_id"] for delivery in range(12)]
    truth = told(scene, ids)
    scene.kill("broker")
    return Sample(read(scene), truth)


def read(scene: Scene) -> Files:
    """The journal's file and everything beside it, locks apart."""
    beside = sorted(scene.place.glob("journal.db*"))
    return {file.name: file.read_bytes() for file in beside if file.suffix != ".lock"}


def put(scene: Scene, files: Files) -> None:
    for name in read(scene):
        (scene.place / name).unlink()
    for name, content in files.items():
        (scene.place / name).write_bytes(content)


def verdict(scene: Scene, files: Files, truth: Truth) -> str:
    """`refused` or `served`, and anything else is wrong: a sentence."""
    put(scene, files)
    try:
        scene.start_broker().ready()
    except Ended as ended:
        if ended.code != REFUSED or "Traceback" in ended.log or "zbroker: " not in ended.log:
            return f"ended with code {ended.code}: {ended.log[-1500:]}"
        if read(scene) != files:
            return f"refused, but changed the file: {ended.log[-500:]}"
        return "refused"
    try:
        now = told(scene, list(truth))
    finally:
        scene.kill("broker")
    if "Traceback" in scene.broker.log:
        return f"a traceback: {scene.broker.log[-1500:]}"
    lies = [f"{truth[job_id]} became {now[job_id]}" for job_id in truth if not honest(truth[job_id], now[job_id])]
    return f"served, but {lies[0][-600:]}" if lies else "served"


def honest(before: tuple[dict[str, Any], Any], now: tuple[dict[str, Any], Any]) -> bool:
    """The same; or the broker says of the result that it cannot be read."""
    return before[0] == now[0] and now[1] in (before[1], "storage")


def flipped(files: Files, draw: random.Random) -> Files:
    """One bit of the file or of its log is another."""
    name = draw.choice([name for name in files if files[name]])
    content = bytearray(files[name])
    place = draw.randrange(len(content))
    content[place] ^= 1 << draw.randrange(8)
    return {**files, name: bytes(content)}


def cut(files: Files, draw: random.Random) -> Files:
    """The file ends too early."""
    return {**files, "journal.db": files["journal.db"][: draw.randrange(1, len(files["journal.db"]))]}


def moved_into_the_file(files: Files, folder: Path) -> Files:
    """The same journal with an empty log: where most bytes of an old journal are."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (folder / "journal.db").read_bytes()
    connection.close()
    return {"journal.db": content, "journal.db-wal": b""}
