"""Who takes part: each contender's name, its versions, what it guarantees, and how its side is made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from bench.sides.jobyard_side import Jobyard, ask_for_postgresql, ask_for_rabbitmq
from bench.sides.sides import Side
from bench.sides.stock_side import Stock
from bench.tools.machine import Machine

IN_SQLITE = "yes, in SQLite (WAL, synchronous = FULL)"
IN_POSTGRESQL = "yes, in PostgreSQL"
IN_VALKEY = "no, in Valkey (AOF, everysec)"


@dataclass(frozen=True)
class Contender:
    """One row. `prepare` raises `LeftOutError` where it cannot take part."""

    label: str
    side: Callable[[Machine], Side]
    versions: str
    keeps: str
    if_killed: str
    prepare: Callable[[], object] = bool
    is_peer: bool = False


def jobyard(how: str, worker: str = "worker-io", *, by_http: bool = False) -> Contender:
    """Jobyard with one worker of `make run`, and its ledger in SQLite."""
    return Contender(
        f"Jobyard, {how}" if how else "Jobyard",
        partial(Jobyard, worker=worker, by_http=by_http),
        "this checkout",
        IN_SQLITE,
        "runs again",
    )


def jobyard_on_postgresql(how: str, worker: str = "worker-io", *, by_http: bool = False) -> Contender:
    """Jobyard with its ledger in a database of its own, where BENCH_POSTGRESQL_URL names a server."""
    return Contender(
        f"Jobyard, {how}, PostgreSQL" if how else "Jobyard, PostgreSQL",
        partial(Jobyard, worker=worker, by_http=by_http, on_postgresql=True),
        "this checkout",
        IN_POSTGRESQL,
        "runs again",
        ask_for_postgresql,
    )


def jobyard_on_rabbitmq(how: str, queue_type: str) -> Contender:
    """Jobyard on a RabbitMQ of its own with queues of this type, where one is installed."""
    return Contender(
        f"Jobyard, {how}",
        partial(Jobyard, rabbitmq=queue_type),
        "this checkout",
        IN_SQLITE,
        "runs again",
        ask_for_rabbitmq,
    )


def celery(
    label: str,
    pool: Sequence[str] = ("-P", "prefork", "-c", "2"),
    workers: int = 1,
    *,
    by_http: bool = False,
    on_disk: bool = False,
) -> Contender:
    """Plain Celery with workers of this pool."""
    return Contender(
        label,
        partial(Stock, pool=pool, workers=workers, by_http=by_http, on_disk=on_disk),
        f"celery {version('celery')}, kombu {version('kombu')}",
        "yes, in Valkey (AOF, always)" if on_disk else IN_VALKEY,
        "runs again after an hour" if on_disk else "is lost",
    )


def matching(contenders: Sequence[Contender], words: Sequence[str]) -> list[Contender]:
    """Return those whose label holds one of the words, in any case; all where there are no words."""
    lowered = [word.lower() for word in words]
    return [one for one in contenders if not words or any(word in one.label.lower() for word in lowered)]
