"""`python -m bench.enqueue`: jobs put in from code, one by one and in bulk, by one producer process."""

from dataclasses import asdict, dataclass

from bench.sides.contenders import Contender, celery, jobyard, jobyard_on_postgresql
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
from bench.tools.machine import bare_machine
from bench.tools.report import spread, table

BULLMQ = node_peer("BullMQ: add, addBulk")
CONTENDERS = (
    jobyard("submit, submit_many"),
    jobyard_on_postgresql("submit, submit_many"),
    jobyard("HTTP", by_http=True),
    jobyard_on_postgresql("HTTP", by_http=True),
    celery("Celery: .delay(), Producer.batch"),
    BULLMQ,
    rq("RQ: enqueue, enqueue_many"),
    streaq("streaq: enqueue, enqueue_many"),
    taskiq_on_list("taskiq, list: kiq, 100 at once"),
    taskiq_on_stream("taskiq, stream: kiq, 100 at once"),
    dramatiq("dramatiq: send, group"),
    huey("huey: a call, no bulk"),
    saq("SAQ: enqueue, 100 at once"),
    arq("arq: enqueue_job, 100 at once"),
    ardiq("ardiq: enqueue, enqueue_many"),
    mayu("mayu: send, no bulk"),
)
GROUPS = (100, 1000)


@dataclass(frozen=True)
class Turn:
    """Jobs a second, one by one and in each size of group; and how many of all of them are on record."""

    one: float
    bulk: tuple[float, ...]
    enqueued: int
    on_record: int

    @property
    def best_bulk(self) -> float:
        return max(self.bulk)


def take_turn(contender: Contender, jobs: int, bulk_jobs: int) -> Turn:
    with bare_machine() as machine:
        side = contender.side(machine)
        side.start_broker()
        one = side.enqueue("one", jobs).rate
        bulk = tuple(side.enqueue("bulk", bulk_jobs, "--group", str(group)).rate for group in GROUPS)
        return Turn(one, bulk, jobs + len(GROUPS) * bulk_jobs, side.accepted())


def show(contest: Contest[Turn], jobs: int, bulk_jobs: int) -> None:
    ratios = contest.ratios(lambda turn: turn.best_bulk, BULLMQ)
    rows = [
        (
            contender.label,
            spread(turn.one for turn in turns),
            *(spread(turn.bulk[place] for turn in turns) for place in range(len(GROUPS))),
            ratios[contender],
            "yes" if all(turn.on_record == turn.enqueued for turn in turns) else _missing(turns),
        )
        for contender, turns in contest.turns.items()
    ]
    print(
        f"\nEnqueue: {jobs:,} jobs one by one and {bulk_jobs:,} in groups of each size, from one producer, "
        "in turns; no worker is running.\nJobyard's are in when they are committed, the others' when Redis "
        "has answered. Figures are median [least-greatest]\nof the rounds, in jobs a second.\n"
    )
    groups = (f"groups of {group:,}" for group in GROUPS)
    print(table(("", "one by one", *groups, "best bulk, ratio to BullMQ", "every job is on record"), rows))


def _missing(turns: list[Turn]) -> str:
    return "NO: " + "; ".join(f"{turn.on_record:,} of {turn.enqueued:,}" for turn in turns)


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--jobs", type=int, default=3_000, help="one by one")
    parser.add_argument("--bulk-jobs", type=int, default=20_000, help="in groups of each size")
    options = parser.parse_args()
    contest = hold(
        CONTENDERS,
        options,
        lambda contender: take_turn(contender, options.jobs, options.bulk_jobs),
        lambda turn: f"{turn.one:,.0f}/s one by one, {turn.best_bulk:,.0f}/s in bulk",
    )
    show(contest, options.jobs, options.bulk_jobs)
    contest.finish("enqueue", asdict, figure=lambda turn: turn.best_bulk, unit="jobs/s in bulk")


if __name__ == "__main__":
    main()
