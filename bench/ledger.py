"""`python -m bench.ledger`: both ledgers side by side, job by job and in groups."""

import argparse
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict

from bench.tools.ledgers import postgresql_ledger, sqlite_ledger
from bench.tools.machine import ending_well
from bench.tools.report import look_around, number_of_rounds, save, spread, table
from bench.work.ledger_work import Rates, measure

JOBS_IN_A_TURN = 5_000
SIZES = (1, 50, 500)


def show(turns: dict[str, list[Rates]]) -> None:
    rows = [
        (
            label,
            spread(one.accept for one in its_own),
            spread(one.claim for one in its_own),
            spread(one.settle for one in its_own),
        )
        for label, its_own in turns.items()
    ]
    print(table(("ledger, jobs in a group", "accepted/s", "claimed/s", "settled/s"), rows))
    print(
        "\nOne thread and no broker: what the database takes, with the statements of `jobs/`. Acceptances\n"
        "and outcomes are on disk when they are answered (SQLite: synchronous = FULL; PostgreSQL: on)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=number_of_rounds, default=5)
    parser.add_argument("--jobs", type=int, default=JOBS_IN_A_TURN, help="jobs in a turn; a tenth one by one")
    options = parser.parse_args()
    turns: dict[str, list[Rates]] = defaultdict(list)
    with ending_well(), ExitStack() as stack:
        conditions = look_around()
        ledgers = {
            "SQLite": stack.enter_context(sqlite_ledger()),
            "PostgreSQL": stack.enter_context(postgresql_ledger()),
        }
        for _ in range(options.rounds):
            for size in SIZES:
                for name, ledger in ledgers.items():
                    jobs = options.jobs if size > 1 else options.jobs // 10
                    turns[f"{name}, {size}"].append(measure(ledger, max(1, jobs // size), size))
    show(turns)
    print(f"\n{conditions}")
    save("ledger", conditions, {label: [asdict(one) for one in its_own] for label, its_own in turns.items()})


if __name__ == "__main__":
    main()
