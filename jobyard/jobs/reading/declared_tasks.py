"""The declared tasks in the ledger, for submitting in SQL, and for keepers that do not know a task."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select

from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import declared_task
from jobyard.jobs.database.upsert import insert_or


@dataclass(frozen=True, slots=True)
class DeclaredTask:
    """The default options of a task's jobs; `name` may be a former name of `task`.

    `max_losses` is how many workers a job may lose and be started again; None: as settings say.
    """

    name: str
    task: str
    queue: str
    priority: int
    max_attempts: int
    max_losses: int | None = None


def declare_tasks(database: LedgerDatabase, tasks: Sequence[DeclaredTask]) -> None:
    """Store these tasks as they are now; other rows stay, for the workers that know those tasks."""
    with database.reading() as connection:
        known = {DeclaredTask(*row) for row in connection.execute(select(declared_task))}
    changed = sorted(set(tasks) - known, key=lambda task: task.name)
    if not changed:
        return
    with database.writing() as connection:
        for task in changed:
            values = asdict(task)
            statement = insert_or(connection.dialect.name, declared_task).values(values)
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def declared_task_names(database: LedgerDatabase) -> list[str]:
    """Return the names of the tasks that any process has declared."""
    with database.reading() as connection:
        return sorted(connection.execute(select(declared_task.c.name)).scalars())


def find_declared_task(database: LedgerDatabase, name: str) -> DeclaredTask | None:
    """Return the task that any process has declared under this name, or None."""
    with database.reading() as connection:
        row = connection.execute(select(declared_task).where(declared_task.c.name == name)).one_or_none()
    return None if row is None else DeclaredTask(*row)
