"""`python -m bench.waiting`: jobs that only wait for 20 ms each, as a job does that calls another service."""

from dataclasses import asdict

from bench.sides.contenders import celery, jobyard, jobyard_on_postgresql
from bench.sides.peer_contenders import arq, node_peer, saq, streaq, taskiq_on_list
from bench.sides.sides import WAIT_SECONDS
from bench.tools.contest import Contest, arguments, hold
from bench.tools.draining import Drain, counted, drain
from bench.tools.report import spread, table

CELERY = celery("Celery, prefork -c 8", ("-P", "prefork", "-c", "8"))
CONTENDERS = (
    jobyard("async def, 1 process"),
    jobyard_on_postgresql("async def, 1 process"),
    CELERY,
    taskiq_on_list("taskiq, list, 1 process x 100", "--workers", "1", "--max-async-tasks", "100"),
    taskiq_on_list("taskiq, list, 1 process, default", "--workers", "1"),
    arq("arq, 1 process x 100", workers=1),
    saq("SAQ, 1 process x 100", processes=1),
    streaq("streaq, 1 process x 100", workers=1),
    node_peer("BullMQ, 1 process x 100"),
)


def show(contest: Contest[Drain], jobs: int) -> None:
    ratios = contest.ratios(lambda turn: turn.rate, CELERY)
    rows = [
        (
            contender.label,
            spread(turn.rate for turn in its_own),
            ratios[contender],
            spread(turn.peak_mib for turn in its_own),
            counted(its_own, jobs),
        )
        for contender, its_own in contest.turns.items()
    ]
    print(
        f"\nWaiting: {jobs:,} jobs of {WAIT_SECONDS * 1000:.0f} ms each in which nothing is computed, "
        "results stored, in turns. The rate is\nthat between the 10 % and the 90 % mark; the memory is the "
        "resident memory of all worker processes together (what\nforked ones share counts for each), at its "
        "peak. Figures are median [least-greatest] of the rounds.\n"
    )
    head = ("", "jobs/s", "ratio to Celery per round", "peak MiB", "every job ended exactly once")
    print(table(head, rows))


def main() -> None:
    parser = arguments(__doc__, rounds=2)
    parser.add_argument("--jobs", type=int, default=10_000)
    options = parser.parse_args()
    contest = hold(
        CONTENDERS,
        options,
        lambda one: drain(one, options.jobs, "wait"),
        lambda turn: f"{turn.rate:,.0f}/s, {turn.peak_mib:,.0f} MiB",
    )
    show(contest, options.jobs)
    contest.finish("waiting", asdict, figure=lambda turn: turn.rate, unit="jobs/s")


if __name__ == "__main__":
    main()
