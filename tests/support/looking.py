"""How much a database looks at, counted by itself: so that a query that reads a whole table is found out."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, event

from jobyard.jobs.database.ledger_database import LedgerDatabase

# SQLite's handler is called once in so many instructions of its machine; a row costs it three at the least.
_INSTRUCTIONS: Final = 12
_READS_ROWS: Final = ("SELECT", "WITH", "UPDATE", "INSERT", "DELETE")


@dataclass
class Look:
    """Rows that were looked at, found to fit or not: counted on PostgreSQL, about as many on SQLite."""

    rows: int = 0


@contextmanager
def looking(database: LedgerDatabase) -> Iterator[Look]:
    """Count what every statement of the block looks at."""
    look = Look()
    if database.dialect == "sqlite":
        with ExitStack() as stack:
            for engine in database.engines.all():
                stack.enter_context(_on_sqlite(engine, look))
            yield look
    else:
        with _on_postgresql(database.engine, look):
            yield look


@contextmanager
def _on_sqlite(engine: Engine, look: Look) -> Iterator[None]:
    def count() -> None:
        look.rows += 1

    def watch(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.set_progress_handler(count, _INSTRUCTIONS)

    event.listen(engine, "checkout", watch)
    yield
    event.remove(engine, "checkout", watch)
    engine.dispose()  # with the handlers of its connections


@contextmanager
def _on_postgresql(engine: Engine, look: Look) -> Iterator[None]:
    def explain(
        connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        if many or not statement.lstrip().startswith(_READS_ROWS):
            return
        with connection.connection.cursor() as cursor:
            cursor.execute("SAVEPOINT look")  # what is explained is done, and is to be done once
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            [[plan]] = cursor.fetchall()
            cursor.execute("ROLLBACK TO look")
        plan = json.loads(plan) if isinstance(plan, str) else plan
        look.rows += sum(_rows(node) for node in _nodes(plan[0]["Plan"]))

    event.listen(engine, "before_cursor_execute", explain)
    yield
    event.remove(engine, "before_cursor_execute", explain)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _rows(node: dict[str, Any]) -> int:
    if "Relation Name" not in node or node["Node Type"] == "ModifyTable":
        return 0
    seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return int((seen + node.get("Rows Removed by Index Recheck", 0)) * node["Actual Loops"])
