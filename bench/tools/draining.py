"""One worker set, one full queue: started, watched until every job has run, and counted."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep

from bench.sides.contenders import Contender
from bench.sides.sides import Ended, Side
from bench.tools.machine import BenchError, Machine, bare_machine, last_lines
from bench.tools.runs import count_runs, rate_in_the_middle, read_runs

LONGEST_STANDSTILL_SECONDS = 60
LAST_OUTCOMES_SECONDS = 30


@dataclass(frozen=True)
class Drain:
    """Runs: how often the function ran; distinct: of how many jobs; outcomes: on record."""

    rate: float
    runs: int
    distinct: int
    outcomes: int
    good: int
    peak_mib: float

    def ended_once(self, jobs: int) -> bool:
        return (self.runs, self.distinct, self.outcomes, self.good) == (jobs,) * 4


def drain(contender: Contender, jobs: int, task: str = "noop") -> Drain:
    """Fill a queue, start the workers, and wait until every job has its outcome on record."""
    with bare_machine() as machine:
        side = contender.side(machine)
        side.start_broker()
        side.fill(jobs, task)
        side.start_workers()
        watch = MemoryWatch(machine)
        wait_for_runs(machine, side, jobs, watch.look)
        ended = wait_for_outcomes(side, jobs)
        numbers = [number for _, number in read_runs(side.runs_file)]
        return Drain(
            rate_in_the_middle(side.runs_file),
            len(numbers),
            len(set(numbers)),
            ended.outcomes,
            ended.good,
            watch.peak_bytes / 2**20,
        )


def counted(turns: list[Drain], jobs: int) -> str:
    """Say in a cell whether every job ended exactly once."""
    if all(turn.ended_once(jobs) for turn in turns):
        return f"yes: {jobs:,} runs, {jobs:,} outcomes"
    return "NO: " + "; ".join(
        f"{turn.runs:,} runs of {turn.distinct:,} jobs, {turn.outcomes:,} outcomes" for turn in turns
    )


class MemoryWatch:
    """The resident memory of all workers together; what forked processes share is counted for each."""

    EVERY_SECONDS = 0.5

    def __init__(self, machine: Machine) -> None:
        self.peak_bytes, self._machine, self._looked_at = 0, machine, 0.0

    def look(self) -> None:
        if monotonic() < self._looked_at + self.EVERY_SECONDS:
            return
        self._looked_at = monotonic()
        self.peak_bytes = max(self.peak_bytes, self._machine.resident_bytes("worker"))


def wait_for_runs(machine: Machine, side: Side, jobs: int, look: Callable[[], None] = lambda: None) -> None:
    """Wait until so many runs are noted; raises `BenchError` when nothing has moved for a minute."""
    seen, seen_at = 0, monotonic()

    def all_ran() -> bool:
        nonlocal seen, seen_at
        look()
        runs = count_runs(side.runs_file)
        if runs > seen:
            seen, seen_at = runs, monotonic()
        if monotonic() > seen_at + LONGEST_STANDSTILL_SECONDS:
            said = last_lines(machine.outputs("worker"))
            raise BenchError(f"the workers stand still after {seen} of {jobs} jobs. They said:\n{said}")
        return seen >= jobs

    machine.wait_until(all_ran, 3600, "the jobs to run")


def wait_for_outcomes(side: Side, jobs: int) -> Ended:
    """Wait half a minute at most for the outcomes of jobs that have begun, and count them."""
    # An outcome that never comes is for the table to show, and no reason to stop.
    deadline = monotonic() + LAST_OUTCOMES_SECONDS
    while (ended := side.ended()).outcomes < jobs and monotonic() < deadline:
        sleep(0.1)
    return ended
