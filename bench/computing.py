"""`python -m bench.computing`: jobs that compute for 50 ms each, beside a plain `multiprocessing.Pool`."""

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from bench.sides.contenders import Contender, celery, jobyard, jobyard_on_postgresql
from bench.tools.contest import Contest, arguments, hold
from bench.tools.draining import wait_for_outcomes, wait_for_runs
from bench.tools.machine import Machine, bare_machine
from bench.tools.report import spread, table
from bench.tools.runs import CPU_VARIABLE, rate_in_the_middle, read_runs
from bench.tools.runs import VARIABLE as RUNS_VARIABLE
from bench.work.computation import SECONDS, VARIABLE, calibrate

WARM_UP_JOBS = 4
FIRST_OF_WARM_UP = 1_000_000


def _no_side(_: Machine) -> NoReturn:
    raise NotImplementedError("a pool has neither a broker nor workers of its own")


POOL = Contender(
    "multiprocessing.Pool(2)", _no_side, f"Python {platform.python_version()}", "no, in memory", "is lost"
)
CONTENDERS = (
    jobyard("prefork, 2 children", "worker-cpu"),
    jobyard_on_postgresql("prefork, 2 children", "worker-cpu"),
    celery("Celery, prefork -c 2"),
    POOL,
)


@dataclass(frozen=True)
class Turn:
    """Seconds of CPU: of the jobs themselves, and of all processes that ran them."""

    rate: float
    runs: int
    distinct: int
    jobs_cpu_seconds: float
    whole_cpu_seconds: float

    @property
    def cost(self) -> float:
        """What is spent beside each job's own computation, as a share of it."""
        return self.whole_cpu_seconds / self.jobs_cpu_seconds - 1


def take_turn(contender: Contender, jobs: int, loops: int) -> Turn:
    with bare_machine() as machine:
        machine.environment[VARIABLE] = str(loops)
        return pool_turn(machine, jobs) if contender is POOL else worker_turn(machine, contender, jobs)


def worker_turn(machine: Machine, contender: Contender, jobs: int) -> Turn:
    """Let idle workers have all jobs at once; CPU time is theirs and the broker's, to the last outcome."""
    side = contender.side(machine)
    side.start_broker()
    side.start_workers()
    side.enqueue("one", WARM_UP_JOBS, "--task", "compute", "--first", str(FIRST_OF_WARM_UP))
    wait_for_runs(machine, side, WARM_UP_JOBS)
    wait_for_outcomes(side, WARM_UP_JOBS)
    side.runs_file.write_bytes(b"")
    side.cpu_file.write_bytes(b"")
    before = machine.cpu_seconds()
    side.fill(jobs, "compute")
    wait_for_runs(machine, side, jobs)
    wait_for_outcomes(side, WARM_UP_JOBS + jobs)
    return _turn(side.runs_file, side.cpu_file, machine.cpu_seconds() - before)


def pool_turn(machine: Machine, jobs: int) -> Turn:
    """Let the pool have the same jobs; its CPU time includes the forking of its two processes."""
    runs, cpu = machine.folder / "runs", machine.folder / "cpu"
    machine.environment |= {RUNS_VARIABLE: str(runs), CPU_VARIABLE: str(cpu)}
    machine.run("pool", "bench.work.computing_pool", str(jobs), seconds=3600)
    return _turn(runs, cpu, json.loads(machine.output("pool"))["cpu_seconds"])


def _turn(runs: Path, cpu: Path, whole: float) -> Turn:
    numbers = [number for _, number in read_runs(runs)]
    own = sum(micros for _, micros in read_runs(cpu)) / 1e6
    return Turn(rate_in_the_middle(runs), len(numbers), len(set(numbers)), own, whole)


def show(contest: Contest[Turn], jobs: int) -> None:
    ratios = contest.ratios(lambda turn: turn.rate, POOL)
    rows = [
        (
            contender.label,
            spread((turn.rate for turn in turns), 1),
            ratios[contender],
            spread((turn.jobs_cpu_seconds / turn.runs * 1000 for turn in turns), 1),
            spread((turn.cost * 100 for turn in turns), 1),
            "yes" if all(turn.runs == turn.distinct == jobs for turn in turns) else "NO",
        )
        for contender, turns in contest.turns.items()
    ]
    print(
        f"\nComputing: {jobs:,} jobs of about {SECONDS * 1000:.0f} ms of CPU each, in turns. The rate is "
        "that between the 10 % and the 90 %\nmark. The cost is the CPU time of worker, children and broker "
        "beyond that of the jobs' own loops. Figures are\nmedian [least-greatest] of the rounds.\n"
    )
    head = ("", "jobs/s", "ratio to the pool per round", "CPU ms in a job", "own cost, % of the job")
    print(table((*head, "every job ran once"), rows))


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--jobs", type=int, default=600)
    options = parser.parse_args()
    loops = calibrate()
    contest = hold(
        CONTENDERS,
        options,
        lambda contender: take_turn(contender, options.jobs, loops),
        lambda turn: f"{turn.rate:,.1f}/s, {turn.cost:.1%} beside the jobs",
    )
    show(contest, options.jobs)
    contest.finish("computing", asdict, figure=lambda turn: turn.rate, unit="jobs/s")


if __name__ == "__main__":
    main()
