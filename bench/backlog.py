"""`python -m bench.backlog`: accepting and draining with a million jobs queued ahead, beside a thousand."""

import argparse
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

from bench.sides.contenders import Contender, matching
from bench.sides.whole_jobyard import TAKES, TAKES_NOTHING, WholeJobyard, whole_jobyard
from bench.tools.contest import prepare
from bench.tools.draining import wait_for_runs
from bench.tools.footprint import Part, footprint
from bench.tools.load import best_tool, measure
from bench.tools.machine import LOCAL, bare_machine, ending_well
from bench.tools.report import look_around, number_of_rounds, save, spread, table, tell
from bench.tools.runs import rate_in_the_middle

CONTENDERS = (
    whole_jobyard("Jobyard, SQLite"),
    whole_jobyard("Jobyard, PostgreSQL", on_postgresql=True),
)
FEW = 1_000
CONNECTIONS = 64
WARM_UP_SECONDS = 1
LONGEST_SECONDS = 300


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
            # Whoever comes second finds the disk at what the first has written, so that changes too.
            sides = [(few, pair.few), (many, pair.many)]
            for side, turns in sides if number % 2 == 0 else reversed(sides):
                turns.append(take_turn(side, options))
                _rest(side, is_emptied=side is few)
            tell(f"round {number + 1}: {contender.label}: {_said(pair.few)}; behind many {_said(pair.many)}")
    return pair


def _filled(stack: ExitStack, contender: Contender, jobs: int) -> WholeJobyard:
    tell(f"{contender.label}: queueing {jobs:,} jobs ...")
    side = contender.side(stack.enter_context(bare_machine()))
    assert isinstance(side, WholeJobyard)
    side.start_broker()
    side.start_and_wait(TAKES_NOTHING)  # whose keeper sends what the producer does not get out
    side.fill(jobs)
    side.serve()
    return side


def take_turn(side: WholeJobyard, options: argparse.Namespace) -> Turn:
    """Accept for so long, queue what makes up for the drain, and let a worker run as many of the oldest.

    What comes over HTTP has the lowest priority: its messages carry fewer jobs than a program's, and only one
    kind is to be drained in both yards.
    """
    url = f"http://{LOCAL}:{side.port}/v1/tasks/bench.later/jobs"
    measure(side.machine, options.load, url, WARM_UP_SECONDS, CONNECTIONS)
    load = measure(side.machine, options.load, url, options.seconds, CONNECTIONS)
    side.fill(options.drained)
    side.machine.wait_until(side.is_published, LONGEST_SECONDS, "the messages to be sent")
    side.start_and_wait(TAKES)
    wait_for_runs(side.machine, side, options.drained)
    return Turn(load.rate, rate_in_the_middle(side.runs_file), footprint(side))


def _rest(side: WholeJobyard, *, is_emptied: bool) -> None:
    if is_emptied:
        side.machine.wait_until(lambda: not side.messages(), LONGEST_SECONDS, "the short queue to be empty")
    side.stop(TAKES)
    os.truncate(side.runs_file, 0)
    if is_emptied:
        side.fill(FEW)


def show_rates(pairs: dict[str, Pair], options: argparse.Namespace) -> None:
    print(
        f"\nBacklog: {CONNECTIONS} keep-alive connections by {options.load} for {options.seconds} s, then "
        "one worker of\n"
        f"threads until {options.drained:,} of the oldest jobs have run, after as many were added, in turns "
        "in two yards.\nFigures are median [least-greatest] of the rounds, in jobs a second.\n"
    )
    rows = []
    for label, pair in pairs.items():
        for what in ("accept", "drain"):

            def figure(turn: Turn, what: str = what) -> float:
                return float(getattr(turn, what))

            few, many = (spread(map(figure, turns)) for turns in (pair.few, pair.many))
            rows.append((f"{label}: {what}", few, many, pair.ratio(figure)))
    print(table(("", f"{FEW:,} jobs queued", f"{options.jobs:,} jobs queued", "ratio per round"), rows))


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs queued ahead")
    parser.add_argument("--rounds", type=number_of_rounds, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of accepting in each turn")
    parser.add_argument("--drained", type=int, default=10_000, help="jobs that are run in each turn")
    parser.add_argument("--load", choices=("wrk", "python"), default=best_tool())
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="as SQLite; repeatable")
    options = parser.parse_args()
    with ending_well():
        conditions = look_around()
        present, _ = prepare(matching(CONTENDERS, options.only))
        pairs = {contender.label: compare(contender, options) for contender in present}
    show_rates(pairs, options)
    show_parts(pairs, options.jobs)
    print(f"\n{conditions}")
    save("backlog", conditions, {label: asdict(pair) for label, pair in pairs.items()})


if __name__ == "__main__":
    main()
