"""The order of every comparison: the contenders take turns, A B C A B C, and then a report is kept of it."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bench.sides.contenders import Contender, matching
from bench.tools.environments import LeftOutError
from bench.tools.figures import draw
from bench.tools.machine import BenchError, ending_well
from bench.tools.report import Conditions, look_around, number_of_rounds, save, spread, table, tell

T = TypeVar("T")


def arguments(says: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return the options that all comparisons have."""
    parser = argparse.ArgumentParser(description=says)
    parser.add_argument("--rounds", type=number_of_rounds, default=rounds)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PART",
        help="only contenders whose name holds this; repeatable",
    )
    parser.add_argument("--figure", action="store_true", help="draw docs/figures/NAME.svg as well")
    return parser


@dataclass
class Contest(Generic[T]):
    """What was measured of whom, and who was left out and why."""

    turns: dict[Contender, list[T]]
    left_out: dict[str, str]
    conditions: Conditions
    is_drawn: bool = False

    def ratios(self, figure: Callable[[T], float], to: Contender) -> dict[Contender, str]:
        """Return each contender's ratio to another, taken within each round, where that one is there."""
        theirs = self.turns.get(to)
        return {
            contender: spread((figure(a) / figure(b) for a, b in zip(its_own, theirs, strict=True)), 2)
            if theirs
            else "-"
            for contender, its_own in self.turns.items()
        }

    def finish(
        self, name: str, figures: Callable[[T], Any], *, figure: Callable[[T], float], unit: str
    ) -> None:
        """Print who took part and who did not, keep the figures as JSON, and draw one of them if asked to."""
        print()
        head = ("", "versions", "a job whose worker is killed", "on disk before the answer")
        print(table(head, [(one.label, one.versions, one.if_killed, one.keeps) for one in self.turns]))
        if self.left_out:
            print("\nLeft out:\n" + "\n".join(f"  {label}: {why}" for label, why in self.left_out.items()))
        print(f"\n{self.conditions}")
        kept = {one.label: [figures(turn) for turn in its_own] for one, its_own in self.turns.items()}
        save(name, self.conditions, kept)
        if self.is_drawn:
            bars = {one.label: [figure(turn) for turn in its_own] for one, its_own in self.turns.items()}
            print(f"As a figure: {draw(name, name.capitalize(), unit, bars)}")


def hold(
    contenders: Sequence[Contender],
    options: argparse.Namespace,
    take_turn: Callable[[Contender], T],
    say: Callable[[T], str],
) -> Contest[T]:
    """Let the contenders take turns; ends the program where none is left, or one that is no peer fails."""
    with ending_well():
        present, left_out = prepare(matching(contenders, options.only))
        contest: Contest[T] = Contest({one: [] for one in present}, left_out, look_around(), options.figure)
        for number in range(options.rounds):
            for contender in list(contest.turns):
                _take(contest, contender, number + 1, take_turn, say)
    if not contest.turns:
        sys.exit("nobody is left to be measured: " + "; ".join(f"{k}: {v}" for k, v in left_out.items()))
    return contest


def prepare(contenders: Sequence[Contender]) -> tuple[list[Contender], dict[str, str]]:
    """Return who can take part, and of the others why they cannot."""
    present: list[Contender] = []
    left_out: dict[str, str] = {}
    for contender in contenders:
        try:
            contender.prepare()
            present.append(contender)
        except LeftOutError as error:
            left_out[contender.label] = str(error)
            tell(f"{contender.label} is left out: {error}")
    return present, left_out


def _take(
    contest: Contest[T],
    contender: Contender,
    number: int,
    take_turn: Callable[[Contender], T],
    say: Callable[[T], str],
) -> None:
    try:
        turn = take_turn(contender)
    except BenchError as error:
        if not contender.is_peer:
            raise
        # A peer's failure is no reason to stop; half of its rounds would be none to compare.
        del contest.turns[contender]
        contest.left_out[contender.label] = f"it failed in round {number}: {str(error).splitlines()[0]}"
        tell(f"{contender.label} is left out: {error}")
        return
    contest.turns[contender].append(turn)
    tell(f"round {number}: {contender.label}: {say(turn)}")
