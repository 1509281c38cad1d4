"""`python -m bench.latency`: from just before a job is enqueued until it begins, on an idle system."""

from dataclasses import asdict, dataclass
from statistics import quantiles

from bench.sides.contenders import Contender, celery, jobyard, jobyard_on_postgresql
from bench.sides.peer_contenders import (
    ardiq,
    arq,
    dramatiq,
    huey,
    mayu,
    node_peer,
    saq,
    streaq,
    taskiq_on_list,
    taskiq_on_stream,
)
from bench.tools.contest import Contest, arguments, hold
from bench.tools.draining import wait_for_runs
from bench.tools.machine import bare_machine
from bench.tools.report import spread, table
from bench.tools.runs import read_runs

CONTENDERS = (
    jobyard("threads, submit"),
    jobyard("prefork, submit", "worker-cpu"),
    jobyard("threads, HTTP", by_http=True),
    jobyard_on_postgresql("threads, submit"),
    celery("Celery, prefork -c 2"),
    celery("Celery, prefork -c 2, FastAPI + .delay()", by_http=True),
    celery("Celery, prefork -c 2, on disk and acks late", on_disk=True),
    taskiq_on_list("taskiq, list, 2 processes"),
    taskiq_on_stream("taskiq, stream, 2 processes"),
    arq("arq, 2 processes"),
    arq("arq, 2 processes, poll_delay 0.01", "0.01"),
    dramatiq("dramatiq, 2 processes x 8 threads"),
    huey("huey, 2 processes"),
    saq("SAQ, 2 processes x 100"),
    streaq("streaq, 2 processes x 100"),
    node_peer("BullMQ, 1 process x 100"),
    ardiq("ardiq, 2 processes x 100"),
    mayu("mayu, 2 processes"),
)
WARM_UP_JOBS = 20
FIRST_OF_WARM_UP = 1_000_000


@dataclass(frozen=True)
class Turn:
    """Milliseconds, and how often the jobs ran that were enqueued."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    runs: int
    distinct: int


def take_turn(contender: Contender, jobs: int, rate: float) -> Turn:
    """Start everything, see that it works, and then enqueue by the timetable."""
    with bare_machine() as machine:
        side = contender.side(machine)
        side.start_broker()
        side.start_workers()
        side.enqueue("one", WARM_UP_JOBS, "--first", str(FIRST_OF_WARM_UP))
        wait_for_runs(machine, side, WARM_UP_JOBS)
        # The producer's first second is not counted: a program that enqueues has done so before.
        at_first = round(rate)
        side.produce("latency", str(at_first + jobs), str(rate))
        wait_for_runs(machine, side, WARM_UP_JOBS + at_first + jobs)
        sent = {number: at for at, number in read_runs(side.sent_file) if number >= at_first}
        began = [(number, at) for at, number in read_runs(side.runs_file) if number in sent]
        waits = [(at - sent[number]) * 1000 for number, at in began]
        percent = quantiles(waits, n=100)
        return Turn(percent[49], percent[98], max(waits), len(began), len(dict(began)))


def show(contest: Contest[Turn], jobs: int, rate: float) -> None:
    rows = [
        (
            contender.label,
            spread((turn.p50_ms for turn in turns), 2),
            spread((turn.p99_ms for turn in turns), 1),
            spread((turn.max_ms for turn in turns), 1),
            "yes" if all(turn.runs == turn.distinct == jobs for turn in turns) else _wrong(turns),
        )
        for contender, turns in contest.turns.items()
    ]
    print(
        f"\nLatency: {rate:g} jobs a second, {jobs:,} in all, on idle workers, in turns; from just before "
        "the call that enqueues a job\nuntil it begins. Figures are median [least-greatest] of the rounds.\n"
    )
    print(table(("", "p50 ms", "p99 ms", "max ms", "every job ran once"), rows))


def _wrong(turns: list[Turn]) -> str:
    return "NO: " + "; ".join(f"{turn.runs:,} runs of {turn.distinct:,} jobs" for turn in turns)


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=100, help="jobs a second")
    options = parser.parse_args()
    contest = hold(
        CONTENDERS,
        options,
        lambda contender: take_turn(contender, options.jobs, options.rate),
        lambda turn: f"p50 {turn.p50_ms:.2f} ms, p99 {turn.p99_ms:.1f} ms",
    )
    show(contest, options.jobs, options.rate)
    contest.finish("latency", asdict, figure=lambda turn: turn.p50_ms, unit="ms, p50")


if __name__ == "__main__":
    main()
