"""`python -m bench.accept`: jobs accepted over HTTP, beside the tutorial that calls `.delay()`."""

import argparse
import sys
from dataclasses import asdict, dataclass

from bench.load import Load, Tool, best_tool, measure
from bench.machine import BenchError, bare_machine, end_on_signals
from bench.report import look_around, save, spread, table
from bench.sides import Jobyard, Side, Stock

SIDES: tuple[type[Side], ...] = (Jobyard, Stock)
LABELS = {Jobyard: "Jobyard", Stock: "FastAPI + Celery .delay()"}
CONNECTIONS = 64
WARM_UP_SECONDS = 2


@dataclass(frozen=True)
class Turn:
    """One side's share of a round. `on_record` counts the jobs of the warm-up too, as `answered` does."""

    load: Load
    answered: int
    on_record: int

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing answered is missing; what was in flight at the end may be on record too."""
        return self.answered <= self.on_record <= self.answered + 2 * CONNECTIONS


def take_turn(kind: type[Side], tool: Tool, seconds: int) -> Turn:
    """Start one side from nothing, warm it up, load it, and count what it has on record."""
    with bare_machine() as machine:
        side = kind(machine)
        url = side.serve()
        warm_up = measure(machine, tool, url, WARM_UP_SECONDS, CONNECTIONS)
        load = measure(machine, tool, url, seconds, CONNECTIONS)
        return Turn(load, warm_up.accepted + load.accepted, side.accepted())


def show(turns: dict[type[Side], list[Turn]], tool: Tool, seconds: int) -> None:
    rows = [
        (
            LABELS[kind],
            spread(turn.load.rate for turn in its_own),
            spread((turn.load.p50_ms for turn in its_own), 1),
            spread((turn.load.p99_ms for turn in its_own), 1),
            _errors([turn.load for turn in its_own]),
            f"{sum(t.on_record for t in its_own):,} of {sum(t.answered for t in its_own):,}"
            + ("" if all(turn.is_complete for turn in its_own) else "  JOBS ARE MISSING"),
        )
        for kind, its_own in turns.items()
    ]
    ratios = [ours.load.rate / theirs.load.rate for ours, theirs in zip(*turns.values(), strict=True)]
    print(
        f"\nPOST accepted: {CONNECTIONS} keep-alive connections by {tool}, {seconds} s a turn after "
        f"{WARM_UP_SECONDS} s of warm-up, {len(ratios)} rounds in turns,\none uvicorn process, no worker "
        "running. Figures are median [least-greatest] of the rounds.\n"
    )
    print(table(("", "accepted/s", "p50 ms", "p99 ms", "errors", "on record of answered"), rows))
    print(f"\nRatio per round: {spread(ratios, 2)}")
    print("An accepted job is, in each:")
    for kind in turns:
        print(f"  {LABELS[kind]}: {kind.keeps}")


def _errors(loads: list[Load]) -> str:
    counts = {word: sum(getattr(load, word) for load in loads) for word in ("refused", "broken", "slow")}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6, help="of load in each turn")
    parser.add_argument(
        "--load", choices=("wrk", "python"), default=best_tool(), help="default: wrk if there"
    )
    options = parser.parse_args()
    end_on_signals()
    conditions = look_around()
    turns: dict[type[Side], list[Turn]] = {kind: [] for kind in SIDES}
    try:
        for number in range(options.rounds):
            for kind in SIDES:
                turn = take_turn(kind, options.load, options.seconds)
                turns[kind].append(turn)
                print(f"round {number + 1}: {LABELS[kind]}: {turn.load.rate:,.0f}/s", file=sys.stderr)
    except BenchError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    show(turns, options.load, options.seconds)
    print(f"\n{conditions}")
    figures = {LABELS[kind]: [asdict(turn) for turn in its_own] for kind, its_own in turns.items()}
    save("accept", conditions, figures)


if __name__ == "__main__":
    main()
