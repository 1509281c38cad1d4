"""`python -m bench.growth`: PostgreSQL with five million jobs behind it, beside an empty one."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from time import perf_counter

import httpx

from bench.tools.history import DAYS, write_history
from bench.tools.ledgers import postgresql_ledger
from bench.tools.machine import LOCAL, bare_machine, ending_well, free_port
from bench.tools.report import look_around, number_of_rounds, save, spread, table, tell
from bench.work.ledger_work import Rates, measure
from jobyard.jobs.job import new_id
from jobyard.jobs.ledger import Ledger

GROUP = 50
SLOW_MILLIS = 50


@dataclass(frozen=True)
class Found:
    """How long a list took, in milliseconds, and how many jobs its first page had."""

    median: float
    p95: float
    jobs: int


def filters() -> Iterator[tuple[str, Mapping[str, str | list[str]]]]:
    """Yield every documented filter, in use and in vain, by what it is called in the table."""
    now = datetime.now(UTC)
    yield "none", {}
    yield "status, frequent", {"status": "succeeded"}
    yield "status, rare", {"status": "dead"}
    yield "status, several", {"status": ["dead", "retrying", "cancelled"]}
    yield "task", {"task": "email.send"}
    yield "queue", {"queue": "images"}
    yield "tag", {"tag": "campaign-0a"}
    yield "tag that is nowhere", {"tag": "campaign-none"}
    yield "the last hour", {"since": (now - timedelta(hours=1)).isoformat()}
    yield (
        "an hour last month",
        {
            "since": (now - timedelta(days=30, hours=1)).isoformat(),
            "until": (now - timedelta(days=30)).isoformat(),
        },
    )
    yield "ended in the last hour", {"ended_since": (now - timedelta(hours=1)).isoformat()}
    yield "ended before last month", {"ended_until": (now - timedelta(days=30)).isoformat()}
    yield "before all of it", {"until": (now - timedelta(days=DAYS + 1)).isoformat()}
    yield "worker", {"worker": "io@host3"}
    yield "worker that never was", {"worker": "io@nowhere"}
    yield "cause", {"cause": "exception"}
    yield "error class", {"error": "ReadTimeout"}
    yield "words of the error", {"text": "SAID 77 and"}
    yield "words that nobody said", {"text": "no such words"}
    yield "field of the payload", {"payload.to": "user777@example.org"}
    yield "field that nobody has", {"payload.nobody": "x"}
    yield "parent", {"parent": new_id()}
    yield (
        "task, status, error, worker",
        {
            "task": "email.send",
            "status": "dead",
            "error": "ValueError",
            "worker": "io@host1",
        },
    )


def time_lists(ledger: Ledger, times: int) -> dict[str, Found]:
    """Ask a real API for the first page of every filter, one request after another."""
    with bare_machine() as machine:
        port = free_port()
        machine.environment |= {
            "JOBYARD_HOME": str(machine.folder),
            "JOBYARD_LEDGER__URL": ledger.database.engine.url.render_as_string(hide_password=False),
            "JOBYARD_API__PORT": str(port),
        }
        machine.start("api", [sys.executable, "-m", "api"])
        machine.wait_for_port(port, "the API")
        with httpx.Client(base_url=f"http://{LOCAL}:{port}", timeout=60) as client:
            return {name: _time_list(client, query, times) for name, query in filters()}


def _time_list(client: httpx.Client, query: Mapping[str, str | list[str]], times: int) -> Found:
    took, jobs = [], 0
    for _ in range(times):
        began = perf_counter()
        answer = client.get("/v1/jobs", params=query)
        took.append((perf_counter() - began) * 1000)
        answer.raise_for_status()
        jobs = len(answer.json()["jobs"])
    cuts = quantiles(took, n=20)
    return Found(cuts[9], cuts[18], jobs)


def show_rates(turns: list[tuple[Rates, Rates]], jobs: int) -> None:
    rows = []
    for what in ("accept", "claim", "settle"):
        empty, full = ([getattr(rates, what) for rates in side] for side in zip(*turns, strict=True))
        ratios = (late / early for early, late in zip(empty, full, strict=True))
        rows.append((what, spread(empty), spread(full), spread(ratios, 2)))
    head = (f"groups of {GROUP}", "jobs/s, empty ledger", f"jobs/s, {jobs:,} jobs behind it", "ratio")
    print(table(head, rows))


def show_lists(found: dict[str, Found]) -> None:
    rows = [
        (name, f"{one.median:.1f}", f"{one.p95:.1f}{' SLOW' if one.p95 > SLOW_MILLIS else ''}", str(one.jobs))
        for name, one in found.items()
    ]
    print("\n" + table(("GET /v1/jobs, filter", "median ms", "p95 ms", "jobs on the first page"), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000_000, help="jobs in the full ledger's past")
    parser.add_argument("--rounds", type=number_of_rounds, default=7)
    parser.add_argument("--groups", type=int, default=100, help=f"groups of {GROUP} in a turn")
    parser.add_argument("--lists", type=int, default=60, help="times that each list is asked for")
    options = parser.parse_args()
    with ending_well(), ExitStack() as stack:
        conditions = look_around()
        empty = stack.enter_context(postgresql_ledger())
        full = stack.enter_context(postgresql_ledger())
        tell(f"Writing {options.jobs:,} jobs ...")
        write_history(full.database.engine, options.jobs)
        found = time_lists(full, options.lists)
        turns = [
            (measure(empty, options.groups, GROUP), measure(full, options.groups, GROUP))
            for _ in range(options.rounds)
        ]
    show_rates(turns, options.jobs)
    show_lists(found)
    print(f"\n{conditions}")
    figures = {
        "rates": [{"empty": asdict(one), "full": asdict(other)} for one, other in turns],
        "lists": {name: asdict(one) for name, one in found.items()},
    }
    save("growth", conditions, figures)


if __name__ == "__main__":
    main()
