"""`python -m bench.due`: many jobs fall due at one moment; how long until the last of them is published."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from time import sleep

from bench.sides.contenders import Contender
from bench.sides.whole_jobyard import QUEUE, TAKES, TAKES_NOTHING, WholeJobyard, whole_jobyard
from bench.tools.contest import Contest, arguments, hold
from bench.tools.draining import wait_for_outcomes, wait_for_runs
from bench.tools.fill import payload_text
from bench.tools.machine import BenchError, bare_machine
from bench.tools.report import spread, table
from bench.tools.runs import count_runs, read_runs
from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import NewJob, new_id

CONTENDERS: Mapping[Contender, Sequence[str]] = {
    whole_jobyard("Jobyard, SQLite, one keeper"): (TAKES_NOTHING,),
    whole_jobyard("Jobyard, PostgreSQL, one keeper", on_postgresql=True): (TAKES_NOTHING,),
    whole_jobyard("Jobyard, SQLite, every worker"): (TAKES_NOTHING, TAKES),
    whole_jobyard("Jobyard, PostgreSQL, every worker", on_postgresql=True): (TAKES_NOTHING, TAKES),
}
GROUP = 2_000
# A slow machine has written the rows before they are due.
WRITTEN_PER_SECOND, EARLY_SECONDS = 4_000, 3
LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Turn:
    """Seconds after the moment until the first job was published, and until the last was noted as published.

    `named` counts how often a job was named in a message, or ran, and `distinct` the jobs.
    """

    first: float
    last: float
    named: int
    distinct: int


def take_turn(contender: Contender, jobs: int) -> Turn:
    """Start the workers, write the jobs down, and look on from the moment when they are due."""
    workers = CONTENDERS[contender]
    with bare_machine() as machine:
        side = contender.side(machine)
        assert isinstance(side, WholeJobyard)
        side.start_broker()
        side.start_and_wait(*workers)
        due = utc_now() + timedelta(seconds=EARLY_SECONDS + jobs / WRITTEN_PER_SECOND)
        write_down(side, jobs, due)
        sleep(max(0.0, -_seconds_since(due)))
        machine.wait_until(
            lambda: side.messages() or count_runs(side.runs_file), 60, "the first to be published"
        )
        first = _seconds_since(due)
        machine.wait_until(side.is_published, LONGEST_SECONDS, "the last to be published")
        last = _seconds_since(due)
        if TAKES in workers:
            wait_for_runs(machine, side, jobs)
            wait_for_outcomes(side, jobs)
            found = Counter(str(number) for _, number in read_runs(side.runs_file))
        else:
            found = Counter(side.named())
        return Turn(first, last, found.total(), len(found))


def write_down(side: WholeJobyard, jobs: int, due: datetime) -> None:
    """Accept so many jobs for a later moment; raises `BenchError` where that has passed meanwhile."""
    with side.ledger() as ledger:
        for start in range(0, jobs, GROUP):
            numbers = range(start, min(start + GROUP, jobs))
            ledger.accept([_new_job(number, due) for number in numbers])
    if utc_now() >= due:
        raise BenchError(
            f"the {jobs:,} jobs were due before the last was written down: the machine is too busy"
        )


def _new_job(number: int, due: datetime) -> NewJob:
    return NewJob(new_id(), "bench.noop", payload_text(number), max_attempts=3, queue=QUEUE, run_at=due)


def _seconds_since(moment: datetime) -> float:
    return (utc_now() - moment).total_seconds()


def show(contest: Contest[Turn], jobs: int) -> None:
    rows = [
        (
            contender.label,
            spread((turn.first for turn in turns), 1),
            spread((turn.last for turn in turns), 1),
            spread(jobs / turn.last for turn in turns),
            "yes" if all(turn.named == turn.distinct == jobs for turn in turns) else _wrong(turns),
        )
        for contender, turns in contest.turns.items()
    ]
    print(
        f"\nDue: {jobs:,} jobs with one `run_at`, in turns. One keeper: that of `worker-cpu`, nobody takes "
        "them;\nevery worker: both of `make run`, which run them meanwhile. A job is published when its "
        "message is in the\nbroker and the ledger has that on record. Figures are median [least-greatest] of "
        "the rounds.\n"
    )
    head = ("", "first after, s", "last after, s", "jobs/s", "every job was named, or ran, once")
    print(table(head, rows))


def _wrong(turns: list[Turn]) -> str:
    return "NO: " + "; ".join(f"{turn.named:,} times, {turn.distinct:,} jobs" for turn in turns)


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--jobs", type=int, default=100_000)
    options = parser.parse_args()
    contest = hold(
        list(CONTENDERS),
        options,
        lambda contender: take_turn(contender, options.jobs),
        lambda turn: f"first after {turn.first:.1f} s, last after {turn.last:.1f} s",
    )
    show(contest, options.jobs)
    contest.finish("due", asdict, figure=lambda turn: turn.last, unit="seconds")


if __name__ == "__main__":
    main()
