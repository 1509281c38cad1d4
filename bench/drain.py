"""`python -m bench.drain`: a full queue of no-op jobs, run with results stored."""

from dataclasses import asdict

from bench.sides.contenders import celery, jobyard, jobyard_on_postgresql
from bench.sides.peer_contenders import (
    ardiq,
    arq,
    dramatiq,
    huey,
    mayu,
    node_peer,
    rq,
    saq,
    streaq,
    taskiq_on_list,
    taskiq_on_stream,
)
from bench.tools.contest import Contest, arguments, hold
from bench.tools.draining import Drain, counted, drain
from bench.tools.report import spread, table

CELERY = celery("Celery, prefork -c 2")
CONTENDERS = (
    jobyard("threads"),
    jobyard("prefork", "worker-cpu"),
    jobyard_on_postgresql("threads"),
    jobyard_on_postgresql("prefork", "worker-cpu"),
    CELERY,
    celery("Celery, solo x 2", ("-P", "solo"), workers=2),
    taskiq_on_stream("taskiq, stream, 2 processes"),
    taskiq_on_list("taskiq, list, 2 processes"),
    dramatiq("dramatiq, 2 processes x 8 threads"),
    huey("huey, 2 processes"),
    saq("SAQ, 2 processes x 100"),
    streaq("streaq, 2 processes x 100"),
    arq("arq, 2 processes x 100"),
    rq("RQ, SimpleWorker x 2"),
    node_peer("BullMQ, 1 process x 100"),
    ardiq("ardiq, 2 processes x 100"),
    mayu("mayu, 2 processes"),
)


def show(contest: Contest[Drain], jobs: int) -> None:
    ratios = contest.ratios(lambda turn: turn.rate, CELERY)
    rows = [
        (contender.label, spread(turn.rate for turn in its_own), ratios[contender], counted(its_own, jobs))
        for contender, its_own in contest.turns.items()
    ]
    print(
        f"\nDrain: {jobs:,} no-op jobs waiting, the workers of one contender, results stored, in turns. The "
        "rate is that between\nthe 10 % and the 90 % mark; figures are median [least-greatest] of the "
        "rounds.\n"
    )
    print(table(("", "jobs/s", "ratio to Celery prefork per round", "every job ended exactly once"), rows))


def main() -> None:
    parser = arguments(__doc__, rounds=2)
    parser.add_argument("--jobs", type=int, default=10_000)
    options = parser.parse_args()
    contest = hold(
        CONTENDERS, options, lambda one: drain(one, options.jobs), lambda turn: f"{turn.rate:,.0f}/s"
    )
    show(contest, options.jobs)
    contest.finish("drain", asdict, figure=lambda turn: turn.rate, unit="jobs/s")


if __name__ == "__main__":
    main()
