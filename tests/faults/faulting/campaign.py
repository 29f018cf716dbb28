"""Every n-th call in turn, until a whole life of the program has fewer calls: the broker goes through all of them.

One journal, one worker and one history serve a whole campaign; what a client was not answered before the broker died,
it asks again of the next broker, which dies a call later.
"""

from __future__ import annotations

from typing import NamedTuple

from checker import Verdict
from soaking.asker import NoAnswer

from faulting.disk import ERRORS, Fault
from faulting.forge import Ended, Forge
from faulting.scene import Scene

KILLED = -9
MOST_PENDING = 4  # requests in one life: or what is left over would make each life longer than the one before
IN_A_ROW = 3  # so many lives in which nothing fired end a campaign: not every life has the same number of turns

# (the program, kind of call, action)
DISK: tuple[tuple[str, str, str], ...] = (
    ("broker", "write", "kill before"),
    ("broker", "write", "kill after"),
    ("broker", "write", "kill torn"),
    ("broker", "flush", "kill before"),
    ("broker", "flush", "kill after"),
    ("broker", "write", "ENOSPC"),
    ("broker", "write", "EIO"),
    ("broker", "flush", "ENOSPC"),
    ("broker", "flush", "EIO"),
)
PYTHON: tuple[tuple[str, str, str], ...] = (
    ("broker", "commit", "kill before"),
    ("broker", "commit", "kill after"),
    ("broker", "send", "kill before"),
    ("broker", "send", "kill after"),
    ("worker", "send", "kill before"),
    ("worker", "send", "kill after"),
)


class Outcome(NamedTuple):
    """`fired`: how many points were tried; `refused`: how often a broker that could not write said so and went on
    answering; `troubles`: what was wrong beside the history."""

    fired: int
    refused: int
    verdict: Verdict
    troubles: list[str]


class Campaign:
    """One kind of call and one action, at the calls `first`, `first` + `step`, …"""

    def __init__(self, forge: Forge, program: str, kind: str, action: str, lasting: bool = True) -> None:
        self._forge = forge
        self._program = program
        self._kind = kind
        self._action = action
        self._lasting = lasting
        self._refused = 0
        self._troubles: list[str] = []
        self._number = 0
        self._pending: dict[str, tuple[str, list[str]]] = {}

    def run(self, first: int = 1, step: int = 1, most: int | None = None) -> Outcome:
        fired = idle = 0
        with Scene(self._forge) as scene:
            self._prepare(scene)
            scene.start_worker().ready()
            scene.start_broker().ready()
            self._known = scene.submit("known", "soak_once")["first_id"]
            scene.await_ends([self._known])
            nth = first
            while idle < IN_A_ROW and (most is None or fired < most):
                happened = self._point(scene, nth)
                fired, idle = (fired + 1, 0) if happened else (fired, idle + 1)
                nth += step
            self._fresh(scene, None)
            verdict = scene.drained()
            for file in scene.place.glob("*.err"):
                if "Traceback" in file.read_text(errors="replace"):
                    self._troubles.append(f"a traceback: {file.read_text(errors='replace')[-2000:]}")
        return Outcome(fired, self._refused, verdict, self._troubles)

    def _prepare(self, scene: Scene) -> None:
        """Before the programs start."""

    def _point(self, scene: Scene, nth: int) -> bool:
        """A life of the program with a fault at its nth call; whether it came to that."""
        full, fired = scene.place / "full", scene.place / "fired"
        fired.unlink(missing_ok=True)
        full.touch()
        try:
            self._fresh(scene, Fault(self._kind, nth, self._action, str(scene.place), self._lasting))
            self._load(scene)
        except Ended as ended:
            self._refusal_to_start(ended)
        except NoAnswer:
            # the one that was to die did; the next life answers
            if (scene.broker if self._program == "broker" else scene.worker).code() is None:
                self._troubles.append(f"no answer at {self._kind} {nth}, {self._action}")
        finally:
            full.unlink(missing_ok=True)
        return fired.exists()

    def _fresh(self, scene: Scene, fault: Fault | None) -> None:
        """Ends the program's last life, and begins the next with `fault`. Raises Ended."""
        scene.kill(self._program)
        if self._program == "broker":
            scene.start_broker(fault=fault).ready()
        else:
            scene.start_worker(fault=fault)

    def _load(self, scene: Scene) -> None:
        """Two requests of two jobs, up to their ends; the requests of earlier lives that nobody answered first."""
        for kind in ("soak_once", "soak_safe"):
            if len(self._pending) >= MOST_PENDING:
                break
            self._number += 1
            key = f"{self._number}"
            self._pending[key] = kind, [f"{key}-0", f"{key}-1"]
        for key, (kind, tokens) in list(self._pending.items()):
            self._insist(scene, key, kind, tokens)

    def _insist(self, scene: Scene, key: str, kind: str, tokens: list[str]) -> None:
        reply = scene.submit(key, kind, *tokens)
        if reply["op"] == "error":
            if reply["code"] not in ("storage", "read_only"):
                self._troubles.append(f"a submit was refused with {reply['code']}: {reply['message']}")
            self._while_it_cannot_write(scene)

            def taken() -> dict[str, int] | None:
                again = scene.submit(key, kind, *tokens)
                return again if again["op"] == "submit" else None

            reply = scene.until(taken, "requests are taken again")
        del self._pending[key]
        ids = list(range(reply["first_id"], reply["first_id"] + reply["count"]))
        scene.await_ends_or_death(ids, self._program, lambda: self._look(scene))

    def _look(self, scene: Scene) -> None:
        """The commit that failed may have been any other than a submit's."""
        if self._action in ERRORS and (scene.place / "fired").exists() and scene.asker.ask("info")["read_only"]:
            self._while_it_cannot_write(scene)

    def _while_it_cannot_write(self, scene: Scene) -> None:
        """It says so, and goes on answering what only reads; then the disk has room again."""
        if not (scene.place / "full").exists():
            return
        if not scene.asker.ask("info")["read_only"]:
            self._troubles.append("info has no read_only while nothing can be written")
        if scene.asker.status([self._known]) != {self._known: "completed"}:
            self._troubles.append("no status while nothing can be written")
        if scene.asker.result(self._known) is None:
            self._troubles.append("no result while nothing can be written")
        (scene.place / "full").unlink()
        self._refused += 1

    def _refusal_to_start(self, ended: Ended) -> None:
        """Killed as ordered, or a sentence and an exit code of its own."""
        if ended.code == KILLED:
            return
        if self._action not in ERRORS or ended.code not in (73, 74) or "zbroker: " not in ended.log:
            self._troubles.append(f"the broker did not start, code {ended.code}: {ended.log}")
