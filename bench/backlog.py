"""`python -m bench.backlog`: accepting and draining with a million jobs queued ahead, beside a thousand."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

from bench.contenders import Contender, matching
from bench.draining import wait_for_runs
from bench.environments import LeftOutError
from bench.footprint import Part, footprint
from bench.load import Tool, best_tool, measure
from bench.machine import BenchError, bare_machine, end_on_signals
from bench.report import look_around, save, spread, table
from bench.runs import rate_in_the_middle
from bench.whole_jobyard import TAKES, TAKES_NOTHING, WholeJobyard, whole_jobyard

CONTENDERS = (
    whole_jobyard("Jobyard, SQLite"),
    whole_jobyard("Jobyard, PostgreSQL", on_postgresql=True),
)
FEW = 1_000
CONNECTIONS = 64
WARM_UP_SECONDS = 1
LONGEST_PUBLISHING_SECONDS = 300


@dataclass(frozen=True)
class Turn:
    """Jobs a second, accepted over HTTP and run by one worker of threads; and what the yard holds then."""

    accept: float
    drain: float
    parts: list[Part]


@dataclass
class Pair:
    """The turns of two yards on the same kind of ledger: few jobs queued ahead, and many."""

    few: list[Turn] = field(default_factory=list)
    many: list[Turn] = field(default_factory=list)

    def ratio(self, figure: Callable[[Turn], float]) -> str:
        """Return many to few, taken within each round."""
        pairs = zip(self.few, self.many, strict=True)
        return spread((figure(many) / figure(few) for few, many in pairs), 2)


def compare(contender: Contender, options: argparse.Namespace) -> Pair:
    """Queue few jobs in one yard and many in another, and let them take turns at the same work."""
    pair = Pair()
    with ExitStack() as stack:
        few, many = (_filled(stack, contender, jobs) for jobs in (FEW, options.jobs))
        for number in range(options.rounds):
            pair.few.append(take_turn(few, options.load, options.seconds))
            pair.many.append(take_turn(many, options.load, options.seconds))
            _tell(f"round {number + 1}: {contender.label}: {_said(pair.few)}; behind many {_said(pair.many)}")
    return pair


def _filled(stack: ExitStack, contender: Contender, jobs: int) -> WholeJobyard:
    _tell(f"{contender.label}: queueing {jobs:,} jobs ...")
    side = contender.side(stack.enter_context(bare_machine()))
    assert isinstance(side, WholeJobyard)
    side.start_broker()
    side.start_and_wait(TAKES_NOTHING)  # whose keeper sends what the producer does not get out
    side.fill(jobs)
    side.url = side.serve()
    return side


def take_turn(side: WholeJobyard, tool: Tool, seconds: int) -> Turn:
    """Accept for so long, and run as many of the oldest: what is queued ahead stays as long as it was."""
    before = side.accepted()
    measure(side.machine, tool, side.url, WARM_UP_SECONDS, CONNECTIONS)
    load = measure(side.machine, tool, side.url, seconds, CONNECTIONS)
    side.machine.wait_until(side.is_published, LONGEST_PUBLISHING_SECONDS, "the messages to be sent")
    came_in = side.accepted() - before
    side.start_and_wait(TAKES)
    wait_for_runs(side.machine, side, came_in)
    drained, parts = rate_in_the_middle(side.runs_file), footprint(side)
    side.stop(TAKES)
    os.truncate(side.runs_file, 0)
    return Turn(load.rate, drained, parts)


def show_rates(pairs: dict[str, Pair], jobs: int, tool: Tool, seconds: int) -> None:
    print(
        f"\nBacklog: {CONNECTIONS} keep-alive connections by {tool} for {seconds} s, and then one worker of "
        "threads until as many jobs\nhave run as came in, in turns in two yards. Figures are median "
        "[least-greatest] of the rounds, in jobs a second.\n"
    )
    rows = []
    for label, pair in pairs.items():
        for what in ("accept", "drain"):

            def figure(turn: Turn, what: str = what) -> float:
                return float(getattr(turn, what))

            few, many = (spread(map(figure, turns)) for turns in (pair.few, pair.many))
            rows.append((f"{label}: {what}", few, many, pair.ratio(figure)))
    print(table(("", f"{FEW:,} jobs queued", f"{jobs:,} jobs queued", "ratio per round"), rows))


def show_parts(pairs: dict[str, Pair], jobs: int) -> None:
    rows = []
    for label, pair in pairs.items():
        for few, many in zip(pair.few[-1].parts, pair.many[-1].parts, strict=True):
            figures = (few.memory, many.memory, few.disk, many.disk)
            rows.append(
                (f"{label}: {many.name}", *("-" if mib is None else f"{mib:,.0f}" for mib in figures))
            )
    heads = (f"{what}, {ahead:,} queued" for what in ("memory MiB", "disk MiB") for ahead in (FEW, jobs))
    print(
        "\nResident memory and files at the end of the last round. What forked processes share counts for "
        "each; of\nPostgreSQL its shared cache, and what its processes for this ledger have to themselves.\n"
    )
    print(table(("", *heads), rows))


def _said(turns: Sequence[Turn]) -> str:
    return f"accept {turns[-1].accept:,.0f}/s, drain {turns[-1].drain:,.0f}/s"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs queued ahead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of accepting in each turn")
    parser.add_argument("--load", choices=("wrk", "python"), default=best_tool())
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="as SQLite; repeatable")
    options = parser.parse_args()
    end_on_signals()
    conditions, pairs = look_around(), {}
    try:
        for contender in matching(CONTENDERS, options.only):
            try:
                contender.prepare()
                pairs[contender.label] = compare(contender, options)
            except LeftOutError as error:
                _tell(f"{contender.label} is left out: {error}")
    except BenchError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    show_rates(pairs, options.jobs, options.load, options.seconds)
    show_parts(pairs, options.jobs)
    print(f"\n{conditions}")
    save("backlog", conditions, {label: asdict(pair) for label, pair in pairs.items()})


if __name__ == "__main__":
    main()
