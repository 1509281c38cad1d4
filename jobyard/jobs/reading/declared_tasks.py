"""The tasks by name, written down for those who submit in SQL: where jobs wait, how often they are tried."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import declared_task
from jobyard.jobs.database.upsert import insert_or


@dataclass(frozen=True, slots=True)
class DeclaredTask:
    """What a job of a task is unless it is told otherwise; `name` may be a former name of `task`."""

    name: str
    task: str
    queue: str
    priority: int
    max_attempts: int


def declare(database: LedgerDatabase, tasks: Sequence[DeclaredTask]) -> None:
    """Write down what these tasks are now; others that stand there stay, for workers that know them."""
    with database.reading() as connection:
        known = {DeclaredTask(*row) for row in connection.execute(select(declared_task))}
    changed = sorted(set(tasks) - known, key=lambda one: one.name)
    if not changed:
        return
    with database.writing() as connection:
        for one in changed:
            statement = insert_or(connection.dialect.name, declared_task).values(asdict(one))
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=asdict(one)))
