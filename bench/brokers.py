"""`python -m bench.brokers`: Jobyard on each broker: jobs accepted, jobs run, and how soon one begins."""

from dataclasses import asdict, dataclass

from bench import accept, latency
from bench.sides.contenders import Contender, jobyard, jobyard_on_rabbitmq
from bench.tools.contest import Contest, arguments, hold
from bench.tools.draining import Drain, counted, drain
from bench.tools.load import Tool, best_tool
from bench.tools.report import spread, table

VALKEY = jobyard("threads, Valkey")
CONTENDERS = (
    VALKEY,
    jobyard_on_rabbitmq("threads, RabbitMQ, classic queues", "classic"),
    jobyard_on_rabbitmq("threads, RabbitMQ, quorum queues", "quorum"),
)
LATENCY_RATE = 100.0


@dataclass(frozen=True)
class Turn:
    """One broker's share of a round."""

    accepted: accept.Turn
    drained: Drain
    latency: latency.Turn


def take_turn(contender: Contender, tool: Tool, seconds: int, jobs: int, one_by_one: int) -> Turn:
    """Measure each of the three on a machine of its own."""
    return Turn(
        accept.take_turn(contender, tool, seconds),
        drain(contender, jobs),
        latency.take_turn(contender, one_by_one, LATENCY_RATE),
    )


def show(contest: Contest[Turn], jobs: int) -> None:
    accepted = contest.ratios(lambda turn: turn.accepted.load.rate, VALKEY)
    drained = contest.ratios(lambda turn: turn.drained.rate, VALKEY)
    rows = [
        (
            contender.label,
            spread(turn.accepted.load.rate for turn in turns),
            accepted[contender],
            spread(turn.drained.rate for turn in turns),
            drained[contender],
            spread((turn.latency.p50_ms for turn in turns), 2),
            spread((turn.latency.p99_ms for turn in turns), 1),
            counted([turn.drained for turn in turns], jobs),
        )
        for contender, turns in contest.turns.items()
    ]
    print(
        f"\nBrokers: jobs accepted over {accept.CONNECTIONS} connections; {jobs:,} waiting no-op jobs run; "
        f"and {LATENCY_RATE:g} jobs a second on an\nidle yard, from just before a job is enqueued until it "
        "begins. Each as in the benchmark of that name. Figures\nare median [least-greatest] of the rounds.\n"
    )
    head = ("", "accepted/s", "ratio to Valkey", "run/s", "ratio to Valkey", "p50 ms", "p99 ms")
    print(table((*head, "every job ended exactly once"), rows))


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--seconds", type=int, default=6, help="of load on each broker's yard")
    parser.add_argument("--jobs", type=int, default=10_000, help="that wait to be run")
    parser.add_argument("--one-by-one", type=int, default=1_000, help="jobs whose beginning is awaited")
    parser.add_argument(
        "--load", choices=("wrk", "python"), default=best_tool(), help="default: wrk if there"
    )
    options = parser.parse_args()
    contest = hold(
        CONTENDERS,
        options,
        lambda contender: take_turn(
            contender, options.load, options.seconds, options.jobs, options.one_by_one
        ),
        lambda turn: (
            f"{turn.accepted.load.rate:,.0f} accepted/s, {turn.drained.rate:,.0f} run/s, "
            f"p50 {turn.latency.p50_ms:.2f} ms"
        ),
    )
    show(contest, options.jobs)
    contest.finish("brokers", asdict, figure=lambda turn: turn.drained.rate, unit="jobs/s")


if __name__ == "__main__":
    main()
