"""`python -m bench.accept`: jobs accepted over HTTP, at full load and at a tenth of it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from bench.sides.contenders import Contender, celery, jobyard, jobyard_on_postgresql
from bench.sides.peer_contenders import arq, node_peer, taskiq_on_list
from bench.tools.contest import Contest, arguments, hold
from bench.tools.load import Load, Tool, best_tool, measure, measure_paced
from bench.tools.machine import bare_machine
from bench.tools.report import spread, table

CELERY = celery("FastAPI + Celery .delay()")
CONTENDERS = (
    jobyard(""),
    jobyard_on_postgresql(""),
    CELERY,
    taskiq_on_list("FastAPI + taskiq, list"),
    arq("FastAPI + arq"),
    node_peer("Express + BullMQ", server="express"),
    node_peer("Fastify + BullMQ", server="fastify"),
)
CONNECTIONS = 64
WARM_UP_SECONDS = 2


@dataclass(frozen=True)
class Turn:
    """One side's share of a round. `on_record` counts the jobs of the warm-up too, as `answered` does."""

    load: Load
    tenth: Load
    answered: int
    on_record: int

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing answered is missing; what was in flight at the end may be on record too."""
        return self.answered <= self.on_record <= self.answered + 2 * CONNECTIONS


def take_turn(contender: Contender, tool: Tool, seconds: int) -> Turn:
    """Start one side from nothing, warm it up, load it fully and by a tenth, and count its record."""
    with bare_machine() as machine:
        side = contender.side(machine)
        side.start_broker()
        url = side.serve()
        warm_up = measure(machine, tool, url, WARM_UP_SECONDS, CONNECTIONS)
        load = measure(machine, tool, url, seconds, CONNECTIONS)
        tenth = measure_paced(machine, url, seconds, CONNECTIONS, max(load.rate / 10, 1))
        return Turn(load, tenth, sum(one.accepted for one in (warm_up, load, tenth)), side.accepted())


def show(contest: Contest[Turn], tool: Tool, seconds: int) -> None:
    ratios = contest.ratios(lambda turn: turn.load.rate, CELERY)
    rows = [
        (
            contender.label,
            spread(turn.load.rate for turn in turns),
            ratios[contender],
            *_latencies(turn.load for turn in turns),
            *_latencies(turn.tenth for turn in turns),
            _errors([load for turn in turns for load in (turn.load, turn.tenth)]),
            f"{sum(t.on_record for t in turns):,} of {sum(t.answered for t in turns):,}"
            + ("" if all(turn.is_complete for turn in turns) else "  JOBS ARE MISSING"),
        )
        for contender, turns in contest.turns.items()
    ]
    print(
        f"\nPOST accepted: {CONNECTIONS} keep-alive connections by {tool}, {seconds} s a turn after "
        f"{WARM_UP_SECONDS} s of warm-up, in turns, one server\nprocess, no worker running; then as long "
        "at a tenth of each one's own rate, paced from Python. Figures\nare median [least-greatest] of the "
        "rounds.\n"
    )
    head = ("", "accepted/s", "ratio to Celery per round", "p50 ms", "p99 ms", "p50 ms at a tenth")
    print(table((*head, "p99 ms at a tenth", "errors", "on record of answered"), rows))


def _latencies(loads: Iterable[Load]) -> tuple[str, str]:
    found = list(loads)
    return spread((load.p50_ms for load in found), 1), spread((load.p99_ms for load in found), 1)


def _errors(loads: list[Load]) -> str:
    counts = {word: sum(getattr(load, word) for load in loads) for word in ("refused", "broken", "slow")}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "none"


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--seconds", type=int, default=6, help="of either load in each turn")
    parser.add_argument(
        "--load", choices=("wrk", "python"), default=best_tool(), help="default: wrk if there"
    )
    options = parser.parse_args()
    contest = hold(
        CONTENDERS,
        options,
        lambda contender: take_turn(contender, options.load, options.seconds),
        lambda turn: f"{turn.load.rate:,.0f}/s",
    )
    show(contest, options.load, options.seconds)
    contest.finish("accept", asdict, figure=lambda turn: turn.load.rate, unit="POSTs/s")


if __name__ == "__main__":
    main()
