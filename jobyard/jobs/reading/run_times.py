"""How long a job of each task takes, as the workers measure it. By this the publishers form their bundles."""

from collections.abc import Mapping

from sqlalchemy import case, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import pace
from jobyard.jobs.database.upsert import insert_or

# A task that has become slower is believed at once, one that has become faster by and by.
_BELIEF = 0.3


def note_paces(database: LedgerDatabase, seconds: Mapping[str, float]) -> dict[str, float]:
    """Note the mean time of a job by task, as it was measured now; return what the ledger believes then."""
    statement = insert_or(database.dialect, pace)
    new = statement.excluded.seconds
    milder = pace.c.seconds + _BELIEF * (new - pace.c.seconds)
    changed = {"seconds": case((new > pace.c.seconds, new), else_=milder), "measured_at": db_now()}
    noted = {}
    with database.writing() as connection:
        for task, mean in sorted(seconds.items()):
            values = {"task": task, "seconds": mean, "measured_at": db_now()}
            upsert = statement.values(values).on_conflict_do_update(index_elements=["task"], set_=changed)
            noted[task] = connection.execute(upsert.returning(pace.c.seconds)).scalar_one()
    return noted


def known_paces(database: LedgerDatabase) -> dict[str, float]:
    """Return the mean seconds of a job by task."""
    with database.reading() as connection:
        return {task: seconds for task, seconds in connection.execute(select(pace.c.task, pace.c.seconds))}
