"""A Hypothesis state machine over the simulated world: it looks for a run of events that breaks a promise.

Both cores, the journal and the encoding of messages are the real ones.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from simulation.schedule import TIMES_MS
from simulation.store import FileStore, MemoryStore, Store
from simulation.tasks import BEHAVIOURS, TYPES
from simulation.world import World

from tests.examples import examples

FEW = st.sampled_from((0, 1, 2, 3, 8, 1000))
JOB = st.builds(
    "{}:{}*{}{}{}{}{}{}".format,
    st.sampled_from(list(TYPES)),
    st.sampled_from(BEHAVIOURS),
    st.sampled_from((1, 2, 12)),
    st.sampled_from(("", "^5", "^-5")),
    st.sampled_from(("", "+40", "+700")),
    st.sampled_from(("", "!30", "!150")),
    st.sampled_from(("", "", "~-1", "~-3")),
    st.sampled_from(("", "", "<50", "<3000")),
)
IDS = st.lists(st.sampled_from(("running", "-1", "-2", "-3", "-5", "-12", "1", "5")), min_size=1, max_size=3)

CHANGES = ("cancel", "cancel", "retry", "forget", "hold", "release", "edit 5", "edit at 300", "edit by 300")
OPERATOR = ("pause on lost", "pause on failed", "keep 3", "keep 0 500", "keep", "clock -10000", "clock 3000")


class Machine(RuleBasedStateMachine):
    """Each rule is a line of a scenario; after the last one everything heals, and every job must end."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.store())
        self.whole = True

    def store(self) -> Store:
        return MemoryStore()

    def do(self, line: str) -> None:
        try:
            self.world.do(line)
        except BaseException as error:
            self.whole = False
            raise AssertionError("\n".join([*self.world.lines, f"→ {error!r}"])) from error

    def teardown(self) -> None:
        try:
            if self.whole:
                self.do("drain")
        finally:
            self.world.close()

    @initialize()
    def begin(self) -> None:
        self.do("worker starts")
        self.do("run 0")

    @rule(jobs=st.lists(JOB, min_size=1, max_size=3))
    def submit(self, jobs: list[str]) -> None:
        self.do(f"submit {' '.join(jobs)}")

    @rule(few=FEW)
    def repeat(self, few: int) -> None:
        self.do(f"repeat {few}")

    @rule(
        what=st.sampled_from(
            ("cancel", "cancel", "retry", "forget", "hold", "release", "edit 5", "edit at 300", "edit by 300")
        ),
        ids=IDS,
    )
    def control(self, what: str, ids: list[str]) -> None:
        self.do(f"{what} {' '.join(ids)}")

    @rule(what=st.sampled_from(("pause", "resume", "resume", "pause ann 700", "pause bob 50", "resume ann")))
    def stop_the_line(self, what: str) -> None:
        self.do(what)

    @rule(
        what=st.sampled_from(
            ("pause on lost", "pause on failed", "keep 3", "keep 0 500", "keep", "clock -10000", "clock 3000")
        )
    )
    def operate(self, what: str) -> None:
        self.do(what)

    @rule(who=st.sampled_from(("broker", "worker", "worker stale", "task")), few=FEW)
    def turn(self, who: str, few: int) -> None:
        self.do(f"{who} {few}")

    @rule(how=st.sampled_from(("wait", "run")), duration_ms=st.sampled_from(TIMES_MS))
    def time_passes(self, how: str, duration_ms: int) -> None:
        self.do(f"{how} {duration_ms}")

    @rule(where=st.sampled_from(("before", "after")), few=FEW)
    def broker_dies(self, where: str, few: int) -> None:
        self.do(f"broker dies {where} {few}")

    @rule(what=st.sampled_from(("broker starts", "worker starts", "worker starts few", "connect", "disk empties")))
    def something_heals(self, what: str) -> None:
        self.do(what)

    @rule(what=st.sampled_from(("cut pipe", "cut reports", "worker dies")), few=FEW)
    def something_breaks(self, what: str, few: int) -> None:
        self.do(f"{what} {few}")

    @rule(what=st.sampled_from(("disk fills", "worker stops", "worker stops at once", "task dies")))
    def something_ends(self, what: str) -> None:
        self.do(what)


class RestoringMachine(Machine):
    """Now and then an older copy of the journal is put in its place."""

    @rule(what=st.sampled_from(("backup", "restore")))
    def copies(self, what: str) -> None:
        self.do(what)


class FileMachine(Machine):
    """The journal is a file, and a crash leaves its log as it was."""

    def store(self) -> FileStore:
        self.folder = tempfile.TemporaryDirectory()
        return FileStore(Path(self.folder.name))

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.folder.cleanup()


@pytest.mark.parametrize(("machine", "number"), [(Machine, 40), (RestoringMachine, 25), (FileMachine, 4)])
def test_no_run_of_events_breaks_a_promise(machine: type[Machine], number: int) -> None:
    """Whatever happens, in whatever order, the promises in `simulation.oracle` hold; in the end every job is final."""
    run_state_machine_as_test(machine, settings=examples(number))
