"""Decides whether a history keeps the promises: pure, from what clients were told and what tasks really did.

A history is a list of records, maps with `what` and `at` (seconds on one monotonic clock), in any order. Times of a
request are two: `asked`, before it was sent, and `at`, after its reply came. `token` is what the test put into a job's
data, and what the job's task writes down when it runs.

    what clients were told
      accepted  asked, key, first_id, count, journal, tokens; and what matters of the jobs (all optional): priority,
                ready_after_s, max_attempts, max_reruns, time_limit_s
      status    asked, id, state, version [, reason]         the reply to a request
      missing   asked, id, code                              `not_found` or `expired`
      result    asked, id, value
      watch     watcher, id [, reads: false]                 it begins to watch; one that never reads is owed nothing
      event     watcher, id, state, version
    what tasks did
      start     token, pid, alone                            alone: nobody else held the lock of all tasks
      end       token, pid, outcome                          returned, raised, or died (written just before it dies)
      alive     token, pid, since                            a program that a run left lives; since: when it was started
    what was done to whom
      dead      who: broker, worker, task, client [, name]   from here on it cannot do anything; name: a watcher's
      away      link: name [, hearing: false]                broker down or stopped, a connection cut, stalled;
                                                             hearing false: watchers hear the broker all the same
      back      link: name                                   each `away` has its `back`, unless it stays so
      drained                                                all was healed and has ended: what is not final is lost

`expected(token)` is the result that a job must have. Whatever is not recorded is not judged.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

Record = dict[str, Any]

FINAL = frozenset({"completed", "failed", "cancelled"})

# What a history can break, and what each count of trials counts.
KINDS = {
    "lost": "acknowledged jobs",
    "false acknowledgement": "acknowledgements",
    "overlap": "runs",
    "order": "first starts",
    "result changed": "results read",
    "run again": "runs",
    "final state changed": "statuses and events",
    "final missed": "jobs watched",
}

OVERTAKE_S = 1.0  # a priority or a delay that is over may take this long to be heard of, while nothing is broken
GRACE_S = 5.0  # for a watcher, after it came back
REPORT_S = 1.0  # a run that failed so shortly before its worker was killed may not have been told of any more


class Breach(NamedTuple):
    kind: str
    sentence: str


class Verdict(NamedTuple):
    """`trials`: how often each kind could have been broken."""

    breaches: list[Breach]
    trials: Counter[str]

    def table(self) -> list[tuple[str, int, int, str]]:
        """(kind, breaches, trials, what the trials are), in the order of KINDS."""
        found = Counter(breach.kind for breach in self.breaches)
        return [(kind, found[kind], self.trials[kind], of) for kind, of in KINDS.items()]


class Job(NamedTuple):
    id: int
    token: str
    accepted: Record

    @property
    def priority(self) -> int:
        return int(self.accepted.get("priority", 0))

    @property
    def delayed(self) -> bool:
        return "ready_after_s" in self.accepted

    @property
    def ready_at(self) -> float:
        """Not before this."""
        return float(self.accepted["asked"]) + float(self.accepted.get("ready_after_s", 0.0))

    @property
    def surely_ready_at(self) -> float:
        """The broker counts a delay from when it takes the job, which is before its reply was here."""
        return float(self.accepted["at"]) + float(self.accepted.get("ready_after_s", 0.0))


def save(records: Iterable[Record], file: Path) -> None:
    """One record a line, in the order of time."""
    lines = sorted((json.dumps(record) for record in records), key=lambda line: json.loads(line)["at"])
    file.write_text("".join(line + "\n" for line in lines))


def load(file: Path) -> list[Record]:
    """What `save` wrote, or several processes by appending; a last line that was cut by a kill is left out."""
    records = []
    for line in file.read_text(errors="replace").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def check(records: Iterable[Record], expected: Callable[[str], Any] | None = None) -> Verdict:
    """Every promise that this history breaks."""
    return _Check(records, expected).verdict()


class _Check:
    def __init__(self, records: Iterable[Record], expected: Callable[[str], Any] | None) -> None:
        self._expected = expected
        self._by_what: dict[str, list[Record]] = defaultdict(list)
        for record in sorted(records, key=lambda record: record["at"]):
            self._by_what[record["what"]].append(record)
        self._breaches: list[Breach] = []
        self._trials: Counter[str] = Counter()
        self._jobs: dict[int, Job] = {}
        self._by_token: dict[str, Job] = {}
        self._told: dict[int, list[Record]] = defaultdict(list)
        for record in self._by_what["status"] + self._by_what["event"]:
            self._told[record["id"]].append(record)
        self._starts: dict[str, list[Record]] = defaultdict(list)
        for start in self._by_what["start"]:
            self._starts[start["token"]].append(start)
        self._ends: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for end in self._by_what["end"]:
            self._ends[end["token"], end["pid"]].append(end)

    def verdict(self) -> Verdict:
        self._acknowledgements()
        for judge in (self._lost, self._overlaps, self._order, self._results, self._runs, self._finals, self._watchers):
            judge()
        return Verdict(self._breaches, self._trials)

    def _breach(self, kind: str, sentence: str) -> None:
        assert kind in KINDS
        self._breaches.append(Breach(kind, sentence))

    # --- what was acknowledged -----------------------------------------------------------------------------

    def _acknowledgements(self) -> None:
        """An id belongs to one job of one key for ever, and nobody is told that it does not exist."""
        keys: dict[str, Record] = {}
        for accepted in self._by_what["accepted"]:
            self._trials["false acknowledgement"] += 1
            first = keys.setdefault(accepted["key"], accepted)
            same = ("first_id", "count", "journal", "tokens")
            if [first[name] for name in same] != [accepted[name] for name in same]:
                self._breach("false acknowledgement", f"the key {accepted['key']} was answered twice, differently")
                continue
            if len(accepted["tokens"]) != accepted["count"]:
                self._breach("false acknowledgement", f"the key {accepted['key']} was answered with another count")
            for job_id, token in enumerate(accepted["tokens"], accepted["first_id"]):
                job = self._jobs.setdefault(job_id, Job(job_id, token, accepted))
                if job.token != token:
                    self._breach("false acknowledgement", f"job {job_id} was given to {job.token} and to {token}")
                if self._by_token.setdefault(token, job).id != job_id:
                    self._breach("false acknowledgement", f"{token} was taken twice, as {job_id} too")
        for record in self._by_what["missing"]:
            job_known = self._jobs.get(record["id"])
            if record["code"] == "not_found" and job_known and record["asked"] >= job_known.accepted["at"]:
                self._breach("false acknowledgement", f"job {record['id']} was acknowledged, then not known")

    def _lost(self) -> None:
        """After the drain everybody's job has ended, or was dropped after its end; completed means it ran."""
        drained = bool(self._by_what["drained"])
        expired = {record["id"] for record in self._by_what["missing"] if record["code"] == "expired"}
        for job in self._jobs.values():
            self._trials["lost"] += 1
            states = {record["state"] for record in self._told[job.id]}
            if drained and not states & FINAL and job.id not in expired:
                self._breach("lost", f"job {job.id} ({job.token}) never came to an end")
            ran = any(self._end_of(start) == "returned" for start in self._starts.get(job.token, ()))
            if "completed" in states and not ran:
                self._breach("lost", f"job {job.id} ({job.token}) is told to be completed, but no run of it was")

    # --- what was run ----------------------------------------------------------------------------------------

    def _end_of(self, start: Record) -> str | None:
        """How the run that began there ended; None: nobody knows."""
        end = self._end_record(start)
        return None if end is None else str(end["outcome"])

    def _end_record(self, start: Record) -> Record | None:
        following = [
            r["at"] for r in self._starts[start["token"]] if r["at"] > start["at"] and r["pid"] == start["pid"]
        ]
        before = min(following, default=float("inf"))
        ends = self._ends[start["token"], start["pid"]]
        return next((end for end in ends if start["at"] <= end["at"] < before), None)

    def _overlaps(self) -> None:
        """No run begins while another one goes on: by the lock that each task holds, and by the clock."""
        latest: tuple[float, str] | None = None
        for start in self._by_what["start"]:
            self._trials["overlap"] += 1
            if not start["alone"]:
                self._breach("overlap", f"{start['token']} began at {start['at']:.6f} while another one ran")
            elif latest is not None and start["at"] < latest[0]:
                self._breach("overlap", f"{start['token']} began at {start['at']:.6f}, before {latest[1]} ended")
            end = self._end_record(start)
            if end is not None:
                latest = max(latest or (0.0, ""), (end["at"], start["token"]))
        self._programs_overlap()

    def _programs_overlap(self) -> None:
        """No program that a run has left lives on when another one has begun."""
        starts = [start["at"] for start in self._by_what["start"]]
        told: set[tuple[str, int]] = set()
        for alive in self._by_what["alive"]:
            place = bisect.bisect_right(starts, alive["since"])
            program = (alive["token"], alive["pid"])
            if place < len(starts) and starts[place] < alive["at"] and program not in told:
                told.add(program)
                other = self._by_what["start"][place]["token"]
                self._breach("overlap", f"{other} began at {starts[place]:.6f} beside a program that {program[0]} left")

    def _runs(self) -> None:
        """A second run has its reason: a failure that may be repeated, or a death that may; none after the end."""
        deaths = [record["at"] for record in self._by_what["dead"] if record["who"] in ("worker", "task")]
        for token, starts in self._starts.items():
            self._trials["run again"] += len(starts)
            accepted = self._by_token[token].accepted if token in self._by_token else {}
            most_failures, most_reruns = accepted.get("max_attempts", 1) - 1, accepted.get("max_reruns", 0)
            failures = reruns = either = 0
            for before, after in itertools.pairwise(starts):
                died_at = next((at for at in deaths if before["at"] <= at <= after["at"]), None)
                if not self._failed_by_itself(before, after, accepted):
                    reruns += 1
                    allowed = died_at is not None
                else:
                    ended_at = (self._end_record(before) or after)["at"]
                    untold = died_at is not None and died_at <= ended_at + REPORT_S
                    either, failures = either + untold, failures + (not untold)
                    allowed = True
                within = failures <= most_failures and reruns <= most_reruns
                if not allowed or not within or failures + reruns + either > most_failures + most_reruns:
                    self._breach("run again", f"{token} ran again at {after['at']:.6f} without a reason that allows it")
            self._runs_after_the_end(token, starts)

    def _failed_by_itself(self, before: Record, after: Record, accepted: Record) -> bool:
        outcome = self._end_of(before)
        limit_s = accepted.get("time_limit_s")
        timed_out = limit_s is not None and outcome is None and after["at"] - before["at"] >= limit_s
        return outcome in ("raised", "died") or timed_out

    def _runs_after_the_end(self, token: str, starts: list[Record]) -> None:
        job = self._by_token.get(token)
        final_at = min((r["at"] for r in self._told[job.id] if r["state"] in FINAL), default=None) if job else None
        if final_at is not None and starts[-1]["at"] > final_at:
            self._breach("run again", f"{token} ran at {starts[-1]['at']:.6f}, after its end was told")

    # --- order ---------------------------------------------------------------------------------------------

    def _order(self) -> None:
        firsts = [(starts[0]["at"], self._by_token[t]) for t, starts in self._starts.items() if t in self._by_token]
        firsts.sort(key=lambda first: first[0])
        self._trials["order"] += len(firsts)
        self._order_among_equals(firsts)
        self._order_among_unequals(firsts)
        for at, job in firsts:
            if at < job.ready_at and not self._clock_counted(job, at):
                self._breach("order", f"job {job.id} began {job.ready_at - at:.3f} s before its delay was over")

    def _order_among_equals(self, firsts: list[tuple[float, Job]]) -> None:
        """Undelayed jobs of one priority begin in the order of their ids, whatever happens around them."""
        highest: dict[int, int] = {}
        for _, job in firsts:
            if job.delayed:
                continue
            before = highest.get(job.priority, 0)
            if job.id < before:
                self._breach("order", f"job {job.id} began after job {before}")
            highest[job.priority] = max(before, job.id)

    def _order_among_unequals(self, firsts: list[tuple[float, Job]]) -> None:
        """A job that is surely ready, and comes first by priority or id, was not kept waiting by a later one.

        Only judged where nothing was broken since it was ready: the wish to overtake must reach the worker.
        """
        unequal = any(job.priority or job.delayed for _, job in firsts)
        started_at = {job.id: at for at, job in firsts}
        arriving = sorted((job.surely_ready_at + OVERTAKE_S, job.id) for _, job in firsts) if unequal else []
        waiting: list[tuple[int, int]] = []
        place = 0
        for at, job in firsts if unequal else ():
            while place < len(arriving) and arriving[place][0] <= at:
                other = self._jobs[arriving[place][1]]
                heapq.heappush(waiting, (-other.priority, other.id))
                place += 1
            while waiting and started_at[waiting[0][1]] <= at:
                heapq.heappop(waiting)
            if waiting and waiting[0] < (-job.priority, job.id):
                other = self._jobs[waiting[0][1]]
                if not self._troubled(other.surely_ready_at, at) and not self._clock_counted(other, at):
                    self._breach("order", f"job {job.id} began while job {other.id} was ready and comes first")

    def _clock_counted(self, job: Job, until: float) -> bool:
        """Whether its delay went by a clock that was set meanwhile: over a restart of the broker nothing else tells."""
        asked = float(job.accepted["asked"])
        steps = [record["at"] for record in self._by_what["clock"]]
        restarts = [record["at"] for record in self._by_what["back"] if record.get("link") == "broker"]
        return job.delayed and all(any(asked <= at <= until for at in times) for times in (steps, restarts))

    def _troubled(self, since: float, until: float) -> bool:
        trouble = self._by_what["dead"] + self._by_what["away"] + self._by_what["back"]
        if any(since <= record["at"] <= until for record in trouble):
            return True
        return any(begin < until and since < end for begin, end in self._absences())

    # --- what was told -------------------------------------------------------------------------------------

    def _results(self) -> None:
        """A result is what its task makes of its data, each time it is read."""
        first: dict[int, Any] = {}
        for record in self._by_what["result"]:
            self._trials["result changed"] += 1
            job_id, value = record["id"], record["value"]
            if first.setdefault(job_id, value) != value:
                self._breach("result changed", f"job {job_id} had the result {first[job_id]!r}, then {value!r}")
            job = self._jobs.get(job_id)
            if self._expected is not None and job is not None and value != self._expected(job.token):
                self._breach("result changed", f"job {job_id} has the result {value!r} of another job")

    def _finals(self) -> None:
        """The first final state is the last state: by version, and for requests by time."""
        for job_id, told in self._told.items():
            self._trials["final state changed"] += len(told)
            finals = [record for record in told if record["state"] in FINAL]
            if not finals:
                continue
            final = finals[0]
            for record in told:
                if record["state"] in FINAL:
                    wrong = (record["state"], record["version"]) != (final["state"], final["version"])
                else:
                    late = record["what"] == "status" and record["asked"] > final["at"]
                    wrong = late or record["version"] >= final["version"]
                if wrong:
                    self._breach(
                        "final state changed",
                        f"job {job_id} was {final['state']} (version {final['version']}) "
                        f"and {record['state']} (version {record['version']})",
                    )

    def _absences(self, hearing_alone: bool = False) -> list[tuple[float, float]]:
        """When something was broken, as intervals; one that never came back lasts for ever."""
        open_since: dict[str, float] = {}
        absences = []
        for record in sorted(self._by_what["away"] + self._by_what["back"], key=lambda record: record["at"]):
            if hearing_alone and record.get("hearing") is False:
                continue
            if record["what"] == "away":
                open_since.setdefault(record["link"], record["at"])
            elif record["link"] in open_since:
                absences.append((open_since.pop(record["link"]), record["at"]))
        return sorted(absences + [(at, float("inf")) for at in open_since.values()])

    def _watchers(self) -> None:
        """Whoever watches a job hears its end: while connected, or within GRACE_S without a break after coming back."""
        absences = self._absences(hearing_alone=True)
        until = max((record["at"] for record in self._by_what["drained"]), default=float("-inf"))
        died_at = {record["name"]: record["at"] for record in self._by_what["dead"] if "name" in record}
        final_at = {
            job_id: min((r["at"] for r in told if r["state"] in FINAL), default=None)
            for job_id, told in self._told.items()
        }
        heard: dict[tuple[str, int], float] = {}
        for event in self._by_what["event"]:
            if event["state"] in FINAL:
                heard.setdefault((event["watcher"], event["id"]), event["at"])
        for watch in self._by_what["watch"]:
            ended_at = final_at.get(watch["id"])
            if ended_at is None or watch.get("reads") is False:
                continue
            due = _quiet_since(max(ended_at, watch["at"]), absences) + GRACE_S
            if due > min(until, died_at.get(watch["watcher"], until)):
                continue
            self._trials["final missed"] += 1
            if heard.get((watch["watcher"], watch["id"]), float("inf")) > due:
                self._breach("final missed", f"{watch['watcher']} did not hear of the end of job {watch['id']} in time")


def _quiet_since(at: float, absences: list[tuple[float, float]]) -> float:
    """The first moment from `at` on after which nothing is broken for GRACE_S."""
    for begin, end in absences:
        if end > at and begin < at + GRACE_S:
            at = end
    return at
