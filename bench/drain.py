"""`python -m bench.drain`: a full queue of no-op jobs run with results stored, beside plain Celery."""

import argparse
import sys
from dataclasses import asdict, dataclass
from time import monotonic, sleep

from bench.machine import BenchError, Machine, bare_machine, end_on_signals, last_lines
from bench.report import look_around, save, spread, table
from bench.runs import count_runs, rate_in_the_middle, read_runs
from bench.sides import Ended, Jobyard, Side, Stock

LONGEST_STANDSTILL_SECONDS = 60
LAST_OUTCOMES_SECONDS = 30


@dataclass(frozen=True)
class Contender:
    label: str
    side: type[Side]
    worker: str


CELERY = Contender("Celery, prefork -c 2", Stock, "worker")
CONTENDERS = (
    Contender("Jobyard, threads", Jobyard, "worker-io"),
    Contender("Jobyard, prefork", Jobyard, "worker-cpu"),
    CELERY,
)


@dataclass(frozen=True)
class Turn:
    """One drain. Runs: how often the function ran; distinct: of how many jobs; outcomes: on record."""

    rate: float
    runs: int
    distinct: int
    outcomes: int
    good: int

    def ended_once(self, jobs: int) -> bool:
        return (self.runs, self.distinct, self.outcomes, self.good) == (jobs,) * 4


def take_turn(contender: Contender, jobs: int) -> Turn:
    """Fill a queue, start one worker, and wait until every job has its outcome on record."""
    with bare_machine() as machine:
        side = contender.side(machine)
        side.fill(jobs, contender.worker)
        side.start_worker(contender.worker)
        _wait_for_runs(machine, side, contender.worker, jobs)
        ended = _last_outcomes(side, jobs)
        numbers = [number for _, number in read_runs(side.runs_file)]
        return Turn(
            rate_in_the_middle(side.runs_file),
            len(numbers),
            len(set(numbers)),
            ended.outcomes,
            ended.good,
        )


def _wait_for_runs(machine: Machine, side: Side, worker: str, jobs: int) -> None:
    seen, seen_at = 0, monotonic()

    def all_ran() -> bool:
        nonlocal seen, seen_at
        runs = count_runs(side.runs_file)
        if runs > seen:
            seen, seen_at = runs, monotonic()
        if monotonic() > seen_at + LONGEST_STANDSTILL_SECONDS:
            said = last_lines(machine.output(worker))
            raise BenchError(f"{side.name} stands still after {seen} of {jobs} jobs. Its last lines:\n{said}")
        return seen >= jobs

    machine.wait_until(all_ran, 3600, "the jobs to run")


def _last_outcomes(side: Side, jobs: int) -> Ended:
    # An outcome that never comes is for the table to show, and no reason to stop.
    deadline = monotonic() + LAST_OUTCOMES_SECONDS
    while (ended := side.ended()).outcomes < jobs and monotonic() < deadline:
        sleep(0.1)
    return ended


def show(turns: dict[Contender, list[Turn]], jobs: int) -> None:
    theirs = turns[CELERY]
    rows = [
        (
            contender.label,
            spread(turn.rate for turn in its_own),
            spread((one.rate / other.rate for one, other in zip(its_own, theirs, strict=True)), 2),
            _counted(its_own, jobs),
        )
        for contender, its_own in turns.items()
    ]
    print(
        f"\nDrain: {jobs:,} no-op jobs waiting, one worker of each kind, results stored, {len(theirs)} "
        "rounds in turns. The rate is that between\nthe 10 % and the 90 % mark; figures are median "
        "[least-greatest] of the rounds.\n"
    )
    print(table(("", "jobs/s", "ratio to Celery per round", "every job ended exactly once"), rows))
    print(
        "\nJobyard's workers are those of the Procfile (`make run`). A claim and an outcome are committed "
        "rows in SQLite\n(synchronous = FULL), and the message is acknowledged after that: a worker that "
        "dies loses nothing.\nCelery acknowledges before it runs a job, its default: a worker that dies "
        "loses what it ran. Its results\nare in Valkey. Both brokers keep an append-only file (everysec)."
    )


def _counted(turns: list[Turn], jobs: int) -> str:
    if all(turn.ended_once(jobs) for turn in turns):
        return f"yes: {jobs:,} runs, {jobs:,} outcomes"
    return "NO: " + "; ".join(
        f"{turn.runs:,} runs of {turn.distinct:,} jobs, {turn.outcomes:,} outcomes" for turn in turns
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    end_on_signals()
    conditions = look_around()
    turns: dict[Contender, list[Turn]] = {contender: [] for contender in CONTENDERS}
    try:
        for number in range(options.rounds):
            for contender in CONTENDERS:
                turn = take_turn(contender, options.jobs)
                turns[contender].append(turn)
                print(f"round {number + 1}: {contender.label}: {turn.rate:,.0f}/s", file=sys.stderr)
    except BenchError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    show(turns, options.jobs)
    print(f"\n{conditions}")
    figures = {contender.label: [asdict(turn) for turn in its_own] for contender, its_own in turns.items()}
    save("drain", conditions, figures)


if __name__ == "__main__":
    main()
